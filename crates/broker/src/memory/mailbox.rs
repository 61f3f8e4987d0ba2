//! Remote control and events on the broker in memory.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use petiole_protocol::envelope::{Envelope, Malformed};
use petiole_protocol::keys::{control_exchange, control_queue, control_reply_exchange, control_reply_queue};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::{Fault, MemoryBroker};
use crate::mailbox::{INBOX_WAIT, sent};
use crate::{Address, BoundQueue, BrokerError, Heard, Inbox, Mailbox, Node};

/// After a failure, how long until it is said: whoever listens tries again at once.
const DEAF: Duration = Duration::from_millis(10);

/// A node's mailbox.
pub struct MemoryMailbox {
    broker: MemoryBroker,
    node: Node,
    listener: Mutex<Option<u64>>,
}

impl fmt::Debug for MemoryMailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryMailbox").field("node", &self.node).finish_non_exhaustive()
    }
}

impl MemoryBroker {
    /// A node's mailbox.
    pub fn mailbox(&self, node: Node) -> MemoryMailbox {
        MemoryMailbox { broker: self.clone(), node, listener: Mutex::default() }
    }

    /// Cuts off all who listen, as a broker that starts again does.
    pub fn cut(&self) {
        self.lock().mail.cut();
        self.0.said.notify_waiters();
    }

    /// The queues that a direct exchange feeds under this routing key.
    pub fn bound(&self, from: &Address) -> Vec<String> {
        self.lock().mail.queues(from)
    }
}

impl MemoryMailbox {
    fn binding(&self) -> BoundQueue {
        let Node { name, namespace } = &self.node;
        let from = Address { exchange: control_exchange(namespace), routing_key: String::new() };
        BoundQueue { from, queue: control_queue(namespace, name) }
    }

    /// What there is to hear now.
    fn hear(&self) -> Result<Option<Heard>, BrokerError> {
        let mut own = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        self.broker.change_unless(Fault::Away, "listen to remote control", |state, _| {
            if let Some(Ok(heard)) = own.map(|own| state.mail.hear(own)) {
                return heard.map(|raw| Heard::Request(Envelope::from_redis(&raw).map(Box::new)));
            }
            let binding = self.binding();
            *own = Some(state.mail.listen(binding.from.clone()));
            state.mail.bind(binding);
            Some(Heard::Listening)
        })
    }
}

#[async_trait]
impl Mailbox for MemoryMailbox {
    async fn next(&self) -> Heard {
        loop {
            let said = self.broker.0.said.notified();
            match self.hear() {
                Ok(Some(heard)) => return heard,
                Ok(None) => said.await,
                Err(error) => {
                    sleep(DEAF).await;
                    return Heard::Deaf(error);
                }
            }
        }
    }

    async fn reply(&self, to: &Address, reply: &Envelope) -> Result<bool, BrokerError> {
        let raw = sent(to, reply).to_redis();
        self.broker.change("answer a request", |state, _| {
            let queues = state.mail.queues(to);
            for queue in &queues {
                state.push_tail(queue, 0, raw.clone());
            }
            !queues.is_empty()
        })
    }

    async fn broadcast(&self, batch: &[(Address, Envelope)]) -> Result<Vec<u64>, BrokerError> {
        let heard = self.broker.change("publish", |state, _| {
            let say =
                |(to, envelope): &(Address, Envelope)| state.mail.say(to, &sent(to, envelope).to_redis());
            batch.iter().map(say).collect()
        });
        self.broker.0.said.notify_waiters();
        heard
    }

    async fn bind(&self, bindings: &[BoundQueue]) -> Result<(), BrokerError> {
        self.broker.change("bind queues", |state, _| {
            bindings.iter().cloned().for_each(|binding| state.mail.bind(binding));
        })
    }

    async fn inbox(&self) -> Result<Box<dyn Inbox>, BrokerError> {
        let routing_key = Uuid::new_v4().to_string();
        let queue = control_reply_queue(&self.node.namespace, &routing_key);
        let address = Address { exchange: control_reply_exchange(&self.node.namespace), routing_key };
        let binding = BoundQueue { from: address, queue };
        self.broker.change("make a place for answers", |state, _| state.mail.bind(binding.clone()))?;
        Ok(Box::new(MemoryInbox { broker: self.broker.clone(), binding }))
    }

    async fn leave(&self) -> Result<(), BrokerError> {
        let own = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.broker.change("take the node's name away", |state, _| {
            state.mail.unbind(self.binding());
            if let Some(own) = own {
                state.mail.leave(own);
            }
        })
    }
}

/// A list of answers.
#[derive(Debug)]
struct MemoryInbox {
    broker: MemoryBroker,
    binding: BoundQueue,
}

#[async_trait]
impl Inbox for MemoryInbox {
    fn address(&self) -> &Address {
        &self.binding.from
    }

    async fn next(&self, within: Duration) -> Result<Option<Result<Envelope, Malformed>>, BrokerError> {
        let end = Instant::now() + within.min(INBOX_WAIT);
        loop {
            let arrived = self.broker.0.arrived.notified();
            let take = |state: &mut super::State, _| state.list(&self.binding.queue, 0).pop_front();
            if let Some(raw) = self.broker.change("wait for answers", take)? {
                return Ok(Some(Envelope::from_redis(&raw)));
            }
            if timeout_at(end, arrived).await.is_err() {
                return Ok(None);
            }
        }
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.broker.change("take the place for answers away", |state, _| {
            state.mail.unbind(self.binding.clone());
            state.list(&self.binding.queue, 0).clear();
        })
    }
}
