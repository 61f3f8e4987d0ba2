//! The container's log: the runner's own standard output, which must never make it wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::outbox::Outbox;

/// A pipe that polls as writable takes this much without blocking (`PIPE_BUF`). `O_NONBLOCK` is not set: it would
/// be set for everyone who shares the pipe or the terminal.
const CHUNK: usize = 4096;

/// Chunks that are written before the runner looks at its other duties.
const CHUNKS: usize = 16;

/// From here on processes wait with what they log.
const FULL: usize = 64 * 1024;

/// From here on the last words of processes that have ended are dropped.
const OVERFULL: usize = 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Log {
    pending: Outbox,
    dropped: usize,
    output: io::Stdout,
    /// Nobody reads it any more.
    broken: bool,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { pending: Outbox::default(), dropped: 0, output: io::stdout(), broken: false }
    }

    /// A line of the runner's own.
    pub(crate) fn say(&mut self, text: &str) {
        self.append(|log| log.extend_from_slice(format!("petiole-runner: {text}\n").as_bytes()));
    }

    /// Appends whole lines.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.pending.end().len();
        write(self.pending.end());
        let added = self.pending.end().len() - before;
        if self.broken || self.pending.pending().len() > OVERFULL {
            self.pending.end().truncate(before);
            self.dropped += added;
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pending.pending().len() >= FULL
    }

    /// Where it is written to, when something waits.
    pub(crate) fn writable(&self) -> Option<BorrowedFd<'_>> {
        (!self.pending.is_empty()).then(|| self.output.as_fd())
    }

    /// Writes what can be written without waiting. Not by `io::Stdout` itself, whose buffer would wait.
    pub(crate) fn write(&mut self) {
        for _ in 0..CHUNKS {
            let pending = self.pending.pending();
            let mut output = [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
            if pending.is_empty() || !poll(&mut output, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
                break;
            }
            match nix::unistd::write(&self.output, &pending[..pending.len().min(CHUNK)]) {
                Ok(count) => self.pending.advance(count),
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(_) => {
                    self.broken = true;
                    self.pending = Outbox::default();
                }
            }
        }
        if self.dropped > 0 && !self.broken && !self.is_full() {
            let dropped = std::mem::take(&mut self.dropped);
            self.say(&format!("{dropped} bytes of log were dropped: they came faster than the log was read"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_bounded() {
        let mut log = Log::new();
        assert!(!log.is_full() && log.writable().is_none());
        for _ in 0..100 {
            log.append(|bytes| bytes.resize(bytes.len() + FULL, b'\n'));
        }
        assert!(log.is_full() && log.writable().is_some());
        assert!(log.pending.pending().len() <= OVERFULL + FULL);
        assert_eq!(log.pending.pending().len() + log.dropped, 100 * FULL);
    }
}
