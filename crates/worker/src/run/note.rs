//! What the broker is told of attempts that begin, so that those are counted that take their worker down.
//!
//! ```text
//!   there is a place for it       ──────────────────────> given ──> started, noted when it was taken
//!   delivered for the first time  ──────────────────────> given ──> started, noted while it runs
//!   delivered before              ──> noted ──written───> given ──> started
//! ```
//!
//! A message for which there is a place when messages are asked for begins by being taken: that it does is written with
//! the taking. What waits here first begins some time later, when there may be no round trip to tell of it.
//!
//! A message that has come back may be the one that took its last worker down, and may do it again in its first
//! millisecond: it begins only when the broker knows of it. For all others that would cost a round trip each. While it
//! is noted a place is kept for it, and it is never given ahead: what is noted begins.
//!
//! Of those that would be given up after one more loss, only one begins at a time: whatever it does to its worker, the
//! others are not there when it happens.

use std::collections::VecDeque;
use std::time::Instant;

use petiole_broker::Tag;

use super::attempt::{Note, Run, State};
use super::{Attempt, Effects, Executor, PATIENCE, Runs, Stopping};
use crate::outcome::Outcome;

/// Attempts that are to be noted before they begin.
#[derive(Debug, Default)]
pub(super) struct Unnoted {
    /// Not told yet.
    new: Vec<Attempt>,
    /// The note under way has them.
    under_way: Vec<Attempt>,
    /// They have one chance left, and another that has one runs.
    aside: VecDeque<Attempt>,
}

impl Runs {
    /// How many attempts have started so far of which the broker did not know before.
    pub fn starts(&self) -> u64 {
        self.starts
    }

    /// Whether attempts wait for the next note.
    pub fn waits_for_note(&self) -> bool {
        !self.unnoted.new.is_empty()
    }

    /// Whether nothing more is taken.
    pub fn is_draining(&self) -> bool {
        self.stopping == Stopping::Draining
    }

    /// The deliveries that have begun, or begin as soon as they are noted. None while draining: what is cut off then is
    /// cut off by us.
    pub fn note(&mut self) -> Vec<Tag> {
        if self.stopping == Stopping::Draining {
            return Vec::new();
        }
        for attempt in self.unnoted.new.drain(..) {
            if let Some(run) = self.attempts.get_mut(&attempt) {
                run.note = Note::UnderWay;
                self.unnoted.under_way.push(attempt);
            }
        }
        self.begun()
    }

    /// The deliveries that have begun, or begin as soon as they are noted.
    pub fn begun(&self) -> Vec<Tag> {
        self.attempts.values().filter(|run| run.begins()).map(|run| run.tag).collect()
    }

    /// How many messages would begin at once if they came now.
    pub fn places(&self) -> usize {
        let noting = self.unnoted.new.len() + self.unnoted.under_way.len();
        self.executor.free().saturating_sub(self.waiting.len() + noting)
    }

    /// The broker knows what [`Self::note`] has said.
    pub fn noted(&mut self, now: Instant, effects: &mut Effects) {
        for attempt in std::mem::take(&mut self.unnoted.under_way).into_iter().rev() {
            if let Some(run) = self.attempts.get_mut(&attempt) {
                run.note = Note::Written;
                self.waiting.push_front(attempt);
            }
        }
        self.give(now, effects);
    }

    /// Whether the places that are free are kept for attempts that are being noted.
    pub(super) fn keeps_places(&self) -> bool {
        let noting = self.unnoted.new.len() + self.unnoted.under_way.len();
        noting > 0 && self.executor.free() <= noting
    }

    /// Has the first attempt in line noted, so that it comes back when it may begin; `false` when there is no place for
    /// it, and it stays where it is.
    pub(super) fn note_first(&mut self, attempt: Attempt, now: Instant, effects: &mut Effects) -> bool {
        if self.stopping != Stopping::Draining && self.executor.free() == 0 {
            return false;
        }
        self.waiting.pop_front();
        if self.stopping == Stopping::Draining {
            self.end(attempt, Outcome::Returned, now, effects);
        } else if self.attempts.get(&attempt).is_some_and(|run| run.work.last_chance) && self.risks() {
            self.unnoted.aside.push_back(attempt);
        } else {
            self.unnoted.new.push(attempt);
        }
        true
    }

    /// Lets the next one begin that has one chance left, when no other does.
    pub(super) fn next_chance(&mut self) {
        if !self.unnoted.aside.is_empty()
            && !self.risks()
            && let Some(attempt) = self.unnoted.aside.pop_front()
        {
            self.waiting.push_front(attempt);
        }
    }

    /// How many attempts wait for another one's end, and take no place.
    pub(super) fn aside(&self) -> usize {
        self.unnoted.aside.len().min(self.concurrency)
    }

    /// Gives back those that have waited aside for too long: another worker may let them begin.
    pub(super) fn lose_patience(&mut self, now: Instant, effects: &mut Effects) {
        while let Some(attempt) = self.unnoted.aside.front().copied() {
            if self.attempts.get(&attempt).is_some_and(|run| now.duration_since(run.since) < PATIENCE) {
                return;
            }
            self.unnoted.aside.pop_front();
            self.end(attempt, Outcome::Returned, now, effects);
        }
    }

    /// Whether something begins or runs that has one chance left.
    fn risks(&self) -> bool {
        let begins = |(attempt, run): (&Attempt, &Run)| run.begins() || self.unnoted.new.contains(attempt);
        self.attempts.iter().any(|it| it.1.work.last_chance && begins(it))
    }

    /// Forgets those that are to be noted.
    pub(super) fn take_unnoted(&mut self) -> Vec<Attempt> {
        let Unnoted { new, under_way, aside } = std::mem::take(&mut self.unnoted);
        [under_way, new, aside.into()].concat()
    }
}

impl Run {
    fn begins(&self) -> bool {
        matches!(self.state, State::Started { .. }) || matches!(self.note, Note::UnderWay | Note::Written)
    }
}

impl Executor {
    /// How many attempts would begin at once if they were given now.
    fn free(&self) -> usize {
        match self {
            Self::Exec(exec) => exec.places(),
            Self::Serve(serve) => serve.places(),
        }
    }
}
