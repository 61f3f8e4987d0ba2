//! Each source file says in its first line what it is for, and is one thing.

use std::fs;
use std::path::{Path, PathBuf};

/// A longer file is two. Tests at a file's end do not count.
const MOST_LINES: usize = 400;

/// Names that say nothing.
const EMPTY_NAMES: &[&str] =
    &["utils.rs", "util.rs", "common.rs", "helpers.rs", "helper.rs", "manager.rs", "misc.rs"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates").canonicalize().unwrap();
    sources(&crates, &mut found);
    assert!(found.len() > 20, "only {} files were found", found.len());
    found
}

#[test]
fn every_file_says_first_what_it_is_for() {
    for path in all() {
        let text = fs::read_to_string(&path).unwrap();
        // The tests of one file, beside it, are for that file.
        let of_tests = path.file_name().is_some_and(|name| name == "tests.rs");
        assert!(of_tests || text.starts_with("//! "), "{} does not begin with a line of //!", path.display());
    }
}

#[test]
fn no_file_is_longer_than_one_thing() {
    for path in all() {
        let text = fs::read_to_string(&path).unwrap();
        let of_tests = path.components().any(|part| part.as_os_str() == "tests")
            || path.file_name().is_some_and(|name| name == "tests.rs");
        let own = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count();
        assert!(
            of_tests || own <= MOST_LINES,
            "{} has {own} lines: it is more than one thing",
            path.display()
        );
    }
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    for path in all() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!EMPTY_NAMES.contains(&name), "{} says nothing by its name", path.display());
    }
}
