//! Which attempts have begun: what a worker's end has cost.

use async_trait::async_trait;

use crate::{BrokerError, Tag};

/// What a worker says of its attempts when it asks for messages, so that the broker knows of those that begin at once
/// without being told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Begun {
    /// What [`Attempts::started`] would be told now.
    pub tags: Vec<Tag>,
    /// So many of the messages that are taken begin at once: the first ones. Those of them that count lost deliveries
    /// do not: they are noted before they begin.
    pub places: usize,
}

/// What a worker says of its attempts, so that who restores its messages can count their deliveries.
#[async_trait]
pub trait Attempts: Send + Sync {
    /// These deliveries have begun to run, and are not settled: all of them, in place of what was said here before; what
    /// was said with the last taking of messages ([`Begun`]) counts as well, until nothing is said here. When
    /// this worker's lease is ended by others, they get [`crate::lost::DELIVERIES`] + 1 on their way back, and no
    /// others do; when it gives its lease up, none does. To be said again when an answer is lost. Fails with
    /// [`BrokerError::LeaseLost`] and [`BrokerError::LeaseEnded`] as [`crate::Consumer::receive`] does.
    async fn started(&self, tags: &[Tag]) -> Result<(), BrokerError>;
}
