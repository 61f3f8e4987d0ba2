//! Step 1, receive: fetches messages when it is asked to.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use petiole_broker::{Begun, BrokerError, Consumer, Delivery, Tag};
use petiole_process::log::Chain;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::backoff::Backoff;

/// Between two comparisons of what the broker says that we hold with what we know of. Longer than a consumer waits.
const ADOPT: Duration = Duration::from_secs(2);

/// The first and the longest wait after the broker has failed.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What this incarnation holds on the broker.
#[derive(Debug, Clone, Default)]
pub struct Holding(Arc<Mutex<HashSet<Tag>>>);

impl Holding {
    /// These are held.
    pub fn add(&self, deliveries: &[Delivery]) {
        let mut tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tags.extend(deliveries.iter().map(|delivery| delivery.tag));
    }

    /// These are settled.
    pub fn remove(&self, tags: impl IntoIterator<Item = Tag>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for tag in tags {
            held.remove(&tag);
        }
    }

    /// Nothing is.
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// How many are.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn knows(&self, tag: Tag) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&tag)
    }
}

/// What is asked for.
#[derive(Debug)]
pub struct Request {
    /// At most so many messages.
    pub want: usize,
    /// What the broker is told with them.
    pub begun: Begun,
}

/// What receiving has to say.
#[derive(Debug)]
pub enum Receipt {
    /// The answer to a request: messages; none, when it is worth asking again.
    Messages(Vec<Delivery>),
    /// Messages that had been taken for us by a call whose answer was lost. No answer to a request.
    Adopted(Vec<Delivery>),
    /// The broker cannot be reached.
    Failing(String),
    /// The lease is lost.
    LeaseLost,
}

/// Answers each request for so many messages by one receipt of messages, until the requests end. A wait for messages is cut
/// short by `enough`.
pub async fn receive(
    consumer: Arc<dyn Consumer>,
    holding: Holding,
    enough: Arc<Notify>,
    mut requests: mpsc::Receiver<Request>,
    receipts: mpsc::UnboundedSender<Receipt>,
) {
    let mut backoff = Backoff::new(RETRY);
    let mut adopt_at = Instant::now() + ADOPT;
    while let Some(Request { want, begun }) = requests.recv().await {
        let receipt = loop {
            if Instant::now() >= adopt_at {
                adopt_at = Instant::now() + ADOPT;
                adopt(consumer.as_ref(), &holding, &receipts).await;
            }
            match consumer.receive_for(want, &begun).await {
                Ok(messages) if messages.is_empty() => {
                    backoff = Backoff::new(RETRY);
                    tokio::select! {
                        _ = tokio::time::timeout(ADOPT, consumer.wait()) => {}
                        () = enough.notified() => {}
                    }
                    break Receipt::Messages(messages);
                }
                Ok(messages) => {
                    backoff = Backoff::new(RETRY);
                    holding.add(&messages);
                    break Receipt::Messages(messages);
                }
                Err(BrokerError::LeaseLost) => break Receipt::LeaseLost,
                // The next beat renews the lease, or finds it lost.
                Err(BrokerError::LeaseEnded) => tokio::time::sleep(RETRY.1).await,
                Err(error) => {
                    let _ = receipts.send(Receipt::Failing(Chain(&error).to_string()));
                    backoff.pause().await;
                }
            }
        };
        let over = matches!(receipt, Receipt::LeaseLost);
        if receipts.send(receipt).is_err() || over {
            return;
        }
    }
}

async fn adopt(consumer: &dyn Consumer, holding: &Holding, receipts: &mpsc::UnboundedSender<Receipt>) {
    match consumer.adopt(&|tag| holding.knows(tag)).await {
        Ok(found) if found.is_empty() => {}
        Ok(found) => {
            tracing::info!(count = found.len(), "messages whose delivery was cut off are taken up again");
            holding.add(&found);
            let _ = receipts.send(Receipt::Adopted(found));
        }
        // The next receive fails the same way and says so.
        Err(error) => tracing::debug!(error = %Chain(&error), "held messages could not be compared"),
    }
}
