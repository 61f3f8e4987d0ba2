//! Where a worker gets its broker and its store from: a seam, so that tests can put the broker in memory here.

use std::sync::Arc;

use async_trait::async_trait;
use petiole_broker::{
    Attempts, BrokerError, Consumer, Inspector, Intake, Lease, Mailbox, Parking, Rates, Revocations,
};
use petiole_results::Store;

/// What an incarnation of a worker does on the broker, with one name for its deliveries.
pub trait Holder: Consumer + Attempts + Parking + Rates {}

impl<T: Consumer + Attempts + Parking + Rates> Holder for T {}

/// Makes the connections of a worker, most of them for one of its incarnations.
#[async_trait]
pub trait Connect: Send + Sync {
    /// What the worker takes, in all of its incarnations. Its consumers follow each change.
    fn intake(&self) -> Intake;
    /// Registers the incarnation's lease. Made on the lease's own thread, before the consumer.
    async fn lease(&self, incarnation: &str) -> Result<Arc<dyn Lease>, BrokerError>;
    /// The consumer of the incarnation.
    async fn consumer(&self, incarnation: &str) -> Result<Arc<dyn Holder>, BrokerError>;
    /// The result store; none, when the pool stores no results.
    async fn store(&self) -> Result<Option<Arc<dyn Store>>, BrokerError>;
    /// Remote control and events, for the node of this name.
    async fn mailbox(&self, nodename: &str) -> Result<Arc<dyn Mailbox>, BrokerError>;
    /// What is revoked.
    async fn revocations(&self) -> Result<Arc<dyn Revocations>, BrokerError>;
    /// The broker as seen from outside, for a look at earlier incarnations.
    async fn inspector(&self) -> Result<Arc<dyn Inspector>, BrokerError>;
}
