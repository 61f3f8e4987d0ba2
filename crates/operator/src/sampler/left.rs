//! A queue that nobody asks about any more, with the connection to its broker, which lives as long as this.

use std::sync::Arc;

use petiole_broker::{BrokerError, Depth, Inspector};

use super::sample::Sample;
use super::{QueueKey, Watch};

/// What is left of a queue; see [`super::Sampler::leave`].
pub struct Left {
    pub(super) key: QueueKey,
    pub(super) watch: Watch,
    pub(super) broker: Arc<dyn Inspector>,
    pub(super) sample: Sample,
}

impl Left {
    /// Whether messages were seen last that wait for their time.
    pub fn parked(&self) -> bool {
        self.sample.depth().is_some_and(|depth| depth.scheduled > 0)
    }

    /// Puts its parked messages back. Says how many those were, and what the queue holds then.
    pub async fn unpark(&self) -> Result<(usize, Depth), BrokerError> {
        let queue = &self.watch.queue;
        let returned = self.broker.unpark(queue).await?;
        let depths = self.broker.depths(std::slice::from_ref(queue)).await?;
        Ok((returned, depths.first().copied().unwrap_or_default()))
    }
}
