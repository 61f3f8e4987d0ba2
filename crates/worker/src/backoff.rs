//! How long is waited before something that has failed is tried again: each time twice as long, up to a bound.

use std::time::Duration;

use tokio::time::sleep;

/// The next wait.
#[derive(Debug)]
pub struct Backoff {
    wait: Duration,
    most: Duration,
}

impl Backoff {
    /// The first and the longest wait.
    pub fn new((first, most): (Duration, Duration)) -> Self {
        Self { wait: first, most }
    }

    /// Waits.
    pub async fn pause(&mut self) {
        sleep(self.wait).await;
        self.wait = (self.wait * 2).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_wait_is_twice_the_one_before_up_to_the_longest() {
        let mut backoff = Backoff::new((Duration::from_secs(1), Duration::from_secs(3)));
        for seconds in [1, 2, 3, 3] {
            let before = Instant::now();
            backoff.pause().await;
            assert_eq!(before.elapsed(), Duration::from_secs(seconds));
        }
    }
}
