//! Step 5, commit: writes what was settled, in batches, until it is written or the lease is lost.
//!
//! Where the results are on the broker's server, one step there writes a whole settlement. Where they are apart, a
//! batch is written in this order, each step until it is done:
//!
//! ```text
//!   broker   look     whether the messages of settlements that begin or finish chords are still ours
//!   store    extend   the claims of chords whose body is to be sent: one that is lost ends its settlement here
//!   store    start    chords that begin
//!   store    part     parts that add to their chord, before what they add can end
//!   broker   send     follow-ups; the messages stay held. What was lost, or is refused, ends here
//!   store    store    records
//!   store    part     parts of chords, those too: one that has completed its chord ends here, and its message stays held
//!   store    finish   chords whose body was sent
//!   broker   settle   what becomes of the messages
//! ```
//!
//! A store cannot see the lease. It is looked at just before the store is written to, and again before a step on the
//! store is tried again; a worker that loses it in between writes once too often. A worker that ends between two
//! steps leaves its message to another, who does all of them again: records are not downgraded and parts not counted
//! twice, but follow-ups are sent a second time.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use petiole_broker::{BrokerError, Consumer, Disposition, Refusal, Settled, Settlement, Tag};
use petiole_process::log::Chain;
use petiole_results::chord::{CLAIM, Counted};
use petiole_results::{Store, StoreError};
use tokio::sync::{Semaphore, mpsc};

use crate::backoff::Backoff;

/// The most that one call settles: two batches of 64 are what Redis answers in about 2 ms.
const BATCH: usize = 128;

/// Batches under way at the same time, so that the broker is never idle while we gather the next.
const UNDER_WAY: usize = 2;

/// The first and the longest wait before a commit is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What was committed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The deliveries that were settled, and are held no longer.
    pub released: Vec<Tag>,
    /// The deliveries that this worker had lost: nothing was written for them.
    pub lost: Vec<Tag>,
    /// The deliveries that stay held because more has to be settled of them, and what: a part of a chord was counted,
    /// [`Settled::ChordComplete`], [`Settled::ClaimLost`], [`Settled::Refused`].
    pub open: Vec<(Tag, Settled)>,
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
    mut inbox: mpsc::UnboundedReceiver<Settlement>,
    done: mpsc::UnboundedSender<Committed>,
) {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY));
    let mut batch = Vec::new();
    loop {
        let Ok(permit) = under_way.clone().acquire_owned().await else { return };
        if batch.is_empty() && inbox.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let rest = batch.split_off(first_repeat(&batch));
        let batch = std::mem::replace(&mut batch, rest);
        let (committer, done) = (committer.clone(), done.clone());
        tokio::spawn(async move {
            if let Some(committed) = committer.write(batch).await {
                let _ = done.send(committed);
            }
            drop(permit);
        });
    }
}

/// How many settlements go in one batch: a delivery comes once in it.
fn first_repeat(batch: &[Settlement]) -> usize {
    let mut tags = HashSet::with_capacity(batch.len());
    batch.iter().position(|settlement| !tags.insert(settlement.tag)).unwrap_or(batch.len())
}

impl Committer {
    /// Writes a batch; nothing is answered when the lease was lost on the way.
    async fn write(&self, settlements: Vec<Settlement>) -> Option<Committed> {
        let settled = self.settled(&settlements).await?;
        let mut committed = Committed::default();
        for (Settlement { tag, disposition, chord, .. }, settled) in settlements.iter().zip(settled) {
            match settled {
                Settled::Done if *disposition == Disposition::Keep && chord.is_none() => {}
                Settled::Done if *disposition != Disposition::Keep => committed.released.push(*tag),
                Settled::Lost => committed.lost.push(*tag),
                more => committed.open.push((*tag, more)),
            }
        }
        Some(committed)
    }

    /// Settles a batch, wherever its results go; nothing is answered when the lease was lost on the way.
    async fn settled(&self, settlements: &[Settlement]) -> Option<Vec<Settled>> {
        match &self.store {
            Some(store) if !self.consumer.stores_results() => {
                Apart { committer: self, store: store.as_ref(), settlements }.settled().await
            }
            _ => self.settle(settlements).await,
        }
    }

    async fn settle(&self, settlements: &[Settlement]) -> Option<Vec<Settled>> {
        if settlements.is_empty() {
            return Some(Vec::new());
        }
        let mut backoff = Backoff::new(RETRY);
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
            backoff.pause().await;
        }
    }
}

/// What a call of the store will answer.
type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A batch whose results are apart from the broker.
struct Apart<'a> {
    committer: &'a Committer,
    store: &'a dyn Store,
    settlements: &'a [Settlement],
}

impl Apart<'_> {
    /// Writes the batch, in the order that stands at the head of this file.
    async fn settled(&self) -> Option<Vec<Settled>> {
        // By place in the batch: how those have ended that go no further.
        let mut ended = vec![None; self.settlements.len()];
        self.look(&mut ended).await?;
        self.extend(&mut ended).await?;
        self.start(&ended).await?;
        self.grow(&ended).await?;
        self.send(&mut ended).await?;
        self.records(&ended).await?;
        self.count(&mut ended).await?;
        self.finish(&ended).await?;
        let rest = |settlement: &Settlement| {
            let sends = if stored(settlement) { Vec::new() } else { settlement.sends.clone() };
            Settlement { sends, ..Settlement::new(settlement.tag, settlement.disposition.clone()) }
        };
        // What is all written stays held, or was given up before.
        let all = self.open(&ended, |it| !stored(it) || it.disposition != held(it));
        self.ask(&mut ended, &all, rest).await?;
        Some(ended.into_iter().map(|settled| settled.unwrap_or(Settled::Done)).collect())
    }

    async fn look(&self, ended: &mut [Option<Settled>]) -> Option<()> {
        let all = self.open(ended, |it| !it.starts.is_empty() || it.finish.is_some() || grows(it));
        self.ask(ended, &all, |it| Settlement::new(it.tag, held(it))).await
    }

    async fn extend(&self, ended: &mut [Option<Settled>]) -> Option<()> {
        for at in self.open(ended, |it| it.finish.is_some()) {
            let Some(claim) = &self.settlements[at].finish else { continue };
            if !self.again(|| self.store.chord_extend(claim, CLAIM)).await? {
                ended[at] = Some(Settled::ClaimLost);
            }
        }
        Some(())
    }

    async fn start(&self, ended: &[Option<Settled>]) -> Option<()> {
        let starts: Vec<_> =
            self.each(ended, stored).flat_map(|(_, settlement)| settlement.starts.clone()).collect();
        if starts.is_empty() { Some(()) } else { self.again(|| self.store.chord_start(&starts)).await }
    }

    /// Counts the parts that add to their chord. They are counted again later on, which is then answered.
    async fn grow(&self, ended: &[Option<Settled>]) -> Option<()> {
        let parts: Vec<_> = self.each(ended, grows).filter_map(|(_, it)| it.chord.clone()).collect();
        if !parts.is_empty() {
            self.again(|| self.store.chord_part(&parts)).await?;
        }
        Some(())
    }

    async fn send(&self, ended: &mut [Option<Settled>]) -> Option<()> {
        let all = self.open(ended, stored);
        let sending =
            |it: &Settlement| Settlement { sends: it.sends.clone(), ..Settlement::new(it.tag, held(it)) };
        self.ask(ended, &all, sending).await
    }

    async fn records(&self, ended: &[Option<Settled>]) -> Option<()> {
        let records: Vec<_> =
            self.each(ended, stored).flat_map(|(_, settlement)| settlement.records.clone()).collect();
        if records.is_empty() { Some(()) } else { self.again(|| self.store.store(&records)).await }
    }

    async fn count(&self, ended: &mut [Option<Settled>]) -> Option<()> {
        let (places, parts): (Vec<_>, Vec<_>) =
            self.each(ended, stored).filter_map(|(at, it)| Some((at, it.chord.clone()?))).unzip();
        if parts.is_empty() {
            return Some(());
        }
        let counted = self.again(|| self.store.chord_part(&parts)).await?;
        for ((at, part), counted) in places.into_iter().zip(&parts).zip(counted) {
            ended[at] = match counted {
                Counted::Yes => None,
                Counted::Complete(claim) => Some(Settled::ChordComplete(claim)),
                Counted::WrongKey => Some(Settled::Refused(Refusal::WrongKey(part.group.clone()))),
            };
        }
        Some(())
    }

    async fn finish(&self, ended: &[Option<Settled>]) -> Option<()> {
        for (_, settlement) in self.each(ended, stored) {
            let Some(claim) = &settlement.finish else { continue };
            if !self.again(|| self.store.chord_finish(claim)).await? {
                // Or an earlier try has ended it, whose answer was lost.
                tracing::warn!(
                    group = claim.group,
                    "a chord had ended, or was claimed by another, when its body was sent"
                );
            }
        }
        Some(())
    }

    /// The settlements that go on, and are such.
    fn each<'b>(
        &'b self,
        ended: &'b [Option<Settled>],
        such: impl Fn(&Settlement) -> bool + 'b,
    ) -> impl Iterator<Item = (usize, &'b Settlement)> + 'b {
        let all = self.settlements.iter().enumerate();
        all.filter(move |(at, settlement)| ended[*at].is_none() && such(settlement))
    }

    /// Their places.
    fn open(&self, ended: &[Option<Settled>], such: impl Fn(&Settlement) -> bool) -> Vec<usize> {
        self.each(ended, such).map(|(at, _)| at).collect()
    }

    /// Asks the broker for something of these settlements. What is done goes on.
    async fn ask(
        &self,
        ended: &mut [Option<Settled>],
        places: &[usize],
        what: impl Fn(&Settlement) -> Settlement,
    ) -> Option<()> {
        let batch: Vec<_> = places.iter().map(|at| what(&self.settlements[*at])).collect();
        let settled = self.committer.settle(&batch).await?;
        for (at, settled) in places.iter().zip(settled) {
            ended[*at] = (settled != Settled::Done).then_some(settled);
        }
        Some(())
    }

    /// Asks the store until it answers, as long as the lease lasts.
    async fn again<'b, T>(&self, call: impl Fn() -> Asked<'b, T> + Send + Sync) -> Option<T> {
        let mut backoff = Backoff::new(RETRY);
        loop {
            match call().await {
                Ok(answer) => return Some(answer),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), count = self.settlements.len(), "the result store cannot be written to; trying again");
                }
            }
            backoff.pause().await;
            if let Some(settlement) = self.settlements.first() {
                self.committer.settle(&[Settlement::new(settlement.tag, Disposition::Keep)]).await?;
            }
        }
    }
}

/// Whether something of it goes to the store.
fn stored(settlement: &Settlement) -> bool {
    let Settlement { tag: _, starts, sends: _, records, chord, finish, disposition: _ } = settlement;
    !starts.is_empty() || !records.is_empty() || chord.is_some() || finish.is_some()
}

/// Whether its part adds to the chord.
fn grows(settlement: &Settlement) -> bool {
    settlement.chord.as_ref().is_some_and(|part| !part.adds.is_empty())
}

/// The disposition under which its message stays as it is.
fn held(settlement: &Settlement) -> Disposition {
    match settlement.disposition {
        Disposition::Acked => Disposition::Acked,
        _ => Disposition::Keep,
    }
}

#[cfg(test)]
mod tests;
