//! Remembering: what is revoked is read from the broker, at the start and every second, and written to it.
//!
//! So a worker knows of a revocation that was made while it was down, or cut off.

use std::time::Duration;

use petiole_broker::{BrokerError, Revocations};
use petiole_process::log::Chain;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::ControlEvent;
use crate::backoff::Backoff;

/// Between two readings.
const LOOK: Duration = Duration::from_secs(1);

/// The first and the longest wait before something is written again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What is to be written.
#[derive(Debug)]
pub enum Write {
    /// These tasks are revoked.
    Ids(Vec<String>),
    /// Tasks with one of these stamps are: by header, values as JSON text.
    Stamps(Vec<(String, Vec<String>)>),
}

/// Reads and writes until the other ends are gone.
pub(super) async fn remember(
    revocations: &dyn Revocations,
    mut writes: mpsc::Receiver<Write>,
    events: &mpsc::Sender<ControlEvent>,
) {
    let (mut until, mut failing) = (None, false);
    loop {
        match revocations.load(until).await {
            Ok(revoked) => {
                failing = false;
                let first = until.replace(revoked.until).is_none();
                let news = first || !revoked.ids.is_empty() || !revoked.stamps.is_empty();
                if news && events.send(ControlEvent::Revoked(revoked)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error = %Chain(&error), "what is revoked cannot be read; trying again");
                }
            }
        }
        let next = Instant::now() + LOOK;
        while let Ok(received) = timeout_at(next, writes.recv()).await {
            let Some(write) = received else { return };
            persist(revocations, &write).await;
        }
    }
}

async fn persist(revocations: &dyn Revocations, what: &Write) {
    let mut backoff = Backoff::new(RETRY);
    while let Err(error) = write(revocations, what).await {
        tracing::warn!(error = %Chain(&error), "a revocation could not be written; trying again");
        backoff.pause().await;
    }
}

async fn write(revocations: &dyn Revocations, write: &Write) -> Result<(), BrokerError> {
    match write {
        Write::Ids(ids) => revocations.revoke(ids).await,
        Write::Stamps(stamps) => {
            for (header, values) in stamps {
                revocations.revoke_stamped(header, values).await?;
            }
            Ok(())
        }
    }
}
