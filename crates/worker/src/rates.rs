//! Tasks with a rate limit: each asks the broker for its start before it runs.
//!
//! ```text
//!   admitted ──asked──> its turn: it runs
//!               ├─────> too early: the broker has parked it, and it comes again when its turn has come
//!               └─────> not ours any more: forgotten
//! ```

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use petiole_broker::{Disposition, Settlement, Start, Tag, Turn};
use petiole_protocol::control::RateLimit;

use crate::admit;
use crate::run::Effects;
use crate::work::Work;
use crate::worker::Worker;

/// The longest time between two starts that is counted with: times beyond it are no times to a broker.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// Work that has asked for its start, until it is answered.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    work: HashMap<Tag, Box<Work>>,
    /// Not sent yet: those of one answer of the broker are asked for together.
    next: Vec<Start>,
}

impl Asking {
    /// This asks.
    pub(crate) fn add(&mut self, work: Box<Work>, start: Start) {
        self.work.insert(start.tag, work);
        self.next.push(start);
    }

    /// How many ask.
    pub(crate) fn len(&self) -> usize {
        self.work.len()
    }

    /// The lease is lost: nobody asks any more.
    pub(crate) fn clear(&mut self) {
        self.work.clear();
        self.next.clear();
    }
}

/// How far apart starts are by this limit; nothing, when it is none.
pub(crate) fn interval(limit: &RateLimit) -> Option<Duration> {
    let seconds = limit.per_second()?.recip();
    Some(Duration::try_from_secs_f64(seconds).map_or(LONGEST, |interval| interval.min(LONGEST)))
}

impl Worker {
    /// Sends what asks.
    pub(crate) fn ask_for_starts(&mut self) {
        if self.asking.next.is_empty() {
            return;
        }
        let starts = std::mem::take(&mut self.asking.next);
        if let Some(session) = &self.session {
            session.start(starts);
        }
    }

    /// The broker has answered.
    pub(crate) fn turns(&mut self, turns: Vec<(Tag, Turn)>, now: Instant, effects: &mut Effects) {
        let wall = Timestamp::now();
        for (tag, turn) in turns {
            let Some(work) = self.asking.work.remove(&tag) else { continue };
            match turn {
                Turn::Later | Turn::Lost => {}
                Turn::Now if self.takes_nothing() => {
                    self.settle(Settlement::new(tag, Disposition::Requeue));
                }
                // Revoked while it asked.
                Turn::Now if self.control.revoked.is_revoked(&work.message, wall).is_some() => {
                    self.discard(tag, admit::revoked(work.message, work.queue), wall);
                }
                Turn::Now => self.runs.take(tag, work, now, effects),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_says_how_far_apart_starts_are() {
        let of = |text| interval(&RateLimit::parse(text).unwrap());
        assert_eq!(of("100/m"), Some(Duration::from_millis(600)));
        assert_eq!(of("1e-300/h"), Some(LONGEST));
        assert_eq!(of("0"), None);
    }
}
