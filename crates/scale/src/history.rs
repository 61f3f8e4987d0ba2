//! What was recommended and what was changed.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::runtime::elapsed;

/// The longest window and the longest period that Kubernetes' autoscaler knows: nothing older is kept.
pub const LONGEST: Duration = Duration::from_hours(1);

/// Who has not looked for so long has missed too much to go on: as after a restart, a whole window has to pass again.
pub const GAP: Duration = Duration::from_secs(15);

/// What was recommended and what was changed, since somebody began to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Recommendations of which no later one is higher: the first within a window is its highest.
    highest: VecDeque<(Timestamp, u32)>,
    /// Recommendations of which no later one is lower.
    lowest: VecDeque<(Timestamp, u32)>,
    changes: VecDeque<Change>,
    last_work: Timestamp,
    last_look: Timestamp,
}

/// A change of the number of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// When it was.
    pub at: Timestamp,
    /// From so many.
    pub from: u32,
    /// To so many.
    pub to: u32,
}

impl History {
    /// Of somebody who begins to look, and finds so many pods. They count as recommended just now, and as if there had been
    /// work until now: so whoever takes over changes nothing before windows and cool-down have passed anew, unless there
    /// is a reason that did not exist before. `last_change` is the last one that is known, for the limits of steps.
    pub fn start(replicas: u32, last_change: Option<Change>, now: Timestamp) -> Self {
        let mut history = Self {
            highest: VecDeque::new(),
            lowest: VecDeque::new(),
            changes: last_change.into_iter().collect(),
            last_work: now,
            last_look: now,
        };
        history.recommended(replicas, now);
        history
    }

    /// Whether too much time has passed since the last look, or the clock was put back: then a new one
    /// [starts](Self::start).
    pub fn is_torn(&self, now: Timestamp) -> bool {
        elapsed(self.last_look, now) > GAP || now < self.last_look
    }

    /// Somebody has looked, whatever was seen.
    pub fn looked(&mut self, now: Timestamp) {
        self.last_look = now;
        self.forget(now);
    }

    /// There is work.
    pub fn worked(&mut self, now: Timestamp) {
        self.last_work = now;
    }

    /// So many pods are right, by what is seen now.
    pub fn recommended(&mut self, replicas: u32, now: Timestamp) {
        while self.highest.back().is_some_and(|(_, before)| *before <= replicas) {
            self.highest.pop_back();
        }
        self.highest.push_back((now, replicas));
        while self.lowest.back().is_some_and(|(_, before)| *before >= replicas) {
            self.lowest.pop_back();
        }
        self.lowest.push_back((now, replicas));
    }

    /// The number of pods was changed.
    pub fn changed(&mut self, from: u32, to: u32, now: Timestamp) {
        if from != to {
            self.changes.push_back(Change { at: now, from, to });
        }
    }

    /// The last change that is known.
    pub fn last_change(&self) -> Option<Change> {
        self.changes.back().copied()
    }

    /// How long there has been nothing to do.
    pub fn idle_for(&self, now: Timestamp) -> Duration {
        elapsed(self.last_work, now)
    }

    /// The highest recommendation of the last `window`; none, where that has none.
    pub fn highest(&self, window: Duration, now: Timestamp) -> Option<u32> {
        within(&self.highest, window, now)
    }

    /// The lowest recommendation of the last `window`; none, where that has none.
    pub fn lowest(&self, window: Duration, now: Timestamp) -> Option<u32> {
        within(&self.lowest, window, now)
    }

    /// How many pods have come and how many have gone in the last `period`.
    pub fn moved(&self, period: Duration, now: Timestamp) -> (u32, u32) {
        let recent = self.changes.iter().filter(|change| elapsed(change.at, now) < period);
        recent.fold((0, 0), |(came, went), change| {
            (
                came.saturating_add(change.to.saturating_sub(change.from)),
                went.saturating_add(change.from.saturating_sub(change.to)),
            )
        })
    }

    fn forget(&mut self, now: Timestamp) {
        let old = |at: Timestamp| elapsed(at, now) > LONGEST;
        while self.highest.front().is_some_and(|(at, _)| old(*at)) {
            self.highest.pop_front();
        }
        while self.lowest.front().is_some_and(|(at, _)| old(*at)) {
            self.lowest.pop_front();
        }
        // The last change stays, for whoever wants to know.
        while self.changes.len() > 1 && self.changes.front().is_some_and(|change| old(change.at)) {
            self.changes.pop_front();
        }
    }
}

fn within(recommendations: &VecDeque<(Timestamp, u32)>, window: Duration, now: Timestamp) -> Option<u32> {
    recommendations.iter().find(|(at, _)| elapsed(*at, now) < window).map(|(_, replicas)| *replicas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_window_has_its_highest_and_its_lowest() {
        let mut history = History::start(3, None, at(0));
        for (second, replicas) in [(10, 8), (20, 5), (30, 6), (40, 2), (50, 4)] {
            history.recommended(replicas, at(second));
        }
        let of = |window| {
            let window = Duration::from_secs(window);
            (history.highest(window, at(50)), history.lowest(window, at(50)))
        };
        assert_eq!(of(50), (Some(8), Some(2)));
        assert_eq!(of(30), (Some(6), Some(2)));
        assert_eq!(of(5), (Some(4), Some(4)));
    }

    #[test]
    fn what_is_kept_does_not_grow_with_the_looks() {
        let mut history = History::start(3, None, at(0));
        for second in 0..100_000 {
            history.recommended(u32::try_from(second % 20).unwrap(), at(second));
            history.looked(at(second));
        }
        assert!(history.highest.len() + history.lowest.len() <= 22);
    }

    #[test]
    fn a_long_break_or_a_clock_put_back_tears_it() {
        let mut history = History::start(3, None, at(100));
        assert!(!history.is_torn(at(115)));
        assert!(history.is_torn(at(116)));
        assert!(history.is_torn(at(99)));
        history.looked(at(116));
        assert!(!history.is_torn(at(120)));
    }
}
