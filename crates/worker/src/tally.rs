//! What this worker says of itself with its beats, counted as it goes along.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use petiole_broker::Load;

/// The load of one incarnation. Clones share one.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    ended: u64,
    /// How long these ran.
    ended_for: Duration,
    /// How long attempts ran, those that have ended and those that have not.
    ran_for: Duration,
    running: usize,
    held: usize,
    /// Until when [`Self::ran_for`] counts.
    at: Option<Instant>,
}

impl Counted {
    fn until(&mut self, now: Instant) {
        let since = self.at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let running = u32::try_from(self.running).unwrap_or(u32::MAX);
        self.ran_for = self.ran_for.saturating_add(since.saturating_mul(running));
    }
}

impl Tally {
    /// From now on it holds so many messages, of which so many run.
    pub fn counts(&self, held: usize, running: usize, now: Instant) {
        let mut counted = self.lock();
        counted.until(now);
        (counted.held, counted.running) = (held, running);
        if running == 0 {
            // What ended without having run to its end is nobody's time any more.
            counted.ran_for = counted.ended_for;
        }
    }

    /// An attempt has ended that ran for so long.
    pub fn ended(&self, took: Duration) {
        let mut counted = self.lock();
        counted.ended += 1;
        counted.ended_for += took;
    }

    /// All of it.
    pub fn load(&self, now: Instant) -> Load {
        let mut counted = self.lock();
        counted.until(now);
        Load {
            ended: counted.ended,
            ended_ms: milliseconds(counted.ended_for),
            running: counted.running as u64,
            running_ms: milliseconds(counted.ran_for.saturating_sub(counted.ended_for)),
            held: counted.held as u64,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_gets_older_and_what_has_ended_does_not() {
        let (tally, start) = (Tally::default(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        tally.counts(5, 2, at(0));
        tally.ended(Duration::from_secs(3));
        tally.counts(4, 1, at(3));
        let expected = Load { ended: 1, ended_ms: 3000, running: 1, running_ms: 3000, held: 4 };
        assert_eq!(tally.load(at(3)), expected);
        assert_eq!(tally.load(at(10)), Load { running_ms: 10_000, ..expected });
    }

    #[test]
    fn what_was_given_back_while_it_ran_is_no_age_of_what_runs_later() {
        let (tally, start) = (Tally::default(), Instant::now());
        tally.counts(1, 1, start);
        tally.counts(0, 0, start + Duration::from_mins(1));
        tally.counts(1, 1, start + Duration::from_secs(70));
        assert_eq!(tally.load(start + Duration::from_secs(71)).running_ms, 1000);
    }
}
