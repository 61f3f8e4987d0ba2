//! Where a worker gets its broker and its store from: a seam, so that tests can put the broker in memory here.

use std::sync::Arc;

use async_trait::async_trait;
use petiole_broker::{BrokerError, Consumer, Inspector, Lease};
use petiole_results::Store;

/// Makes the connections of a worker, most of them for one of its incarnations.
#[async_trait]
pub trait Connect: Send + Sync {
    /// Registers the incarnation's lease. Made on the lease's own thread, before the consumer.
    async fn lease(&self, incarnation: &str) -> Result<Arc<dyn Lease>, BrokerError>;
    /// The consumer of the incarnation.
    async fn consumer(&self, incarnation: &str) -> Result<Arc<dyn Consumer>, BrokerError>;
    /// The result store; none, when the pool stores no results.
    async fn store(&self) -> Result<Option<Arc<dyn Store>>, BrokerError>;
    /// The broker as seen from outside, for a look at earlier incarnations.
    async fn inspector(&self) -> Result<Arc<dyn Inspector>, BrokerError>;
}
