//! What a process writes to one of its pipes: into the log, kept, or both.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};

use crate::keep::{Head, Tail};
use crate::lines::Lines;
use crate::log::Log;
use crate::signals;

/// A pipe that a process writes to.
#[derive(Debug)]
pub(crate) struct Stream<P> {
    /// Closed at its end.
    pipe: Option<P>,
    lines: Option<Lines>,
    head: Option<Head>,
    tail: Option<Tail>,
}

impl<P: Read + AsFd> Stream<P> {
    /// Takes over the parent's end of a pipe. Reading from it does not block from here on.
    pub(crate) fn new(pipe: Option<P>) -> nix::Result<Self> {
        if let Some(pipe) = &pipe {
            signals::nonblocking(pipe)?;
        }
        Ok(Self { pipe, lines: None, head: None, tail: None })
    }

    pub(crate) fn into_log(mut self, label: &str) -> Self {
        self.lines = Some(Lines::new(label));
        self
    }

    pub(crate) fn keep_head(mut self, limit: usize) -> Self {
        self.head = Some(Head::new(limit));
        self
    }

    pub(crate) fn keep_tail(mut self, limit: usize) -> Self {
        self.tail = Some(Tail::new(limit));
        self
    }

    pub(crate) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// The pipe, when it may be read now. What goes to a log that is full stays in the pipe, until the process
    /// that writes it waits; `at_once` is for one that writes no more.
    pub(crate) fn readable(&self, log: &Log, at_once: bool) -> Option<BorrowedFd<'_>> {
        let waits = self.lines.is_some() && log.is_full() && !at_once;
        self.pipe.as_ref().filter(|_| !waits).map(P::as_fd)
    }

    /// Reads once, so that no stream keeps the others waiting.
    pub(crate) fn read(&mut self, scratch: &mut [u8], log: &mut Log) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(scratch) {
            Ok(0) => self.close(log),
            Ok(count) => self.take(&scratch[..count], log),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.close(log),
        }
    }

    /// Ends the stream, whether or not someone still holds the other end.
    pub(crate) fn close(&mut self, log: &mut Log) {
        if self.pipe.take().is_some()
            && let Some(lines) = &mut self.lines
        {
            log.append(|bytes| lines.finish(bytes));
        }
    }

    pub(crate) fn take_head(&mut self) -> (Vec<u8>, bool) {
        self.head.as_mut().map(Head::take).unwrap_or_default()
    }

    pub(crate) fn take_tail(&mut self) -> String {
        self.tail.as_mut().map(Tail::take).unwrap_or_default()
    }

    fn take(&mut self, bytes: &[u8], log: &mut Log) {
        if let Some(head) = &mut self.head {
            head.feed(bytes);
        }
        if let Some(tail) = &mut self.tail {
            tail.feed(bytes);
        }
        if let Some(lines) = &mut self.lines {
            log.append(|log| lines.feed(bytes, log));
        }
    }
}
