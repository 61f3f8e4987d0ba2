//! What Celery's own workers say, and what they are told, on the inspector's connection.
//!
//! ```text
//!   /<db>.celeryev/worker.*    ──PSUBSCRIBE──> events
//!   /<db>.celery.pidbox        <──PUBLISH───── requests
//!   <key>.reply.celery.pidbox  ──RPOP────────> answers
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use petiole_protocol::envelope::Envelope;
use petiole_protocol::keys::{
    BINDING_TTL_MS, CONTROL_EXCHANGE, CONTROL_QUEUE_TTL_MS, EVENT_EXCHANGE, FANOUT_PREFIX, binding,
    control_exchange, control_reply_exchange, control_reply_queue,
};
use redis::{PushInfo, PushKind, Value};
use uuid::Uuid;

use super::during;
use super::inspect::RedisInspector;
use super::scripts::{BIND_EXPIRING, TAKE_ANSWERS};
use crate::mailbox::sent;
use crate::remote::MOST_BYTES;
use crate::{Address, BrokerError, MOST_SAID, Remote, Said};

/// All events of workers, as Redis' patterns have it.
const WORKER_EVENTS: &str = "worker.*";

/// Between two renewals of the place for answers: kombu's `health_check_interval`.
const RENEW: Duration = Duration::from_secs(25);

/// How far listening has got, and what was heard.
#[derive(Debug)]
pub(super) struct Ear {
    heard: Arc<Heard>,
    /// The connection on which the server was asked to tell us, and when the place for answers was renewed.
    subscribed: Mutex<Option<(u64, Instant)>>,
    routing_key: String,
}

/// What has come and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Heard {
    events: Mutex<(Vec<Vec<u8>>, usize)>,
    /// Something was missed: the connection was lost, or it was too much.
    missed: AtomicBool,
}

impl Ear {
    pub(super) fn new(heard: Arc<Heard>) -> Self {
        Self { heard, subscribed: Mutex::default(), routing_key: Uuid::new_v4().to_string() }
    }

    fn subscribed(&self) -> Option<(u64, Instant)> {
        *self.subscribed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_subscribed(&self, generation: u64) {
        let mut subscribed = self.subscribed.lock().unwrap_or_else(PoisonError::into_inner);
        *subscribed = Some((generation, Instant::now()));
    }
}

impl Heard {
    /// Takes what the server says.
    pub(super) fn hear(&self, push: PushInfo) {
        match push.kind {
            PushKind::Disconnection => self.missed.store(true, Ordering::Release),
            PushKind::PMessage => {
                // Pattern, channel, message.
                let Some(Value::BulkString(raw)) = push.data.into_iter().nth(2) else { return };
                let mut kept = self.events.lock().unwrap_or_else(PoisonError::into_inner);
                let (events, bytes) = &mut *kept;
                if events.len() >= MOST_SAID || *bytes + raw.len() > MOST_BYTES {
                    self.missed.store(true, Ordering::Release);
                } else {
                    *bytes += raw.len();
                    events.push(raw);
                }
            }
            _ => {}
        }
    }

    fn take(&self) -> Vec<Envelope> {
        let taken = std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner));
        envelopes(taken.0)
    }
}

/// What is none is somebody else's, and passed over.
fn envelopes(raw: Vec<Vec<u8>>) -> Vec<Envelope> {
    let read = |raw: Vec<u8>| {
        Envelope::from_redis(&raw)
            .inspect_err(|error| tracing::debug!(%error, "what was said is no message"))
            .ok()
    };
    raw.into_iter().filter_map(read).collect()
}

impl RedisInspector {
    /// Listens to events.
    async fn listen(&self) -> Result<(), BrokerError> {
        let Self { connection, keys, ear, .. } = self;
        let doing = "listen to workers";
        ear.heard.missed.store(false, Ordering::Release);
        let mut ask = redis::cmd("PSUBSCRIBE");
        ask.arg(keys.celery().fanout(
            FANOUT_PREFIX,
            connection.endpoint().db(),
            EVENT_EXCHANGE,
            WORKER_EVENTS,
        ));
        let _: Value = connection.query(&ask).await.map_err(during(doing))?;
        // Should the connection be another one by now, the one before it was cut off, and `missed` says so.
        let generation = connection.generation();
        self.bind().await?;
        ear.set_subscribed(generation);
        Ok(())
    }

    /// Makes a place for answers, as kombu does for a queue that expires.
    async fn bind(&self) -> Result<(), BrokerError> {
        let Self { connection, keys, ear, .. } = self;
        let exchange = control_reply_exchange(CONTROL_EXCHANGE);
        let queue = control_reply_queue(CONTROL_EXCHANGE, &ear.routing_key);
        let mut call = BIND_EXPIRING.call(2);
        call.arg(keys.celery().bindings(&exchange)).arg(keys.celery().binding_deadlines());
        call.arg(binding(&ear.routing_key, "", &queue)).arg(exchange);
        call.arg(BINDING_TTL_MS.max(2 * CONTROL_QUEUE_TTL_MS));
        let _: Value = connection.run(call).await.map_err(during("make a place for answers"))?;
        Ok(())
    }

    async fn say(&self, requests: &[Envelope]) -> Result<(), BrokerError> {
        if requests.is_empty() {
            return Ok(());
        }
        let to = Address { exchange: control_exchange(CONTROL_EXCHANGE), routing_key: String::new() };
        let db = self.connection.endpoint().db();
        let channel = self.keys.celery().fanout(FANOUT_PREFIX, db, &to.exchange, &to.routing_key);
        let mut publish = redis::pipe();
        for request in requests {
            publish.cmd("PUBLISH").arg(&channel).arg(sent(&to, request).to_redis()).ignore();
        }
        self.connection.query_all(&publish).await.map_err(during("tell workers"))
    }

    async fn answers(&self) -> Result<Vec<Envelope>, BrokerError> {
        let list = control_reply_queue(CONTROL_EXCHANGE, &self.ear.routing_key);
        let mut call = TAKE_ANSWERS.call(1);
        call.arg(self.keys.celery().list(&list, 0)).arg(MOST_SAID).arg(MOST_BYTES);
        let raw: Vec<Vec<u8>> = self.connection.run(call).await.map_err(during("take answers"))?;
        Ok(envelopes(raw))
    }
}

#[async_trait]
impl Remote for RedisInspector {
    fn answers_to(&self) -> &str {
        &self.ear.routing_key
    }

    async fn converse(&self, requests: &[Envelope]) -> Result<Said, BrokerError> {
        let generation = self.connection.generation();
        let subscribed = self.ear.subscribed().filter(|(subscribed, _)| *subscribed == generation);
        let whole = subscribed.is_some() && !self.ear.heard.missed.swap(false, Ordering::AcqRel);
        match subscribed {
            Some((_, renewed)) if whole && renewed.elapsed() < RENEW => {}
            Some(_) if whole => {
                self.bind().await?;
                self.ear.set_subscribed(generation);
            }
            _ => self.listen().await?,
        }
        // An answer to what is said now comes later in any case.
        let answers = self.answers().await?;
        self.say(requests).await?;
        Ok(Said { whole, events: self.ear.heard.take(), answers })
    }
}
