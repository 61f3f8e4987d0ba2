//! What is due now, and what of the times that have passed is made up for.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::Schedule;
use crate::zone::TICK;

/// A time that has passed this long ago is still on time: a leader that is killed has a successor well before.
pub const ON_TIME: Duration = Duration::from_secs(10);

/// So many missed times are counted. Beyond that a schedule has been away for longer than a number could say.
pub const COUNTED: u32 = 10_000;

/// What is done about times at which nobody was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// Nothing: the newest runs if it is [on time](ON_TIME).
    None,
    /// The newest runs, unless it is older than `window`.
    Last {
        /// How old it may be.
        window: Duration,
    },
    /// All run that are not older than `window`, at most `limit` of them: the newest.
    All {
        /// How old they may be.
        window: Duration,
        /// How many there may be.
        limit: usize,
    },
}

/// What is to be done about the times of a stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// These are to run now, in this order.
    pub fire: Vec<Timestamp>,
    /// So many others have passed.
    pub missed: Missed,
    /// Up to here all has been seen to: the next question's `last`.
    pub until: Timestamp,
}

/// How many times have passed without a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missed {
    /// So many.
    pub count: u32,
    /// Or more: nobody counted on after [`COUNTED`].
    pub or_more: bool,
}

impl Schedule {
    /// What is due at `now`, where the times up to and with `last` have been seen to. A clock that was set back makes
    /// nothing due.
    pub fn due(&self, last: Timestamp, now: Timestamp, catch_up: CatchUp) -> Due {
        let (window, limit) = match catch_up {
            CatchUp::None => (ON_TIME, 1),
            CatchUp::Last { window } => (window, 1),
            CatchUp::All { window, limit } => (window, limit),
        };
        // Of these times the runs have begun by now.
        let until = earlier(now, self.delay);
        if until <= last {
            return Due { fire: Vec::new(), missed: Missed::default(), until: last };
        }
        let oldest = earlier(until, window).checked_sub(TICK).unwrap_or(Timestamp::MIN).max(last);
        let fire = self.newest(oldest, until, limit);
        let first = fire.first().and_then(|first| first.checked_sub(TICK).ok());
        let missed = self.count(last, first.unwrap_or(until));
        Due { fire, missed, until }
    }

    /// The newest of the times later than `after` up to and with `until`.
    fn newest(&self, after: Timestamp, until: Timestamp, limit: usize) -> Vec<Timestamp> {
        let until = self.end.map_or(until, |end| end.min(until));
        if limit == 0 || until <= after {
            return Vec::new();
        }
        // Farther and farther back, until there are enough: what lies before them may be a year of seconds.
        let mut span = Duration::from_mins(1);
        loop {
            let from = earlier(until, span).max(after);
            let mut newest = VecDeque::new();
            for time in self.later(from).take_while(|time| *time <= until) {
                if newest.len() == limit {
                    newest.pop_front();
                }
                newest.push_back(time);
            }
            if newest.len() == limit || from == after {
                return newest.into();
            }
            span *= 8;
        }
    }

    /// How many times are later than `after` up to and with `until`.
    fn count(&self, after: Timestamp, until: Timestamp) -> Missed {
        let bound = usize::try_from(COUNTED).unwrap_or(usize::MAX).saturating_add(1);
        let found = self.later(after).take_while(|time| *time <= until).take(bound).count();
        let count = u32::try_from(found).unwrap_or(u32::MAX);
        Missed { count: count.min(COUNTED), or_more: count > COUNTED }
    }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}
