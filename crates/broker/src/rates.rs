//! Rate limits: how far apart the starts of a task are, over all workers of a pool.
//!
//! ```text
//!   received ──start──> its turn: it runs
//!                └────> too early: parked, in the line of its task ──receive──> its turn has come: it runs
//! ```
//!
//! Nothing is reserved: there is one gate for each pool and task, which opens an interval after the last start, and a line for
//! each queue and task, whose first message goes through when somebody asks for work and the gate is open. So another
//! limit counts at once for all that wait, and who leaves the line leaves no gap.
//!
//! What stands in line is parked like what waits for its time, until a little after its turn should have come: when no
//! worker serves the line any more, it goes back to its queue by itself.

use std::time::Duration;

use async_trait::async_trait;

use crate::{BrokerError, Tag};

/// A start that comes late by at most so much does not delay those after it: without that, each look that comes a
/// little late would lower the rate. More than that is not caught up, so in any time there are at most as many
/// starts as the limit gives in it and this together, and one.
pub const SLACK: Duration = Duration::from_millis(50);

/// How long after its turn should have come a message in line goes back to its queue. Above the time between two looks of
/// a worker that has room, so that one that is served does not meet it.
pub const OVERDUE: Duration = Duration::from_secs(2);

/// A held message that wants to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Which delivery.
    pub tag: Tag,
    /// Its task's name.
    pub task: String,
    /// Its task's id.
    pub id: String,
    /// The priority that it says: the most urgent stand first in line.
    pub priority: u8,
}

/// Whether a message may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It may, now: its start is counted.
    Now,
    /// Not yet: it is parked, and comes again when its turn has come.
    Later,
    /// This worker no longer held the message.
    Lost,
}

/// Lets tasks start as [`crate::Intake::limit`] says.
#[async_trait]
pub trait Rates: Send + Sync {
    /// Asks for the starts of held messages. The answers stand in the order of the batch. One that is parked was settled
    /// by that, atomically with the answer. A task without a limit may start. Fails with [`BrokerError::LeaseLost`] and
    /// [`BrokerError::LeaseEnded`] as [`crate::Consumer::receive`] does. After any other failure it may be asked
    /// again: what was parked is [`Turn::Lost`] then.
    async fn start(&self, batch: &[Start]) -> Result<Vec<Turn>, BrokerError>;
}

/// How many messages may start now, and when the first of them may, where the last start was then. All in microseconds.
pub(crate) fn open(last: i64, interval: i64, now: i64, slack: i64) -> (i64, i64) {
    let interval = interval.max(1);
    let next = last.saturating_add(interval).max(now - slack);
    let count = (now - next).div_euclid(interval) + 1;
    (count.max(0), next)
}

/// Whole microseconds.
pub(crate) fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_is_lost_but_for_the_slack() {
        // Ten seconds apart; idle for long.
        assert_eq!(open(0, 10_000_000, 100_000_000, 50_000), (1, 99_950_000));
        // A thousand a second; late by 3 ms.
        assert_eq!(open(96_000, 1_000, 100_000, 50_000), (4, 97_000));
        assert_eq!(open(99_001, 1_000, 100_000, 50_000), (0, 100_001));
        assert_eq!(open(99_000, 1_000, 100_000, 50_000), (1, 100_000));
    }
}
