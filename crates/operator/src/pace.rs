//! How often status is written: when a condition changes, or work comes or has gone, at once, otherwise at most every
//! [`FIGURES`] per object; and by the whole operator at most [`PER_SECOND`] times a second. Where there are so many objects
//! that their figures alone would fill that, they are written less often, so that a condition need not wait for them.
//! Status is for people and `kubectl wait`; what changes each second is in the metrics.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Between two writes of one object's figures.
pub const FIGURES: Duration = Duration::from_secs(15);
/// Writes in a second, over all objects.
const PER_SECOND: u32 = 20;
/// Writes in a second that are of figures only, over all objects of one kind. There are two kinds.
const FIGURES_PER_SECOND: u32 = 8;

/// What has changed since status was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// Figures only.
    Figures,
    /// A condition, whether there is work, or which spec it is about.
    State,
}

/// Who writes when. `K` names an object.
#[derive(Debug)]
pub struct Pace<K> {
    last: Mutex<HashMap<K, Instant>>,
    turns: Turns,
}

/// The turns of all objects of all kinds. Clones share them.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Mutex<Instant>>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Turns {
    async fn next(&self) {
        let mine = {
            let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mine = (*next).max(Instant::now());
            *next = mine + Duration::from_secs(1) / PER_SECOND;
            mine
        };
        sleep_until(mine).await;
    }
}

impl<K: Eq + Hash + Clone> Pace<K> {
    /// The pace of one kind's objects, which take their turns among those of other kinds.
    pub fn new(turns: Turns) -> Self {
        Self { last: Mutex::default(), turns }
    }

    /// When a change is to be written: nothing, when there is none; otherwise after this time, which may be none.
    pub fn due(&self, object: &K, change: Change) -> Option<Duration> {
        let now = Instant::now();
        match change {
            Change::None => None,
            Change::State => Some(Duration::ZERO),
            Change::Figures => {
                let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                let objects = u32::try_from(last.len()).unwrap_or(u32::MAX);
                let every = FIGURES.max(Duration::from_secs(1).saturating_mul(objects) / FIGURES_PER_SECOND);
                let last = last.get(object).copied();
                Some(last.map_or(Duration::ZERO, |last| (last + every).saturating_duration_since(now)))
            }
        }
    }

    /// Waits for the object's turn among all others, and takes note that it is written now.
    pub async fn turn(&self, object: &K) {
        self.turns.next().await;
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(object.clone(), Instant::now());
    }

    /// Forgets objects that `keep` denies.
    pub fn retain(&self, keep: impl Fn(&K) -> bool) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).retain(|object, _| keep(object));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_condition_is_written_at_once_and_figures_wait() {
        let pace = Pace::new(Turns::default());
        assert_eq!(pace.due(&"a", Change::Figures), Some(Duration::ZERO));
        pace.turn(&"a").await;
        assert_eq!(pace.due(&"a", Change::None), None);
        assert_eq!(pace.due(&"a", Change::Figures), Some(FIGURES));
        assert_eq!(pace.due(&"a", Change::State), Some(Duration::ZERO));
        tokio::time::advance(FIGURES).await;
        assert_eq!(pace.due(&"a", Change::Figures), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn figures_of_many_objects_leave_turns_to_conditions() {
        let pace = Pace::new(Turns::default());
        for object in 0..1000 {
            pace.turn(&object).await;
        }
        assert_eq!(pace.due(&999, Change::Figures), Some(Duration::from_secs(125)));
        assert_eq!(pace.due(&999, Change::State), Some(Duration::ZERO));
        pace.retain(|object| *object >= 900);
        assert_eq!(pace.due(&999, Change::Figures), Some(FIGURES));
    }

    #[tokio::test(start_paused = true)]
    async fn all_objects_together_write_twenty_times_a_second() {
        let turns = Turns::default();
        let (queues, pools) = (Pace::new(turns.clone()), Pace::new(turns));
        let start = Instant::now();
        for object in 0..20 {
            queues.turn(&object).await;
            pools.turn(&object).await;
        }
        queues.turn(&0).await;
        // The clock stands still but for this.
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }
}
