//! Waiting for a state: it is looked at until it holds, for a limited time.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// Between two looks: short beside what a test waits for, long beside what a look costs.
const PAUSE: Duration = Duration::from_millis(5);

/// A state that did not come in time. `Debug` and `Display` say the same, so that `unwrap` reads well.
pub struct NotYet {
    what: String,
    limit: Duration,
    seen: String,
}

impl fmt::Display for NotYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, limit, seen } = self;
        write!(f, "waited {limit:?} for {what}; last seen: {seen}")
    }
}

impl fmt::Debug for NotYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for NotYet {}

/// Looks until `look` returns `Ok`, at most for `limit`; its `Err` says what it saw instead. It always looks once
/// more when the time is up, so that a busy machine does not fail a state that holds.
pub async fn until<T, S: fmt::Debug>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, S>,
) -> Result<T, NotYet> {
    let deadline = Instant::now() + limit;
    loop {
        let last = Instant::now() >= deadline;
        match look().await {
            Ok(found) => return Ok(found),
            Err(seen) if last => {
                return Err(NotYet { what: what.to_owned(), limit, seen: format!("{seen:?}") });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_in_time_is_returned() {
        let mut looks = 0;
        let found = until("the third look", Duration::from_secs(1), async || {
            looks += 1;
            if looks == 3 { Ok("found") } else { Err(looks) }
        });
        assert_eq!(found.await.unwrap(), "found");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_says_what_was_seen_instead() {
        let missing = until("a fourth wheel", Duration::from_secs(1), async || Err::<(), _>("three wheels"));
        assert_eq!(
            missing.await.unwrap_err().to_string(),
            "waited 1s for a fourth wheel; last seen: \"three wheels\""
        );
    }
}
