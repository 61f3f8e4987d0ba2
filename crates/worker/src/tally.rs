//! What this worker says of itself with its beats, counted as it goes along.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use petiole_broker::Load;
use tokio::sync::Notify;

/// The load of one incarnation. Clones share one.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counted: Mutex<Counted>,
    /// Somebody waits for it: whether this worker drains, or has drained, is another thing than before.
    news: Notify,
}

#[derive(Debug, Default)]
struct Counted {
    ended: u64,
    /// How long these ran.
    ended_for: Duration,
    /// How long attempts ran, those that have ended and those that have not.
    ran_for: Duration,
    running: usize,
    held: usize,
    draining: bool,
    /// Until when [`Self::ran_for`] counts.
    at: Option<Instant>,
}

impl Counted {
    /// Whether it drains, and whether it has.
    fn drain(&self) -> (bool, bool) {
        (self.draining, self.held == 0 && self.running == 0)
    }

    fn until(&mut self, now: Instant) {
        let since = self.at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let running = u32::try_from(self.running).unwrap_or(u32::MAX);
        self.ran_for = self.ran_for.saturating_add(since.saturating_mul(running));
    }
}

impl Tally {
    /// From now on it holds so many messages, of which so many run, and drains by a wish or does not.
    pub fn counts(&self, held: usize, running: usize, draining: bool, now: Instant) {
        let mut counted = self.lock();
        counted.until(now);
        let before = counted.drain();
        (counted.held, counted.running, counted.draining) = (held, running, draining);
        if before != counted.drain() && (before.0 || draining) {
            self.0.news.notify_one();
        }
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
            draining: counted.draining,
        }
    }

    /// Returns when there is something that is worth saying before the next beat.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
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
        tally.counts(5, 2, false, at(0));
        tally.ended(Duration::from_secs(3));
        tally.counts(4, 1, false, at(3));
        let expected =
            Load { ended: 1, ended_ms: 3000, running: 1, running_ms: 3000, held: 4, draining: false };
        assert_eq!(tally.load(at(3)), expected);
        assert_eq!(tally.load(at(10)), Load { running_ms: 10_000, ..expected });
    }

    #[tokio::test]
    async fn that_a_worker_drains_and_has_drained_is_news_and_nothing_else_is() {
        let (tally, now) = (Tally::default(), Instant::now());
        let is_news = async |held, draining| {
            tally.counts(held, 0, draining, now);
            tokio::time::timeout(Duration::ZERO, tally.news()).await.is_ok()
        };
        let mut news = Vec::new();
        for (held, draining) in
            [(2, false), (0, false), (2, true), (1, true), (0, true), (0, false), (1, false)]
        {
            news.push(is_news(held, draining).await);
        }
        assert_eq!(news, [false, false, true, false, true, true, false]);
    }

    #[test]
    fn what_was_given_back_while_it_ran_is_no_age_of_what_runs_later() {
        let (tally, start) = (Tally::default(), Instant::now());
        tally.counts(1, 1, false, start);
        tally.counts(0, 0, false, start + Duration::from_mins(1));
        tally.counts(1, 1, false, start + Duration::from_secs(70));
        assert_eq!(tally.load(start + Duration::from_secs(71)).running_ms, 1000);
    }
}
