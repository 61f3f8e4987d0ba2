//! The named pipe by which a process says how far it is: a line for each state, of which the last counts.
//!
//! Nothing is read that nobody has written, so a process that says nothing costs the pipe alone. One that says much is
//! heard every [`SPACING`]; in between it fills the pipe, and then waits.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use petiole_contract::exec::PROGRESS_LINE;

/// Between two states that are told: more often nobody looks, and each is a write to the result store.
const SPACING: Duration = Duration::from_millis(100);

/// The runner's end.
#[derive(Debug)]
pub(crate) struct Progress {
    path: PathBuf,
    pipe: File,
    /// The line that has begun.
    begun: Vec<u8>,
    /// That line is too long: the rest of it is passed over.
    skips: bool,
    /// Nothing is read before this.
    rests: Option<Instant>,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// This line, and none after it.
    Line(Vec<u8>),
    /// A line of more than [`PROGRESS_LINE`] bytes.
    TooLong,
}

impl Progress {
    /// Makes the pipe. What an earlier process has left under this name is removed.
    pub(crate) fn make(path: PathBuf) -> nix::Result<Self> {
        match mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Err(Errno::EEXIST) => {
                let _ = fs::remove_file(&path);
                mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
            }
            made => made?,
        }
        // For writing too: a pipe without any writer would always be ready to be read, with nothing in it.
        let open =
            OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path);
        let pipe = open.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))?;
        Ok(Self { path, pipe, begun: Vec::new(), skips: false, rests: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The pipe, when it may be read now.
    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.rests.is_none().then(|| self.pipe.as_fd())
    }

    /// When [`Self::due`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.rests
    }

    /// Time has passed.
    pub(crate) fn due(&mut self, now: Instant) {
        self.rests = self.rests.filter(|until| now < *until);
    }

    /// Reads once.
    pub(crate) fn read(&mut self, scratch: &mut [u8], now: Instant) -> Option<Said> {
        match self.pipe.read(scratch) {
            Ok(count) => {
                let said = self.take(&scratch[..count]);
                self.rests = said.is_some().then(|| now + SPACING);
                said
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            Err(_) => {
                // It cannot be read, and would be ready for ever.
                self.rests = Some(now + Duration::from_hours(1));
                None
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Option<Said> {
        let mut said = None;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = part.ends_with(b"\n");
            if !self.skips {
                self.begun.extend_from_slice(part);
            }
            if self.begun.len() > PROGRESS_LINE {
                self.begun = Vec::new();
                self.skips = true;
                said = Some(Said::TooLong);
            }
            if ends {
                let line = std::mem::take(&mut self.begun);
                let empty = std::mem::take(&mut self.skips) || line.trim_ascii().is_empty();
                if !empty {
                    said = Some(Said::Line(line));
                }
            }
        }
        said
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // The folder goes later, with whatever stays behind.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pipe() -> (tempfile::TempDir, Progress) {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::make(folder.path().join("7")).unwrap();
        (folder, progress)
    }

    fn write(progress: &Progress, bytes: &[u8]) {
        OpenOptions::new().write(true).open(progress.path()).unwrap().write_all(bytes).unwrap();
    }

    fn read(progress: &mut Progress, now: Instant) -> Option<Said> {
        progress.read(&mut vec![0; 64 * 1024], now)
    }

    fn line(text: &str) -> Said {
        Said::Line(text.as_bytes().to_vec())
    }

    #[test]
    fn the_last_line_counts_and_one_that_has_begun_waits() {
        let ((_folder, mut progress), now) = (pipe(), Instant::now());
        assert_eq!(read(&mut progress, now), None);
        write(&progress, b"1\n2\n\n3");
        assert_eq!(read(&mut progress, now), Some(line("2\n")));
        write(&progress, b"4\n");
        assert_eq!(read(&mut progress, now), Some(line("34\n")));
    }

    #[test]
    fn nothing_is_read_for_a_while_after_a_line() {
        let ((_folder, mut progress), now) = (pipe(), Instant::now());
        assert!(progress.readable().is_some() && progress.deadline().is_none());
        write(&progress, b"1\n");
        read(&mut progress, now);
        assert_eq!((progress.readable().is_some(), progress.deadline()), (false, Some(now + SPACING)));
        progress.due(now + SPACING);
        assert!(progress.readable().is_some() && progress.deadline().is_none());
    }

    #[test]
    fn a_line_that_is_too_long_takes_no_memory_and_those_after_it_count() {
        let ((_folder, mut progress), now) = (pipe(), Instant::now());
        let mut said = None;
        for _ in 0..3 {
            write(&progress, &vec![b'a'; PROGRESS_LINE / 2 + 1]);
            said = said.or(read(&mut progress, now));
            assert!(progress.begun.len() <= PROGRESS_LINE);
        }
        assert_eq!(said, Some(Said::TooLong));
        write(&progress, b"a\n5\n");
        assert_eq!(read(&mut progress, now), Some(line("5\n")));
    }

    #[test]
    fn what_was_left_under_its_name_is_no_hindrance_and_it_leaves_nothing_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("7");
        fs::write(&path, "old").unwrap();
        drop(Progress::make(path.clone()).unwrap());
        assert!(!path.exists());
    }
}
