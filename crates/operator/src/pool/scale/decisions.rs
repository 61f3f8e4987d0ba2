//! What was decided last for each pool, and the history that it came from.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use petiole_broker::Report;
use petiole_scale::history::Change;
use petiole_scale::{Decision, History, Scaling, Seen, Work, decide};

use super::signal::{STALE, Told, Unknown};
use crate::pool::PoolKey;

/// The decisions of this process, while it leads.
#[derive(Debug, Default)]
pub struct Decisions(Mutex<Pools>);

#[derive(Debug, Default)]
struct Pools {
    decided: HashMap<PoolKey, Decided>,
    /// Nothing was decided yet, because a broker was not asked yet: since when.
    waiting: HashMap<PoolKey, Timestamp>,
}

/// What is known of a pool when nobody here has looked at it before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Before {
    /// So many pods it is to have.
    pub(super) replicas: u32,
    /// When that was changed last.
    pub(super) change: Option<Change>,
    /// How long a task took.
    pub(super) task_seconds: Option<f64>,
}

#[derive(Debug)]
struct Decided {
    history: History,
    told: Told,
    /// When the work was known last.
    known: Timestamp,
    current: u32,
    last: Option<Latest>,
    /// So many pods there were when an event was published last.
    announced: u32,
}

/// What was decided last.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// The decision.
    pub decision: Decision,
    /// Why the work is not known, where it is not.
    pub unknown: Option<String>,
    /// The last change of the number of pods that is known.
    pub change: Option<Change>,
}

impl Decisions {
    /// Decides anew for a pool. Says whether that is another number or another reason than before. Whoever has only just
    /// begun waits until the brokers were asked.
    pub(super) fn look<'a>(
        &self,
        key: &PoolKey,
        scaling: &Scaling,
        work: Result<Work, Unknown>,
        reports: Option<impl Iterator<Item = &'a Report>>,
        before: impl FnOnce() -> Before,
        now: Timestamp,
    ) -> Option<(Decision, bool)> {
        let Pools { decided: pools, waiting } = &mut *self.lock();
        if pools.get(key).is_some_and(|decided| decided.history.is_torn(now)) {
            pools.remove(key);
        }
        if matches!(work, Err(Unknown::NotYet(_))) && !pools.contains_key(key) {
            let since = *waiting.entry(key.clone()).or_insert(now);
            if now.duration_since(since) < STALE {
                return None;
            }
        }
        waiting.remove(key);
        let decided = pools.entry(key.clone()).or_insert_with(|| Decided::start(&before(), now));
        if let Some(reports) = reports {
            decided.told.hear(reports, now);
        }
        let (seen, unknown) = match work {
            Ok(work) => {
                decided.known = now;
                (Seen::Work { work, task_seconds: decided.told.task_seconds() }, None)
            }
            Err(Unknown::NotYet(why) | Unknown::Now(why)) => {
                (Seen::Unknown { since: decided.known }, Some(why))
            }
        };
        let decision = decide(scaling, &decided.history, &seen, decided.current, now);
        decided.history.note(&decision);
        decided.current = decision.replicas;
        let differs = decided.last.as_ref().is_none_or(|Latest { decision: last, .. }| {
            (last.replicas, last.reason) != (decision.replicas, decision.reason)
        });
        let change = decided.history.last_change();
        decided.last = Some(Latest { decision: decision.clone(), unknown, change });
        Some((decision, differs))
    }

    /// What was decided last for a pool.
    pub fn latest(&self, key: &PoolKey) -> Option<Latest> {
        self.lock().decided.get(key)?.last.clone()
    }

    /// So many pods were applied: whether that is news, and how many there were.
    pub fn announce(&self, key: &PoolKey, replicas: i32) -> Option<u32> {
        let mut pools = self.lock();
        let decided = pools.decided.get_mut(key)?;
        let replicas = u32::try_from(replicas).unwrap_or_default();
        let before = std::mem::replace(&mut decided.announced, replicas);
        (before != replicas).then_some(before)
    }

    /// Forgets the pools that `keep` denies.
    pub fn retain(&self, keep: impl Fn(&PoolKey) -> bool) {
        let mut pools = self.lock();
        pools.decided.retain(|key, _| keep(key));
        pools.waiting.retain(|key, _| keep(key));
    }

    fn lock(&self) -> MutexGuard<'_, Pools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Decided {
    fn start(&Before { replicas, change, task_seconds }: &Before, now: Timestamp) -> Self {
        Self {
            history: History::start(replicas, change, now),
            told: Told::remembered(task_seconds),
            known: now,
            current: replicas,
            last: None,
            announced: replicas,
        }
    }
}
