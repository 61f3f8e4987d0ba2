//! Step 5, commit: writes what was settled, in batches, until it is written or the lease is lost.

use std::sync::Arc;
use std::time::Duration;

use petiole_broker::{BrokerError, Consumer, Disposition, Settled, Settlement, Tag};
use petiole_process::log::Chain;
use petiole_results::{Record, Store};
use tokio::sync::{Semaphore, mpsc};

/// The most that one call settles: two batches of 64 are what Redis answers in about 2 ms.
const BATCH: usize = 128;

/// Batches under way at the same time, so that the broker is never idle while we gather the next.
const UNDER_WAY: usize = 2;

/// The first and the longest wait before a commit is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Something to commit.
#[derive(Debug)]
pub enum Commit {
    /// A held message is settled.
    Settle(Settlement),
    /// A record of a message that was acknowledged before its task ran (`acks: Early`): there is nothing to fence.
    Record(Record),
}

/// What was committed.
#[derive(Debug, PartialEq, Eq)]
pub struct Committed {
    /// The deliveries that are held no longer.
    pub released: Vec<Tag>,
    /// How many of them this worker had lost: nothing was written for those.
    pub lost: usize,
    /// How many unfenced records were written.
    pub records: usize,
}

/// The two places that a commit writes to.
#[derive(Clone)]
pub struct Committer {
    /// The broker.
    pub consumer: Arc<dyn Consumer>,
    /// The result store.
    pub store: Option<Arc<dyn Store>>,
}

/// Commits what comes until the senders are gone.
pub async fn commit(
    committer: Committer,
    mut inbox: mpsc::UnboundedReceiver<Commit>,
    done: mpsc::UnboundedSender<Committed>,
) {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY));
    loop {
        let Ok(permit) = under_way.clone().acquire_owned().await else { return };
        let mut batch = Vec::new();
        if inbox.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let (committer, done) = (committer.clone(), done.clone());
        tokio::spawn(async move {
            if let Some(committed) = committer.write(batch).await {
                let _ = done.send(committed);
            }
            drop(permit);
        });
    }
}

impl Committer {
    /// Writes a batch; nothing is answered when the lease was lost on the way.
    async fn write(&self, batch: Vec<Commit>) -> Option<Committed> {
        let fused = self.consumer.stores_results();
        let (mut settlements, mut records) = (Vec::with_capacity(batch.len()), Vec::new());
        let mut unfenced = 0;
        for item in batch {
            match item {
                Commit::Settle(mut settlement) => {
                    if !fused && let Some(record) = settlement.record.take() {
                        records.push(record);
                    }
                    settlements.push(settlement);
                }
                Commit::Record(record) => {
                    unfenced += 1;
                    records.push(record);
                }
            }
        }
        if let Some(store) = &self.store {
            self.store(store.as_ref(), &records).await;
        }
        let settled = self.settle(&settlements).await?;
        let released: Vec<Tag> = settlements
            .iter()
            .zip(&settled)
            .filter(|(settlement, settled)| {
                settlement.disposition != Disposition::Keep || **settled == Settled::Lost
            })
            .map(|(settlement, _)| settlement.tag)
            .collect();
        let lost = settled.iter().filter(|settled| **settled == Settled::Lost).count();
        Some(Committed { released, lost, records: unfenced })
    }

    /// A record that cannot be stored keeps its message from being acknowledged: the result comes first.
    async fn store(&self, store: &dyn Store, records: &[Record]) {
        let mut wait = RETRY.0;
        while !records.is_empty() {
            match store.store(records).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), count = records.len(), "results could not be stored; trying again");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    async fn settle(&self, settlements: &[Settlement]) -> Option<Vec<Settled>> {
        if settlements.is_empty() {
            return Some(Vec::new());
        }
        let mut wait = RETRY.0;
        loop {
            match self.consumer.settle(settlements).await {
                Ok(settled) => return Some(settled),
                Err(BrokerError::LeaseLost) => return None,
                // The next beat renews the lease, or finds it lost.
                Err(BrokerError::LeaseEnded) => {}
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), count = settlements.len(), "messages could not be settled; trying again");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }
}
