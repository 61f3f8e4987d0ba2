//! An attempt that has not ended, and how far it is.

use std::time::Instant;

use bytes::Bytes;
use petiole_broker::Tag;
use petiole_protocol::record::Exception;

use crate::work::Work;

/// An attempt that has not ended.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) tag: Tag,
    /// Boxed: the table of attempts, which is never full, would be of its size.
    pub(super) work: Box<Work>,
    pub(super) state: State,
    pub(super) since: Instant,
    /// Its task was revoked after it had been admitted.
    pub(super) revoked: Option<Revoked>,
    pub(super) note: Note,
    /// Calls of it have ended, and others are to come: its message has begun.
    pub(super) goes_on: bool,
    /// What its handler has said that it adds to its chord.
    pub(super) adds: Vec<Bytes>,
    /// It fails whatever its end is: what its handler has said of it cannot be read.
    pub(super) wrong: Option<Box<Exception>>,
}

/// What the broker knows of the beginning of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    /// Nothing, or what a note said that was made while it ran.
    Later,
    /// Nothing, and it has to before the attempt begins.
    Needed,
    /// It is being told.
    UnderWay,
    /// That it begins.
    Written,
}

/// What a revocation means for an attempt that it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revoked {
    /// It does not start any more. One that had started all the same goes on (Celery's rule).
    Drop,
    /// It does not start, or is ended by this signal.
    Terminate(i32),
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum State {
    /// Nobody has it.
    Waiting,
    /// This process has it, and has not started it.
    Given { process: u64 },
    /// This process runs it.
    Started { process: u64, soft: bool, hard: bool },
}

impl Revoked {
    pub(super) fn signal(self) -> Option<i32> {
        match self {
            Self::Drop => None,
            Self::Terminate(signal) => Some(signal),
        }
    }
}

impl Run {
    /// What its end is put down to, where that is the revocation; whatever it left behind.
    pub(super) fn ends_revoked(&self) -> Option<Revoked> {
        match (self.revoked, self.state) {
            (None, _) | (Some(Revoked::Drop), State::Started { .. }) => None,
            (Some(Revoked::Terminate(signal)), State::Started { .. }) => Some(Revoked::Terminate(signal)),
            (Some(_), State::Waiting | State::Given { .. }) => Some(Revoked::Drop),
        }
    }

    /// Whether we have ended the process that it runs in.
    pub(super) fn was_killed(&self) -> bool {
        match self.state {
            State::Started { hard, .. } => hard || matches!(self.revoked, Some(Revoked::Terminate(_))),
            State::Waiting | State::Given { .. } => false,
        }
    }

    pub(super) fn process(&self) -> Option<u64> {
        match self.state {
            State::Waiting => None,
            State::Given { process } | State::Started { process, .. } => Some(process),
        }
    }
}
