//! The files that processes may write their reports to, in a folder of the runner's own.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// A folder that is removed with what is in it.
#[derive(Debug)]
pub(crate) struct Reports {
    folder: PathBuf,
}

/// No place for the folder.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to create a folder for result files in {first} or in {second}: let one of them be writable for this user"
)]
pub(crate) struct NoFolder {
    first: String,
    second: String,
    source: io::Error,
}

impl Reports {
    /// Makes the folder beside the socket: there is always one that any user may write to, also where the root
    /// file system is read-only. The folder for temporary files comes second.
    pub(crate) fn beside(socket: &Path) -> Result<Self, NoFolder> {
        let first = socket.parent().unwrap_or(Path::new("/"));
        let second = std::env::temp_dir();
        Self::inside(first).or_else(|_| Self::inside(&second)).map_err(|source| NoFolder {
            first: first.display().to_string(),
            second: second.display().to_string(),
            source,
        })
    }

    fn inside(parent: &Path) -> io::Result<Self> {
        // The process id sets runners apart under `petiole dev`. In a container it is 1 again after a restart, and
        // what the last runner left goes.
        let folder = std::path::absolute(parent)?.join(format!("results-{}", std::process::id()));
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a process may say how far it is.
    pub(crate) fn progress(&self, process: u64) -> PathBuf {
        self.folder.join(format!("{process}.progress"))
    }

    /// Where a process may write its report.
    pub(crate) fn path(&self, process: u64) -> PathBuf {
        self.folder.join(process.to_string())
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        // Nobody looks at what stays behind, and the next runner removes it.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Takes a report away: its first `limit` bytes, and whether there were more. Nothing, when there is no file.
pub(crate) fn take(path: &Path, limit: usize) -> io::Result<(Vec<u8>, bool)> {
    let report = read(path, limit);
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => report,
    }
}

fn read(path: &Path, limit: usize) -> io::Result<(Vec<u8>, bool)> {
    // A task can leave anything under this name; only a regular file neither waits nor goes on for ever.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    let cut = bytes.len() > limit;
    bytes.truncate(limit);
    Ok((bytes, cut))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_report_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let reports = Reports::beside(&folder.path().join("socket")).unwrap();
        let path = reports.path(7);
        assert!(path.starts_with(folder.path()));
        fs::write(&path, "abc").unwrap();
        assert_eq!(take(&path, 3).unwrap(), (b"abc".to_vec(), false));
        assert_eq!(take(&path, 3).unwrap(), (Vec::new(), false));
        fs::write(&path, "abcd").unwrap();
        assert_eq!(take(&path, 3).unwrap(), (b"abc".to_vec(), true));
    }

    #[test]
    fn only_a_regular_file_is_a_report() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("7");
        symlink("/dev/zero", &path).unwrap();
        assert!(take(&path, 3).is_err());
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(take(&path, 3).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn what_an_earlier_runner_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let first = Reports::beside(&socket).unwrap();
        fs::write(first.path(1), "old").unwrap();
        let second = Reports::beside(&socket).unwrap();
        assert!(!second.path(1).exists());
        drop(second);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_a_place_beside_the_socket_the_temporary_folder_is_used() {
        let reports = Reports::beside(Path::new("/nowhere/socket")).unwrap();
        assert!(reports.folder().starts_with(std::env::temp_dir()));
    }
}
