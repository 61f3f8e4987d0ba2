//! A worker's side of the broker in memory: it consumes, and has a lease.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use petiole_protocol::envelope::Envelope;

use super::state::{Asks, Taken};
use super::{MemoryBroker, milliseconds};
use crate::lost::End;
use crate::{
    Attempts, Begun, BrokerError, Consumer, Delivery, Disposition, Held, Intake, Lease, Load, Rates, Settled,
    Settlement, Start, Tag, Turn, Wish, Worker,
};

/// Between two looks while nothing arrives: the broker's clock is not the one that we wait by.
const LOOK: Duration = Duration::from_millis(250);

/// A registered worker.
#[derive(Debug)]
pub struct MemoryWorker {
    pub(super) broker: MemoryBroker,
    /// Who it is; its queues are those of `intake`.
    known: Worker,
    intake: Intake,
    next: AtomicU64,
    suspects: Mutex<HashSet<Tag>>,
    unanswered: Mutex<HashMap<Tag, Disposition>>,
}

impl MemoryWorker {
    pub(super) fn new(broker: MemoryBroker, known: Worker, intake: Intake) -> Self {
        Self {
            broker,
            known,
            intake,
            next: AtomicU64::new(0),
            suspects: Mutex::default(),
            unanswered: Mutex::default(),
        }
    }

    /// So many new tags.
    pub(super) fn tags(&self, want: usize) -> Range<Tag> {
        let first = self.next.fetch_add(want as u64, Ordering::Relaxed);
        first..first + want as u64
    }

    /// The worker with its queues as they are now.
    pub(super) fn worker(&self) -> Worker {
        Worker { queues: self.intake.queues(), ..self.known.clone() }
    }

    fn name(&self) -> &str {
        &self.known.incarnation
    }
}

pub(super) fn delivery(Taken { tag, queue, counted, raw }: Taken) -> Delivery {
    Delivery { tag, queue, counted, envelope: Envelope::from_redis(&raw) }
}

#[async_trait]
impl Consumer for MemoryWorker {
    async fn receive_for(&self, want: usize, begun: &Begun) -> Result<Vec<Delivery>, BrokerError> {
        let (tags, worker) = (self.tags(want), self.worker());
        let plan = self.intake.plan(want, worker.queues.len());
        let (worker, limits) = (&worker, &self.intake.limits());
        let taken = self.broker.change("receive messages", |state, now| {
            state.receive(&Asks { worker, limits, plan: &plan, begun }, tags, now)
        })??;
        let count = |queue: &usize| taken.iter().filter(|taken| taken.queue == *queue).count();
        self.intake.took(&plan, &plan.order.iter().map(count).collect::<Vec<_>>());
        Ok(taken.into_iter().map(delivery).collect())
    }

    async fn wait(&self) {
        let arrived = self.broker.0.arrived.notified();
        let now = self.broker.now().as_millisecond();
        let next = {
            let (mut state, worker) = (self.broker.lock(), self.worker());
            let plan = self.intake.plan(0, worker.queues.len());
            let queues = plan.order.iter().map(|queue| &worker.queues[*queue]);
            queues.filter_map(|queue| state.next(queue, now)).min()
        };
        let next = next.map_or(LOOK, |next| Duration::from_millis(next).min(LOOK));
        // Too early is allowed, so nothing depends on which of the two it was.
        let _ = tokio::time::timeout(next, arrived).await;
    }

    fn stores_results(&self) -> bool {
        self.broker.results().is_some()
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, BrokerError> {
        let results = self.broker.results();
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self
            .broker
            .change("settle messages", |state, now| state.settle(&self.worker(), batch, results, now));
        let Ok(answer) = answer else {
            unanswered
                .extend(batch.iter().map(|settlement| (settlement.tag, settlement.disposition.clone())));
            return answer?;
        };
        let recall = |(settlement, settled): (&Settlement, Settled)| {
            let before = unanswered.remove(&settlement.tag);
            let same = before.as_ref() == Some(&settlement.disposition);
            if settled == Settled::Lost && same { Settled::Done } else { settled }
        };
        Ok(batch.iter().zip(answer?).map(recall).collect())
    }

    async fn adopt(&self, knows: &(dyn Fn(Tag) -> bool + Sync)) -> Result<Vec<Delivery>, BrokerError> {
        let held = self.broker.change("compare held messages", |state, _| state.held_by(self.name()))??;
        let unknown: HashSet<Tag> = held.iter().map(|held| held.tag).filter(|tag| !knows(*tag)).collect();
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        let stray =
            held.into_iter().filter(|held| unknown.contains(&held.tag) && suspects.contains(&held.tag));
        let stray: Vec<_> = stray.map(delivery).collect();
        *suspects = unknown;
        for delivery in &stray {
            suspects.remove(&delivery.tag);
        }
        Ok(stray)
    }
}

#[async_trait]
impl Attempts for MemoryWorker {
    async fn started(&self, tags: &[Tag]) -> Result<(), BrokerError> {
        self.broker.change("note what has begun", |state, now| state.start(self.name(), tags, now))?
    }
}

#[async_trait]
impl Rates for MemoryWorker {
    async fn start(&self, batch: &[Start]) -> Result<Vec<Turn>, BrokerError> {
        let (worker, limits) = (self.worker(), self.intake.limits());
        self.broker.change("let tasks start", |state, now| state.let_start(&worker, &limits, batch, now))?
    }
}

#[async_trait]
impl Lease for MemoryWorker {
    async fn beat(&self) -> Result<Held, BrokerError> {
        let length = milliseconds(self.broker.0.lease);
        let held =
            self.broker.change("renew the lease", |state, now| state.beat(self.name(), now + length))?;
        Ok(if held { Held::Yes } else { Held::Lost })
    }

    async fn tell(&self, load: &Load) -> Result<Wish, BrokerError> {
        self.broker.change("say how busy the worker is", |state, now| state.tell(self.name(), load, now))
    }

    async fn sweep(&self) -> Result<usize, BrokerError> {
        let (gap, lease) = (2 * milliseconds(self.broker.0.beat), milliseconds(self.broker.0.lease));
        self.broker.change("sweep for workers that have ended", |state, now| {
            for queue in &self.worker().queues {
                state.return_due(&queue.name, now);
            }
            state.sweep(self.name(), gap, lease, now)
        })
    }

    async fn release(&self) -> Result<(), BrokerError> {
        let release = |state: &mut super::State, now| state.end(self.name(), End::GivenUp, now);
        self.broker.change("release the lease", release).map(drop)
    }
}
