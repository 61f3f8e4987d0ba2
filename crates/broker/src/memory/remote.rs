//! Celery's own workers on the broker in memory. One at a time listens to them.

use async_trait::async_trait;
use petiole_protocol::envelope::Envelope;
use petiole_protocol::keys::{
    CONTROL_EXCHANGE, EVENT_EXCHANGE, control_exchange, control_reply_exchange, control_reply_queue,
};

use super::MemoryBroker;
use crate::mailbox::sent;
use crate::{Address, BoundQueue, BrokerError, MOST_SAID, Remote, Said};

/// Where answers go.
const ROUTING_KEY: &str = "operator";
/// All events of workers.
const WORKER_EVENTS: &str = "worker.*";

#[async_trait]
impl Remote for MemoryBroker {
    fn answers_to(&self) -> &str {
        ROUTING_KEY
    }

    async fn converse(&self, requests: &[Envelope]) -> Result<Said, BrokerError> {
        let to = Address { exchange: control_exchange(CONTROL_EXCHANGE), routing_key: String::new() };
        let said = self.change("listen to workers", |state, _| {
            let mut said = Said::default();
            let heard = state.ear.map(|ear| state.mail.hear_all(ear, MOST_SAID));
            if let Some(Ok(raw)) = heard {
                (said.whole, said.events) = (true, envelopes(raw));
            } else {
                let events =
                    Address { exchange: EVENT_EXCHANGE.to_owned(), routing_key: WORKER_EVENTS.to_owned() };
                state.ear = Some(state.mail.listen(events));
                let from = Address {
                    exchange: control_reply_exchange(CONTROL_EXCHANGE),
                    routing_key: ROUTING_KEY.to_owned(),
                };
                let queue = control_reply_queue(CONTROL_EXCHANGE, ROUTING_KEY);
                state.mail.bind(BoundQueue { from, queue });
            }
            let answers = control_reply_queue(CONTROL_EXCHANGE, ROUTING_KEY);
            said.answers = envelopes(state.list(&answers, 0).drain(..));
            for request in requests {
                state.mail.say(&to, &sent(&to, request).to_redis());
            }
            said
        });
        self.0.said.notify_waiters();
        said
    }
}

fn envelopes(raw: impl IntoIterator<Item = Vec<u8>>) -> Vec<Envelope> {
    raw.into_iter().filter_map(|raw| Envelope::from_redis(&raw).ok()).collect()
}
