//! How many messages to hold ahead of those that run.

use std::time::Duration;

/// The most that is held ahead: four batches of 64, enough to keep receive, run and commit busy at once.
const MOST: usize = 256;

/// What is held ahead should be worked off in this time. It bounds how long a message waits behind our own backlog
/// while another worker is idle, and keeps tasks of 20 ms and more from being held ahead at all.
const HORIZON: f64 = 0.020;

/// The weight of the newest run in the mean.
const NEWEST: f64 = 1.0 / 16.0;

/// The mean run time, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Window {
    mean: Option<f64>,
}

impl Window {
    /// A run took so long.
    pub(super) fn took(&mut self, time: Duration) {
        let time = time.as_secs_f64();
        self.mean = Some(self.mean.map_or(time, |mean| mean + (time - mean) * NEWEST));
    }

    /// A run has taken so long and is still going on: the mean is no guide any more.
    pub(super) fn stuck(&mut self, time: Duration) {
        let time = time.as_secs_f64();
        self.mean = Some(self.mean.map_or(time, |mean| mean.max(time)));
    }

    /// How many messages to hold ahead, when so many tasks run at the same time.
    pub(super) fn ahead(&self, concurrency: usize) -> usize {
        match self.mean {
            None => 0,
            Some(mean) => (1..=MOST)
                .rev()
                .find(|ahead| mean * count(*ahead) <= HORIZON * count(concurrency))
                .unwrap_or(0),
        }
    }
}

/// A small count as a float; exact below 2^32.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(milliseconds: f64, concurrency: usize) -> usize {
        let mut window = Window::default();
        window.took(Duration::from_secs_f64(milliseconds / 1000.0));
        window.ahead(concurrency)
    }

    #[test]
    fn nothing_is_held_ahead_before_the_first_run_has_ended() {
        assert_eq!(Window::default().ahead(8), 0);
    }

    #[test]
    fn quick_tasks_are_held_ahead_and_slow_ones_are_not() {
        assert_eq!(after(0.01, 1), MOST);
        assert_eq!(after(1.0, 1), 20);
        assert_eq!(after(1.0, 4), 80);
        assert_eq!(after(20.0, 1), 1);
        assert_eq!(after(25.0, 1), 0);
    }

    #[test]
    fn one_run_that_hangs_ends_the_holding_ahead() {
        let mut window = Window::default();
        window.took(Duration::from_micros(10));
        window.stuck(Duration::from_secs(1));
        assert_eq!(window.ahead(4), 0);
    }
}
