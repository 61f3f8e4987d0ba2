//! Parked messages, looked at and taken out before their time.

use async_trait::async_trait;
use jiff::Timestamp;
use petiole_protocol::envelope::{Envelope, Malformed};

use crate::{BrokerError, Delivery};

/// The most messages that one page of [`Parking::parked`] has.
pub const MOST_LISTED: usize = 500;

/// A message that waits for its time.
#[derive(Debug)]
pub struct Parked {
    /// When it is due.
    pub due: Timestamp,
    /// The message; or why its bytes are none.
    pub envelope: Result<Envelope, Malformed>,
}

/// What a worker sees of the parked messages of its queues, whoever parked them.
#[async_trait]
pub trait Parking: Send + Sync {
    /// A page of what is parked of a queue (an index into the consumer's queues), the earliest due first. At most
    /// [`MOST_LISTED`].
    async fn parked(&self, queue: usize, offset: usize, limit: usize) -> Result<Vec<Parked>, BrokerError>;

    /// Takes out the parked messages of these tasks, from all of the consumer's queues: it holds them from now on,
    /// as if it had received them. Of several messages with one id, the first that was parked is taken; the others
    /// come at their time. Any number of workers may ask for the same ids: one gets each. Fails with
    /// [`BrokerError::LeaseLost`] and [`BrokerError::LeaseEnded`] as [`crate::Consumer::receive`] does.
    async fn unpark(&self, ids: &[String]) -> Result<Vec<Delivery>, BrokerError>;
}
