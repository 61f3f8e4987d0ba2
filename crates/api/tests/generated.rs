//! The generated files are what would be generated now.

#[path = "../examples/generate/files.rs"]
mod files;

use std::path::Path;

#[test]
fn the_generated_files_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (path, text) in files::generated().unwrap() {
        let there = std::fs::read_to_string(root.join(&path)).unwrap_or_default();
        assert!(there == text, "{path} is out of date: run `{}`", files::COMMAND);
    }
}
