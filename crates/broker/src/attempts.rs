//! Which attempts have begun: what a worker's end has cost.

use async_trait::async_trait;

use crate::{BrokerError, Tag};

/// What a worker says of its attempts, so that who restores its messages can count their deliveries.
#[async_trait]
pub trait Attempts: Send + Sync {
    /// These deliveries have begun to run, and are not settled: all of them, in place of what was said before. When
    /// this worker's lease is ended by others, they get [`crate::lost::DELIVERIES`] + 1 on their way back, and no
    /// others do; when it gives its lease up, none does. To be said again when an answer is lost. Fails with
    /// [`BrokerError::LeaseLost`] and [`BrokerError::LeaseEnded`] as [`crate::Consumer::receive`] does.
    async fn started(&self, tags: &[Tag]) -> Result<(), BrokerError>;
}
