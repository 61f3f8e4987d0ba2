//! Which sequence numbers a receive that is under way may still be taking.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Hands out sequence numbers, and knows which of them are in somebody's hands.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    ranges: Vec<Range<u64>>,
}

impl UnderWay {
    /// Takes so many numbers, which are under way until the result is dropped: also when the future that holds it
    /// is.
    pub(super) fn begin(&self, count: usize) -> Taking<'_> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = state.next..state.next + count as u64;
        state.next = numbers.end;
        state.ranges.push(numbers.clone());
        Taking { all: self, numbers }
    }

    /// The numbers that are under way, and those that were not handed out yet.
    pub(super) fn now(&self) -> Vec<Range<u64>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ranges = state.ranges.clone();
        ranges.push(state.next..u64::MAX);
        ranges
    }
}

/// Numbers that are under way.
#[derive(Debug)]
pub(super) struct Taking<'a> {
    all: &'a UnderWay,
    numbers: Range<u64>,
}

impl Taking<'_> {
    /// The first of them.
    pub(super) fn first(&self) -> u64 {
        self.numbers.start
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        let mut state = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ranges.retain(|numbers| *numbers != self.numbers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_under_way_until_they_are_dropped() {
        let under_way = UnderWay::default();
        let first = under_way.begin(10);
        let second = under_way.begin(5);
        assert_eq!((first.first(), second.first()), (0, 10));
        drop(first);
        assert_eq!(under_way.now(), [10..15, 15..u64::MAX]);
    }
}
