//! Puts this binary into a folder that another container mounts.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The running binary, also in an image without a shell or a `PATH`.
const SELF: &str = "/proc/self/exe";

/// The name that the task's container starts.
const NAME: &str = "petiole-runner";

/// The folder cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("failed to install the runner in {folder}")]
pub(crate) struct InstallError {
    folder: String,
    source: io::Error,
}

/// Copies the binary, executable for everyone. It appears under its name whole or not at all, also where an older
/// one is running.
pub(crate) fn install(folder: &Path) -> Result<(), InstallError> {
    copy(folder).map_err(|source| InstallError { folder: folder.display().to_string(), source })
}

fn copy(folder: &Path) -> io::Result<()> {
    let fresh = folder.join(format!(".{NAME}.{}", std::process::id()));
    let written = write(&fresh).and_then(|()| fs::rename(&fresh, folder.join(NAME)));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&fresh);
    }
    written
}

fn write(path: &Path) -> io::Result<()> {
    let mut to = File::create(path)?;
    io::copy(&mut File::open(SELF)?, &mut to)?;
    to.set_permissions(Permissions::from_mode(0o755))?;
    to.sync_all()
}
