//! Writes `crds/` and `manifests/examples/`.

mod files;

use std::path::Path;

fn main() -> Result<(), files::Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (path, text) in files::generated()? {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text)?;
    }
    Ok(())
}
