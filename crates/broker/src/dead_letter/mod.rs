//! Dead-letter queues: what stands in them, put back or dropped.
//!
//! ```text
//!   page ──> letters that are wanted ──take──> back in the queues that they came from | gone
//! ```

mod form;

use async_trait::async_trait;

pub(crate) use self::form::bury;
pub use self::form::{DEAD_LETTER, DeadLetter};
use crate::BrokerError;

/// The most letters that one page has.
pub const MOST_LETTERS: usize = 100;

/// A part of a dead-letter queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// How many letters there are in all.
    pub total: usize,
    /// Those of this page, the oldest first.
    pub letters: Vec<DeadLetter>,
}

/// What becomes of letters that are taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They go back, behind the others of their priority in the queue that they came from: without the header that
    /// says why they were given up, and with no deliveries counted. One that does not say where it came from stays.
    PutBack,
    /// They are gone.
    Dropped,
}

/// Dead-letter queues, by their names on the broker.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// A page of a queue, behind so many older letters. At most [`MOST_LETTERS`].
    async fn page(&self, queue: &str, offset: usize, limit: usize) -> Result<Page, BrokerError>;

    /// Takes these letters out, each by one step: it stands in one place or the other, whoever stops halfway. Says how
    /// many were still there.
    async fn take(&self, queue: &str, letters: &[DeadLetter], fate: Fate) -> Result<usize, BrokerError>;
}

/// What [`take_all`] has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many letters were taken out.
    pub taken: usize,
    /// How many were to be put back, and do not say where they came from.
    pub stuck: usize,
}

/// Takes out all letters that are wanted, the oldest first. What comes into the queue meanwhile is left: a letter that is
/// put back and given up again comes by once. One that others take at the same time is theirs.
pub async fn take_all(
    dead: &dyn DeadLetters,
    queue: &str,
    wanted: &(dyn Fn(&DeadLetter) -> bool + Sync),
    fate: Fate,
) -> Result<Taken, BrokerError> {
    let (mut all, mut offset, mut left) = (Taken::default(), 0, None);
    loop {
        let page = dead.page(queue, offset, left.unwrap_or(MOST_LETTERS).min(MOST_LETTERS)).await?;
        let seen = page.letters.len();
        let rest = left.unwrap_or(page.total).saturating_sub(seen);
        let chosen = page.letters.into_iter().filter(wanted);
        let (going, stuck): (Vec<_>, Vec<_>) =
            chosen.partition(|letter| fate == Fate::Dropped || letter.put_back().is_some());
        all.taken += dead.take(queue, &going, fate).await?;
        all.stuck += stuck.len();
        if seen == 0 || rest == 0 {
            return Ok(all);
        }
        offset += seen - going.len();
        left = Some(rest);
    }
}
