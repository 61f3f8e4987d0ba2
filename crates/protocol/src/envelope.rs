//! A message apart from its transport: headers, properties and body, as a producer wrote them.
//!
//! Headers are what a worker reads before it touches the body; properties belong to the broker (AMQP's basic
//! properties, which kombu carries along on every transport). What is not known here is kept as it came.

use bytes::Bytes;

use crate::json::{Invalid, Object};

/// A message apart from its transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The headers, a user's own among them.
    pub headers: Object,
    /// The properties.
    pub properties: Properties,
    /// What the body is: `application/json`.
    pub content_type: Option<String>,
    /// How its text is encoded: `utf-8`, or `binary` for what is no text.
    pub content_encoding: Option<String>,
    /// The body, as the producer's serializer (and compression) left it.
    pub body: Bytes,
}

/// AMQP's basic properties, and what producers put beside them. A property whose value is not of the type that it
/// has here is found in `other`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// The task's id, which an `rpc` result goes by.
    pub correlation_id: Option<String>,
    /// The queue of the producer's `rpc` results. Sent by every client, also by those with another store.
    pub reply_to: Option<String>,
    /// Properties that are not known here.
    pub other: Object,
    /// 2 for a message that survives the broker's restart, 1 for one that does not.
    pub delivery_mode: Option<u8>,
    /// Milliseconds after which a broker may drop the message, as text. Redis ignores it.
    pub expiration: Option<String>,
    /// How the message was routed.
    pub delivery_info: DeliveryInfo,
    /// 0 is the most urgent on Redis, and the least on RabbitMQ.
    pub priority: Option<u8>,
    /// kombu's key for a message that is held, the same after a restore.
    pub delivery_tag: Option<String>,
}

/// How a message was routed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryInfo {
    /// The exchange; empty for a message that was sent to a queue by its name, which is Celery's default.
    pub exchange: Option<String>,
    /// The routing key: the queue's name, when the exchange is empty.
    pub routing_key: Option<String>,
    /// The message was delivered before, and given back.
    pub redelivered: Option<bool>,
    /// What else there is.
    pub other: Object,
}

/// The delivery mode of a message that is lost when its broker restarts.
const TRANSIENT: u8 = 1;

/// The delivery mode of one that is not.
pub(crate) const PERSISTENT: u8 = 2;

impl Envelope {
    /// A message of kombu's own kinds (remote control, events): JSON, sent to this exchange by this key. It has no
    /// priority, and is lost with the broker unless it is made to last.
    pub(crate) fn of_json(
        exchange: String,
        routing_key: String,
        headers: &str,
        body: String,
        delivery_tag: String,
    ) -> Self {
        Self {
            headers: Object::of(headers).unwrap_or_default(),
            properties: Properties {
                delivery_mode: Some(TRANSIENT),
                delivery_info: DeliveryInfo {
                    exchange: Some(exchange),
                    routing_key: Some(routing_key),
                    ..DeliveryInfo::default()
                },
                priority: Some(0),
                delivery_tag: Some(delivery_tag),
                ..Properties::default()
            },
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            body: body.into(),
        }
    }

    /// Whether the message was delivered before, and given back. kombu's restore says so in two places: in the
    /// headers, and in the delivery information; either counts.
    pub fn redelivered(&self) -> bool {
        self.properties.delivery_info.redelivered == Some(true)
            || self.headers.get(REDELIVERED) == Some("true")
    }
}

/// The member of the headers and of the delivery information that marks a restored message.
pub const REDELIVERED: &str = "redelivered";

/// Why bytes are no envelope, or would not be one after an edit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They are not JSON.
    #[error("the message is not an envelope of kombu: {0}")]
    NotJson(Invalid),
    /// A header that is to be added is not JSON.
    #[error("the header's value is not JSON: {0}")]
    Header(Invalid),
    /// A member has another type than kombu writes.
    #[error("the envelope's `{member}` must be {expected}")]
    Member {
        /// Its name.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The body's encoding for transport is none that kombu has.
    #[error("the envelope's `body_encoding` must be \"base64\" or null, not {0}")]
    BodyEncoding(String),
    /// The body is not base64, though the envelope says so.
    #[error("the envelope's `body` is not base64")]
    Base64,
}
