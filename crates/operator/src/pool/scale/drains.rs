//! The drains that are under way, by pool, while this process leads.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::drain::{Known, Plan, Seen, plan};
use crate::pool::PoolKey;

/// What is known of them.
#[derive(Debug, Default)]
pub struct Drains(Mutex<HashMap<PoolKey, Known>>);

impl Drains {
    /// What to do now for a pool.
    pub(in crate::pool) fn look(&self, key: &PoolKey, seen: &Seen<'_>) -> Plan {
        let mut pools = self.lock();
        let known = pools.entry(key.clone()).or_default();
        let (plan, next) = plan(seen, known);
        *known = next;
        plan
    }

    /// Forgets the pools that `keep` denies.
    pub fn retain(&self, keep: impl Fn(&PoolKey) -> bool) {
        self.lock().retain(|key, _| keep(key));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PoolKey, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
