//! The tasks that listen, speak and remember, once the broker can be reached.

use std::sync::Arc;
use std::time::Duration;

use petiole_broker::{BrokerError, Mailbox, Revocations};
use petiole_process::log::Chain;
use petiole_protocol::event::Clock;
use tokio::sync::mpsc;

use super::listen::{Reading, listen};
use super::remember::{Write, remember};
use super::speak::{Publish, Reply, publish, reply};
use super::{Bindings, ControlEvent};
use crate::connect::Connect;
use crate::events::Audience;
use crate::signing::Signing;

/// Between two tries to connect.
const RETRY: Duration = Duration::from_millis(500);

/// What they need.
pub(super) struct Tasks {
    pub(super) connect: Arc<dyn Connect>,
    pub(super) nodename: String,
    pub(super) bindings: Bindings,
    pub(super) clock: Arc<Clock>,
    pub(super) audience: Audience,
    pub(super) reading: Reading,
    pub(super) signing: Option<Arc<Signing>>,
    pub(super) events: mpsc::Sender<ControlEvent>,
    pub(super) replies: mpsc::Receiver<Reply>,
    pub(super) publishes: mpsc::Receiver<Publish>,
    pub(super) writes: mpsc::Receiver<Write>,
}

impl Tasks {
    /// Never ends by itself.
    pub(super) async fn go(self) {
        let (mailbox, revocations) = self.connected().await;
        let Self { nodename, bindings, clock, audience, events, replies, publishes, writes, .. } = self;
        let Self { reading, signing, .. } = self;
        tokio::join!(
            listen(mailbox.as_ref(), &nodename, &bindings, &clock, reading, &events),
            reply(mailbox.as_ref(), &nodename, &clock, signing.as_ref(), replies),
            publish(mailbox.as_ref(), &audience, publishes),
            remember(revocations.as_ref(), writes, &events),
        );
    }

    async fn connected(&self) -> (Arc<dyn Mailbox>, Arc<dyn Revocations>) {
        let mut said = false;
        loop {
            match self.connect().await {
                Ok(connections) => return connections,
                Err(error) if said => {
                    tracing::debug!(error = %Chain(&error), "remote control is not there yet");
                }
                Err(error) => {
                    said = true;
                    tracing::warn!(error = %Chain(&error), "remote control is not there yet; trying again");
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn connect(&self) -> Result<(Arc<dyn Mailbox>, Arc<dyn Revocations>), BrokerError> {
        Ok((self.connect.mailbox(&self.nodename).await?, self.connect.revocations().await?))
    }
}
