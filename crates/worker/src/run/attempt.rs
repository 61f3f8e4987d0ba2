//! An attempt that has not ended, and how far it is.

use std::time::Instant;

use petiole_broker::Tag;

use crate::work::Work;

/// An attempt that has not ended.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) tag: Tag,
    /// Boxed: the table of attempts, which is never full, would be of its size.
    pub(super) work: Box<Work>,
    pub(super) state: State,
    pub(super) since: Instant,
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

impl Run {
    pub(super) fn process(&self) -> Option<u64> {
        match self.state {
            State::Waiting => None,
            State::Given { process } | State::Started { process, .. } => Some(process),
        }
    }
}
