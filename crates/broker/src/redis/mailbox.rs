//! Remote control and events on Redis, as kombu moves them: requests and events by publishing, answers by lists.
//!
//! ```text
//!   /<db>.celery.pidbox        ──PSUBSCRIBE──> requests
//!   /<db>.celeryev/<type>      <──PUBLISH───── events
//!   <oid>.reply.celery.pidbox  <──LPUSH─────── answers, where _kombu.binding.reply.celery.pidbox names the list
//! ```

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use petiole_protocol::envelope::Envelope;
use petiole_protocol::keys::{
    BINDING_TTL_MS, CONTROL_QUEUE_TTL_MS, FANOUT_PREFIX, SEPARATOR, binding, control_exchange, control_queue,
};
use petiole_results::redis::{Connection, Failure};
use redis::{PushInfo, PushKind, Value};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep_until};

use super::inbox::RedisInbox;
use super::keys::Keys;
use super::listening::listening;
use super::scripts::{BIND_EXPIRING, REPLY};
use super::{Endpoint, Timeouts, during};
use crate::mailbox::sent;
use crate::{Address, BoundQueue, BrokerError, Heard, Inbox, Mailbox, Node};

/// Between two questions whether the server still listens to us: kombu's `health_check_interval`. The node's binding
/// is renewed by them.
const PING: Duration = Duration::from_secs(25);

/// The most requests that wait to be taken: some megabytes.
const MOST_WAITING: usize = 1_000;

/// What a mailbox on Redis needs to know.
#[derive(Debug, Clone)]
pub struct MailboxConfig {
    /// The broker.
    pub broker: Endpoint,
    /// The node.
    pub node: Node,
    /// `fanout_prefix` of Celery's `broker_transport_options`: [`FANOUT_PREFIX`]; empty where it is off.
    pub fanout_prefix: String,
    /// How long is waited for the server.
    pub timeouts: Timeouts,
}

impl MailboxConfig {
    /// The defaults for this node on this broker.
    pub fn new(broker: Endpoint, node: Node) -> Self {
        Self { broker, node, fanout_prefix: FANOUT_PREFIX.to_owned(), timeouts: Timeouts::default() }
    }
}

/// Remote control and events on Redis. It connects when it is first used.
#[derive(Debug)]
pub struct RedisMailbox {
    connection: Connection,
    keys: Keys,
    config: MailboxConfig,
    waiting: Arc<Waiting>,
    woken: Arc<Notify>,
    /// Held by the one who listens.
    ear: Mutex<Ear>,
}

/// What has come and was not taken yet.
#[derive(Debug, Default)]
struct Waiting {
    requests: Lock<VecDeque<Vec<u8>>>,
    /// Some were too many.
    overflown: AtomicBool,
    /// The connection was lost.
    cut: AtomicBool,
}

/// How far listening has got.
#[derive(Debug)]
struct Ear {
    /// The connection on which the server was asked to tell us.
    subscribed: Option<u64>,
    ping: Instant,
}

impl Waiting {
    fn hear(&self, push: PushInfo) -> bool {
        match push.kind {
            PushKind::Disconnection => {
                self.cut.store(true, Ordering::Release);
                true
            }
            PushKind::PMessage => {
                // Pattern, channel, message.
                let Some(Value::BulkString(raw)) = push.data.into_iter().nth(2) else { return false };
                let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
                if requests.len() >= MOST_WAITING {
                    self.overflown.store(true, Ordering::Release);
                } else {
                    requests.push_back(raw);
                }
                true
            }
            _ => false,
        }
    }

    fn take(&self) -> Option<Heard> {
        let raw = self.requests.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match raw {
            Some(raw) => Some(Heard::Request(Envelope::from_redis(&raw).map(Box::new))),
            None => self.overflown.swap(false, Ordering::AcqRel).then_some(Heard::Listening),
        }
    }
}

impl RedisMailbox {
    /// A node's mailbox.
    pub fn new(config: MailboxConfig) -> Self {
        let waiting = Arc::new(Waiting::default());
        let hear = waiting.clone();
        let (connection, woken) =
            listening(config.broker.clone(), config.timeouts, move |push| hear.hear(push));
        Self {
            keys: Keys::new(config.broker.key_prefix()),
            connection,
            config,
            waiting,
            woken,
            ear: Mutex::new(Ear { subscribed: None, ping: Instant::now() }),
        }
    }

    fn channel(&self, to: &Address) -> String {
        let db = self.config.broker.db();
        self.keys.celery().fanout(&self.config.fanout_prefix, db, &to.exchange, &to.routing_key)
    }

    /// Where requests come from.
    fn control(&self) -> Address {
        Address { exchange: control_exchange(&self.config.node.namespace), routing_key: String::new() }
    }

    /// The node, among the bindings of remote control.
    fn member(&self) -> String {
        let Node { name, namespace } = &self.config.node;
        binding("", "", &control_queue(namespace, name))
    }

    async fn subscribe(&self) -> Result<u64, BrokerError> {
        self.waiting.cut.store(false, Ordering::Release);
        let mut ask = redis::cmd("PSUBSCRIBE");
        ask.arg(self.channel(&self.control()));
        let doing = "listen to remote control";
        let _: Value = self.connection.query(&ask).await.map_err(during(doing))?;
        // Should the connection be another one by now, the one before it was cut off, and `cut` says so.
        let generation = self.connection.generation();
        self.register().await.map_err(during(doing))?;
        Ok(generation)
    }

    /// Writes the node down among the bindings, as kombu does for a queue that expires.
    async fn register(&self) -> Result<(), Failure> {
        let exchange = self.control().exchange;
        let mut call = BIND_EXPIRING.call(2);
        call.arg(self.keys.celery().bindings(&exchange)).arg(self.keys.celery().binding_deadlines());
        call.arg(self.member()).arg(exchange).arg(BINDING_TTL_MS.max(2 * CONTROL_QUEUE_TTL_MS));
        let _: Value = self.connection.run(call).await?;
        Ok(())
    }

    /// Who listens shares our connection, and has to know when it was lost.
    fn note<T>(&self, doing: &'static str, answer: Result<T, Failure>) -> Result<T, BrokerError> {
        answer.map_err(|failure| {
            if !failure.is_refusal() {
                self.waiting.cut.store(true, Ordering::Release);
                self.woken.notify_one();
            }
            during(doing)(failure)
        })
    }
}

#[async_trait]
impl Mailbox for RedisMailbox {
    async fn next(&self) -> Heard {
        let mut ear = self.ear.lock().await;
        loop {
            if let Some(heard) = self.waiting.take() {
                return heard;
            }
            let woken = self.woken.notified();
            let listens = ear.subscribed == Some(self.connection.generation());
            if !listens || self.waiting.cut.load(Ordering::Acquire) {
                ear.subscribed = None;
                match self.subscribe().await {
                    Ok(generation) => {
                        *ear = Ear { subscribed: Some(generation), ping: Instant::now() + PING }
                    }
                    Err(error) => return Heard::Deaf(error),
                }
                return Heard::Listening;
            }
            tokio::select! {
                () = woken => {}
                () = sleep_until(ear.ping) => {
                    ear.ping = Instant::now() + PING;
                    if let Err(failure) = self.register().await {
                        ear.subscribed = None;
                        return Heard::Deaf(during("listen to remote control")(failure));
                    }
                }
            }
        }
    }

    async fn reply(&self, to: &Address, reply: &Envelope) -> Result<bool, BrokerError> {
        // kombu's name for the list that it binds: looked for first, because stale bindings of its clients pile up.
        let usual = binding(&to.routing_key, "", &format!("{}.{}", to.routing_key, to.exchange));
        let mut call = REPLY.call(1);
        call.arg(self.keys.celery().bindings(&to.exchange));
        call.arg(self.keys.celery().prefixed("")).arg(SEPARATOR).arg(&to.routing_key).arg(usual);
        call.arg(CONTROL_QUEUE_TTL_MS).arg(sent(to, reply).to_redis());
        let lists: u64 = self.note("answer a request", self.connection.run(call).await)?;
        Ok(lists > 0)
    }

    async fn broadcast(&self, batch: &[(Address, Envelope)]) -> Result<Vec<u64>, BrokerError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut publish = redis::pipe();
        for (to, envelope) in batch {
            publish.cmd("PUBLISH").arg(self.channel(to)).arg(sent(to, envelope).to_redis());
        }
        self.note("publish", self.connection.query_all(&publish).await)
    }

    async fn bind(&self, bindings: &[BoundQueue]) -> Result<(), BrokerError> {
        if bindings.is_empty() {
            return Ok(());
        }
        let celery = self.keys.celery();
        let mut add = redis::pipe();
        // Both or none: kombu 5.7 sweeps a table away that has the one and not the other.
        add.atomic();
        for BoundQueue { from, queue } in bindings {
            let member = binding(&from.routing_key, "", queue);
            add.cmd("SADD").arg(celery.bindings(&from.exchange)).arg(&member).ignore();
            add.cmd("SADD").arg(celery.permanent_bindings(&from.exchange)).arg(&member).ignore();
        }
        self.note("bind queues", self.connection.query_all(&add).await)
    }

    async fn inbox(&self) -> Result<Box<dyn Inbox>, BrokerError> {
        let inbox = RedisInbox::open(&self.config, self.keys.clone()).await?;
        Ok(Box::new(inbox))
    }

    async fn leave(&self) -> Result<(), BrokerError> {
        let doing = "take the node's name away";
        let control = self.control();
        let mut remove = redis::cmd("SREM");
        remove.arg(self.keys.celery().bindings(&control.exchange)).arg(self.member());
        let _: u64 = self.note(doing, self.connection.query(&remove).await)?;
        let mut stop = redis::cmd("PUNSUBSCRIBE");
        stop.arg(self.channel(&control));
        let _: Value = self.note(doing, self.connection.query(&stop).await)?;
        Ok(())
    }
}
