//! An ending that takes more than one commit: a task that was a part of chords. Pure.
//!
//! ```text
//!   first commit ──> counted ──────────────────────────> next part, or the end
//!                └─> the chord is complete ──join──> body sent ──> next part, or the end
//! ```

use std::collections::VecDeque;

use petiole_broker::{Disposition, Settlement, Tag};
use petiole_protocol::canvas::ChordPart;
use petiole_protocol::message::Message;
use petiole_results::chord::ChordClaim;

/// What is left to do of an ending.
#[derive(Debug)]
pub struct Ending {
    /// Its delivery.
    pub(super) tag: Tag,
    /// Index of its queue.
    pub(super) queue: usize,
    /// The task.
    pub(super) message: Box<Message>,
    /// What it has sent; `None` when it did not run.
    pub(super) children: Option<Vec<String>>,
    /// Its parts that are not counted yet. The first is being counted by the commit under way.
    pub(super) parts: VecDeque<ChordPart>,
    /// How many of these came with the body of the chord whose claim is under way.
    pub(super) with_body: usize,
    /// What becomes of its message in the end.
    pub(super) fate: Disposition,
    /// How often the broker has refused what was to be written.
    pub(super) refusals: u8,
}

/// A chord that is complete: its body is ours to send, when its parts have been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complete {
    /// The right to send it.
    pub claim: ChordClaim,
    /// The part that completed it.
    pub part: ChordPart,
}

impl Ending {
    /// The task ended, and nothing is counted of it yet.
    pub(super) fn new(tag: Tag, queue: usize, message: Box<Message>, fate: Disposition) -> Self {
        Self { tag, queue, message, children: None, parts: VecDeque::new(), with_body: 0, fate, refusals: 0 }
    }

    /// A settlement that counts the next part, and gives the message up when it is the last.
    pub(super) fn settlement(&self) -> Settlement {
        let last = self.parts.len() <= 1;
        Settlement::new(self.tag, if last { self.fate.clone() } else { self.held() })
    }

    /// The disposition under which its message stays as it is.
    fn held(&self) -> Disposition {
        if self.fate == Disposition::Acked { Disposition::Acked } else { Disposition::Keep }
    }

    /// The first part is counted. Whether more has to be written.
    pub(super) fn counted(&mut self) -> bool {
        self.parts.pop_front();
        self.with_body = 0;
        !self.parts.is_empty()
    }

    /// The first part is counted, and has completed its chord.
    pub(super) fn completed(&mut self, claim: ChordClaim) -> Option<Complete> {
        self.with_body = 0;
        self.parts.pop_front().map(|part| Complete { claim, part })
    }
}
