//! Times that are equally far apart.

use std::time::Duration;

use jiff::Timestamp;

/// Every so often.
///
/// The times are counted from an anchor, the schedule's start or else 1970-01-01T00:00:00Z: not from the last run, as
/// Celery does it, which drifts; and not from the object's creation, which a restored or re-applied object has anew. So
/// whoever looks, whenever, sees the same times, and `every: 15m` without a start is at 0, 15, 30 and 45 minutes past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every {
    interval: Duration,
    anchor: Timestamp,
}

/// An interval that none can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("every: {given:?} is not between 1 second and 3660 days, which an interval must be")]
pub struct BadInterval {
    /// What was given.
    pub given: Duration,
}

impl Every {
    /// Whatever is more frequent is no work for a queue.
    pub const SHORTEST: Duration = Duration::from_secs(1);
    /// Whatever is rarer is meant as an instant: ten years.
    pub const LONGEST: Duration = Duration::from_hours(3660 * 24);

    /// Every so often, counted from `start` if there is one.
    pub fn new(interval: Duration, start: Option<Timestamp>) -> Result<Self, BadInterval> {
        if !(Self::SHORTEST..=Self::LONGEST).contains(&interval) {
            return Err(BadInterval { given: interval });
        }
        Ok(Self { interval, anchor: start.unwrap_or(Timestamp::UNIX_EPOCH) })
    }

    /// How far apart they are.
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// The first one later than `after`.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let interval = i128::try_from(self.interval.as_nanos()).ok()?;
        let anchor = self.anchor.as_nanosecond();
        let passed = (after.as_nanosecond() - anchor).div_euclid(interval);
        Timestamp::from_nanosecond(anchor + (passed + 1) * interval).ok()
    }
}
