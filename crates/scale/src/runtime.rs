//! How long a pool's tasks take.
//!
//! Two things are known: how long those took that have ended, and for how long those run that have not. What runs longer
//! than what has ended says that tasks have become longer, and it says so long before any of them ends: a task of an
//! hour is not taken for a short one until its hour is over.

use std::time::Duration;

use jiff::Timestamp;

/// What has ended counts half after this time. The mean stays what it is while nothing ends.
const HALF_LIFE: Duration = Duration::from_mins(5);
/// Below this weight what has ended does not fade any further: it is all that is known.
const FAINT: f64 = 1e-6;

/// How long a pool's tasks take.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Runtime {
    /// How many have ended; the older, the less they count.
    ended: f64,
    /// Their seconds, faded in the same way.
    seconds: f64,
    /// When these two were brought up to date.
    at: Option<Timestamp>,
}

/// What runs at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Running {
    /// How many tasks.
    pub count: u64,
    /// For how long they have run, all of them together.
    pub age: Duration,
}

impl Runtime {
    /// As an earlier decision had it, where there was one. It counts as much as a single task.
    pub fn remembered(seconds: Option<f64>) -> Self {
        match seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0) {
            Some(seconds) => Self { ended: 1.0, seconds, at: None },
            None => Self::default(),
        }
    }

    /// So many tasks have ended since the last call, which took so long together.
    pub fn add(&mut self, ended: u64, took: Duration, now: Timestamp) {
        let since = self.at.map_or(Duration::ZERO, |at| elapsed(at, now));
        if self.ended > FAINT {
            let faded = (-since.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
            self.ended *= faded;
            self.seconds *= faded;
        }
        self.at = Some(now);
        #[allow(clippy::cast_precision_loss, reason = "a mean needs no exact count")]
        let count = ended as f64;
        self.ended += count;
        self.seconds += took.as_secs_f64();
    }

    /// The seconds that a task takes: nothing, as long as none has ended and none runs.
    pub fn task_seconds(&self, running: Running) -> Option<f64> {
        let ended = (self.ended > 0.0).then(|| self.seconds / self.ended);
        #[allow(clippy::cast_precision_loss, reason = "a mean needs no exact count")]
        let so_far = (running.count > 0).then(|| running.age.as_secs_f64() / running.count as f64);
        match (ended, so_far) {
            (Some(ended), Some(so_far)) => Some(ended.max(so_far)),
            (one, other) => one.or(other),
        }
    }
}

/// The time between the two; none, where the clock was put back.
pub(crate) fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "sums of whole numbers are exact")]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn nothing_is_known_before_the_first_task() {
        assert_eq!(Runtime::default().task_seconds(Running::default()), None);
        assert_eq!(Runtime::remembered(Some(f64::NAN)), Runtime::default());
    }

    #[test]
    fn the_mean_of_what_has_ended_stays_while_nothing_ends() {
        let mut runtime = Runtime::default();
        runtime.add(4, Duration::from_secs(10), at(0));
        for hour in 1..1000 {
            runtime.add(0, Duration::ZERO, at(hour * 3600));
        }
        assert!((runtime.task_seconds(Running::default()).unwrap() - 2.5).abs() < 1e-9);
    }

    #[test]
    fn tasks_of_an_hour_are_known_to_be_long_before_they_end() {
        let mut runtime = Runtime::default();
        runtime.add(1000, Duration::from_secs(20), at(0));
        let running = Running { count: 10, age: Duration::from_mins(100) };
        assert_eq!(runtime.task_seconds(running), Some(600.0));
        // The first of them has ended, and others have just begun.
        let mut long = Runtime::default();
        long.add(10, Duration::from_hours(10), at(0));
        let begun = Running { count: 10, age: Duration::from_secs(5) };
        assert_eq!(long.task_seconds(begun), Some(3600.0));
    }

    #[test]
    fn what_is_remembered_gives_way_to_what_is_seen() {
        let mut runtime = Runtime::remembered(Some(60.0));
        assert_eq!(runtime.task_seconds(Running::default()), Some(60.0));
        runtime.add(999, Duration::from_secs(99), at(0));
        let now = runtime.task_seconds(Running::default()).unwrap();
        assert!(now < 0.2, "{now}");
    }

    #[test]
    fn a_clock_that_was_put_back_fades_nothing() {
        let mut runtime = Runtime::default();
        runtime.add(1, Duration::from_secs(3), at(1000));
        runtime.add(1, Duration::from_secs(5), at(0));
        assert_eq!(runtime.task_seconds(Running::default()), Some(4.0));
    }
}
