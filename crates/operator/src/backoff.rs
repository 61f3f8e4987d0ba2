//! How long an object waits that failed: longer each time, and each object for itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait: what is broken for long is looked at every few minutes, in case nobody tells us that it is not.
const LONGEST: Duration = Duration::from_mins(5);

/// Failures in a row, by object.
#[derive(Debug)]
pub struct Backoff<K>(Mutex<HashMap<K, u32>>);

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Backoff<K> {
    /// It failed once more: how long to wait.
    pub fn failed(&self, object: K) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = failures.entry(object).or_default();
        let wait = FIRST.saturating_mul(1 << (*failures).min(16));
        *failures = failures.saturating_add(1);
        wait.min(LONGEST)
    }

    /// It succeeded.
    pub fn succeeded(&self, object: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_waits_longer_each_time_until_it_succeeds() {
        let backoff = Backoff::default();
        let waits: Vec<u128> = (0..4).map(|_| backoff.failed("a").as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000]);
        assert_eq!(backoff.failed("b"), FIRST);
        for _ in 0..100 {
            assert!(backoff.failed("a") <= LONGEST);
        }
        backoff.succeeded(&"a");
        assert_eq!(backoff.failed("a"), FIRST);
    }
}
