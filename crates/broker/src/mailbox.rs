//! Remote control and events: what workers and clients say to each other beside the tasks (kombu's pidbox, Celery's
//! events). Envelopes are moved here; what they mean is `petiole-protocol`'s.

use std::time::Duration;

use async_trait::async_trait;
use petiole_protocol::envelope::{Envelope, Malformed};
use petiole_protocol::keys::CONTROL_EXCHANGE;
use uuid::Uuid;

use crate::BrokerError;

/// What a node of remote control is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its node name: `<name>@<host>`.
    pub name: String,
    /// Celery's `control_exchange`.
    pub namespace: String,
}

impl Node {
    /// A node in Celery's default namespace.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), namespace: CONTROL_EXCHANGE.to_owned() }
    }
}

/// Where something is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// The exchange.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
}

/// Which queue an exchange feeds, under which routing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundQueue {
    /// The direct exchange and the routing key.
    pub from: Address,
    /// The queue.
    pub queue: String,
}

impl BoundQueue {
    /// Celery's default: a direct exchange and a routing key of the queue's own name.
    pub fn named(name: &str) -> Self {
        let from = Address { exchange: name.to_owned(), routing_key: name.to_owned() };
        Self { from, queue: name.to_owned() }
    }
}

/// What a node hears.
#[derive(Debug)]
pub enum Heard {
    /// From here on everything is heard. Said first, and again after each gap: what was said in between is gone
    /// (revocations are kept elsewhere: see [`crate::Revocations`]).
    Listening,
    /// A request to all nodes; or why its bytes are none.
    Request(Result<Box<Envelope>, Malformed>),
    /// The broker cannot be listened to. It is tried again by the next call.
    Deaf(BrokerError),
}

/// A worker's side of remote control and events. On a connection of its own, so that no burst of tasks delays an
/// answer.
#[async_trait]
pub trait Mailbox: Send + Sync {
    /// Waits for what is heard next, and registers the node with its first call. One caller at a time; a call that is
    /// given up loses nothing. After [`Heard::Deaf`] the next call waits a moment before it tries again.
    async fn next(&self) -> Heard;

    /// Answers a request. Says whether anybody was bound to that address; otherwise the answer is dropped. An answer
    /// that nobody takes is gone after 10 s.
    async fn reply(&self, to: &Address, reply: &Envelope) -> Result<bool, BrokerError>;

    /// Says something to all who listen to a fanout exchange: events, or a request of our own. One round trip for
    /// the batch. Answers how many listened to each: where nobody does, events need not be made.
    async fn broadcast(&self, batch: &[(Address, Envelope)]) -> Result<Vec<u64>, BrokerError>;

    /// Makes these queues known to exchanges, so that clients that publish to an exchange reach them.
    async fn bind(&self, bindings: &[BoundQueue]) -> Result<(), BrokerError>;

    /// A place for the answers to a request of our own.
    async fn inbox(&self) -> Result<Box<dyn Inbox>, BrokerError>;

    /// The node is no longer there, and hears nothing more.
    async fn leave(&self) -> Result<(), BrokerError>;
}

/// A place for the answers to a request of our own. It has to be closed; what is left open goes by itself, though
/// only kombu 5.7 clears its name away.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// The request's `reply_to`.
    fn address(&self) -> &Address;
    /// The next answer; none, when none comes within this time, of which at most two seconds are waited.
    async fn next(&self, within: Duration) -> Result<Option<Result<Envelope, Malformed>>, BrokerError>;
    /// Takes the place away, with what still stands in it.
    async fn close(&self) -> Result<(), BrokerError>;
}

/// The longest that [`Inbox::next`] waits: shorter than what the server's answer is waited for.
pub(crate) const INBOX_WAIT: Duration = Duration::from_secs(2);

/// The envelope with what kombu's transport adds to a message that it sends: where it was sent to, the most urgent
/// priority, and a tag (without which kombu cannot read it).
pub(crate) fn sent(to: &Address, envelope: &Envelope) -> Envelope {
    let mut envelope = envelope.clone();
    let properties = &mut envelope.properties;
    properties.delivery_info.exchange = Some(to.exchange.clone());
    properties.delivery_info.routing_key = Some(to.routing_key.clone());
    properties.priority.get_or_insert(0);
    properties.delivery_tag.get_or_insert_with(|| Uuid::new_v4().to_string());
    envelope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_has_what_kombu_reads_it_by() {
        let to = Address { exchange: "celeryev".to_owned(), routing_key: "task.multi".to_owned() };
        let properties = sent(&to, &Envelope::default()).properties;
        assert_eq!(properties.delivery_info.exchange.as_deref(), Some("celeryev"));
        assert_eq!(properties.delivery_info.routing_key.as_deref(), Some("task.multi"));
        assert_eq!(properties.priority, Some(0));
        assert!(properties.delivery_tag.is_some());
    }
}
