//! Celery's own workers, for one who looks at them now and then: what they say of themselves, what they are told, and what
//! they answer. Envelopes are moved here; what they mean is `petiole-protocol`'s.

use async_trait::async_trait;
use petiole_protocol::envelope::Envelope;

use crate::BrokerError;

/// The most events, and the most answers, that are kept until they are taken. What is more is not heard.
pub const MOST_SAID: usize = 10_000;

/// The most bytes of them. A single one that has more is passed over.
pub(crate) const MOST_BYTES: usize = 16 << 20;

/// What was said.
#[derive(Debug, Default)]
pub struct Said {
    /// Nothing was missed since the call before. Never, the first time.
    pub whole: bool,
    /// Messages with events of workers (`worker.#`), in the order in which they came.
    pub events: Vec<Envelope>,
    /// Messages with answers, in the order in which they came.
    pub answers: Vec<Envelope>,
}

/// Events and remote control of Celery's own workers, in Celery's default namespace. It listens from the first call on.
#[async_trait]
pub trait Remote: Send + Sync {
    /// The routing key by which answers find us: part of a request's `reply_to`.
    fn answers_to(&self) -> &str;

    /// Says these requests to all workers, and takes what was said since the call before, without waiting for answers: they
    /// come with a later call. Answers that nobody takes are gone after 10 s.
    async fn converse(&self, requests: &[Envelope]) -> Result<Said, BrokerError>;
}
