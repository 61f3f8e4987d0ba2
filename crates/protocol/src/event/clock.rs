//! The logical clock by which events of several nodes are put into an order.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a JSON reader with floats still tells apart. A node that claims to be further is not followed.
const LATEST: u64 = 1 << 53;

/// A Lamport clock, one for each worker: its events, its answers and what it hears share it.
#[derive(Debug, Default)]
pub struct Clock {
    value: AtomicU64,
}

impl Clock {
    /// What it says.
    pub fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// One step on: before anything is sent.
    pub fn forward(&self) -> u64 {
        self.value.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Something was heard that was sent when another node's clock said this: one step on from the later of both.
    pub fn adjust(&self, other: u64) -> u64 {
        let other = if other < LATEST { other } else { 0 };
        let before =
            self.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| Some(value.max(other) + 1));
        before.unwrap_or_else(|value| value).max(other) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_steps_on_from_the_later_one() {
        let clock = Clock::default();
        assert_eq!([clock.forward(), clock.forward()], [1, 2]);
        assert_eq!([clock.adjust(10), clock.adjust(3), clock.forward()], [11, 12, 13]);
        assert_eq!(clock.value(), 13);
    }

    #[test]
    fn a_clock_that_cannot_be_is_not_followed() {
        let clock = Clock::default();
        assert_eq!([clock.adjust(u64::MAX), clock.forward()], [1, 2]);
    }
}
