//! The answers to a request of our own, in a list as kombu's clients have it.

use std::time::Duration;

use async_trait::async_trait;
use petiole_protocol::envelope::{Envelope, Malformed};
use petiole_protocol::keys::{
    BINDING_TTL_MS, CONTROL_QUEUE_TTL_MS, binding, control_reply_exchange, control_reply_queue,
};
use petiole_results::redis::Connection;
use redis::Value;
use uuid::Uuid;

use super::during;
use super::keys::Keys;
use super::mailbox::MailboxConfig;
use super::scripts::BIND_EXPIRING;
use crate::mailbox::INBOX_WAIT;
use crate::{Address, BrokerError, Inbox};

/// A list of answers, on a connection of its own: waiting for them holds all that comes behind.
#[derive(Debug)]
pub(super) struct RedisInbox {
    connection: Connection,
    keys: Keys,
    address: Address,
    /// Its member among the bindings.
    member: String,
    list: String,
}

impl RedisInbox {
    pub(super) async fn open(config: &MailboxConfig, keys: Keys) -> Result<Self, BrokerError> {
        let namespace = &config.node.namespace;
        let routing_key = Uuid::new_v4().to_string();
        let queue = control_reply_queue(namespace, &routing_key);
        let inbox = Self {
            connection: Connection::new(config.broker.clone(), config.timeouts),
            member: binding(&routing_key, "", &queue),
            list: keys.celery().list(&queue, 0),
            address: Address { exchange: control_reply_exchange(namespace), routing_key },
            keys,
        };
        let celery = inbox.keys.celery();
        let mut call = BIND_EXPIRING.call(2);
        call.arg(celery.bindings(&inbox.address.exchange)).arg(celery.binding_deadlines());
        call.arg(&inbox.member)
            .arg(&inbox.address.exchange)
            .arg(BINDING_TTL_MS.max(2 * CONTROL_QUEUE_TTL_MS));
        let _: Value = inbox.connection.run(call).await.map_err(during("make a place for answers"))?;
        Ok(inbox)
    }
}

#[async_trait]
impl Inbox for RedisInbox {
    fn address(&self) -> &Address {
        &self.address
    }

    async fn next(&self, within: Duration) -> Result<Option<Result<Envelope, Malformed>>, BrokerError> {
        let mut take = redis::cmd("BRPOP");
        // Redis waits for ever when it is told 0.
        let within = within.clamp(Duration::from_millis(1), INBOX_WAIT);
        take.arg(&self.list).arg(within.as_secs_f64());
        let taken: Option<(String, Vec<u8>)> =
            self.connection.query(&take).await.map_err(during("wait for answers"))?;
        Ok(taken.map(|(_, raw)| Envelope::from_redis(&raw)))
    }

    async fn close(&self) -> Result<(), BrokerError> {
        let mut remove = redis::pipe();
        remove
            .cmd("SREM")
            .arg(self.keys.celery().bindings(&self.address.exchange))
            .arg(&self.member)
            .ignore();
        remove.cmd("DEL").arg(&self.list).ignore();
        self.connection.query_all(&remove).await.map_err(during("take the place for answers away"))
    }
}
