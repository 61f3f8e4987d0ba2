//! Speaking: answers to those who asked, events to all who listen. Each on its own, so that a burst of events delays
//! no answer.

use std::mem;
use std::sync::Arc;

use petiole_broker::{Address, BoundQueue, Mailbox};
use petiole_process::log::Chain;
use petiole_protocol::control::{Answer, ReplyTo};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::event::Clock;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::events::Audience;
use crate::signing::Signing;

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Who gets it.
    pub to: ReplyTo,
    /// What it says.
    pub answer: Answer,
}

/// What is said to all.
#[derive(Debug)]
pub enum Publish {
    /// Events.
    Events(Vec<(Address, Envelope)>),
    /// Nothing: this queue is bound to its exchange.
    Binding(BoundQueue),
    /// The last events; then the node's name is taken away.
    Goodbye(Vec<(Address, Envelope)>, oneshot::Sender<()>),
}

/// Sends answers until the senders are gone. Signed requests have signed answers, or none where the pool has no key.
pub(super) async fn reply(
    mailbox: &dyn Mailbox,
    nodename: &str,
    clock: &Clock,
    signing: Option<&Arc<Signing>>,
    mut replies: mpsc::Receiver<Reply>,
) {
    let mut told = false;
    while let Some(Reply { to, answer }) = replies.recv().await {
        let mut envelope = to.envelope(nodename, &answer, clock.forward(), Uuid::new_v4().to_string());
        if to.was_signed() {
            // Who signs reads nothing else, and fails on it.
            let Some(signing) = signing else {
                if !mem::replace(&mut told, true) {
                    tracing::warn!(
                        "signed requests are not answered: give the pool a key that signs (spec.signing)"
                    );
                }
                continue;
            };
            let Some(signed) = signing.envelope(envelope).await else { continue };
            envelope = signed;
        }
        let address = Address { exchange: to.exchange, routing_key: to.routing_key };
        match mailbox.reply(&address, &envelope).await {
            Ok(true) => {}
            Ok(false) => tracing::debug!("an answer was dropped: nobody waits for it any more"),
            Err(error) => tracing::debug!(error = %Chain(&error), "an answer could not be sent"),
        }
    }
}

/// Publishes until the senders are gone.
pub(super) async fn publish(
    mailbox: &dyn Mailbox,
    audience: &Audience,
    mut publishes: mpsc::Receiver<Publish>,
) {
    while let Some(publish) = publishes.recv().await {
        let (events, done) = match publish {
            Publish::Events(events) => (events, None),
            Publish::Binding(binding) => {
                if let Err(error) = mailbox.bind(&[binding]).await {
                    tracing::warn!(error = %Chain(&error), "a queue is not bound to its exchange");
                }
                continue;
            }
            Publish::Goodbye(events, done) => (events, Some(done)),
        };
        match mailbox.broadcast(&events).await {
            Ok(counts) => {
                for ((address, _), count) in events.iter().zip(counts) {
                    audience.answered(address, count);
                }
            }
            // Events are lossy by design; the lease says that the broker is away.
            Err(error) => tracing::debug!(error = %Chain(&error), "events could not be published"),
        }
        if let Some(done) = done {
            if let Err(error) = mailbox.leave().await {
                tracing::debug!(error = %Chain(&error), "the node's name could not be taken away");
            }
            let _ = done.send(());
        }
    }
}
