//! What stands in the broker, and its transitions. Pure: they take `now`, in milliseconds.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::Timestamp;
use petiole_results::memory::MemoryStore;

use crate::{BrokerError, Depth, Disposition, QueueName, Settled, Settlement, Tag, Worker, message};

/// What stands in the broker.
#[derive(Debug, Default)]
pub(super) struct State {
    /// By queue and priority step; the front is served next.
    lists: HashMap<(String, u8), VecDeque<Vec<u8>>>,
    leases: BTreeMap<String, Lease>,
    /// By queue; in each by time, and in the order in which they were parked.
    parked: HashMap<String, BTreeMap<(i64, u64), Parked>>,
    parked_count: u64,
    last_sweep: Option<i64>,
    /// Until when no lease is ended.
    grace: i64,
    /// Something was put into a list since this was last asked.
    pushed: bool,
}

#[derive(Debug)]
struct Lease {
    worker: Worker,
    ends: i64,
    held: BTreeMap<Tag, HeldMessage>,
}

#[derive(Debug)]
struct HeldMessage {
    queue: usize,
    raw: Vec<u8>,
}

#[derive(Debug)]
struct Parked {
    step: u8,
    raw: Vec<u8>,
}

/// A message that a worker was given.
pub(super) struct Taken {
    pub(super) tag: Tag,
    pub(super) queue: usize,
    pub(super) raw: Vec<u8>,
}

impl State {
    pub(super) fn list(&mut self, queue: &str, step: u8) -> &mut VecDeque<Vec<u8>> {
        self.lists.entry((queue.to_owned(), step)).or_default()
    }

    /// Puts a message where it is served next.
    fn push_head(&mut self, queue: &str, step: u8, raw: Vec<u8>) {
        self.pushed = true;
        self.list(queue, step).push_front(raw);
    }

    /// Puts a message behind the others.
    pub(super) fn push_tail(&mut self, queue: &str, step: u8, raw: Vec<u8>) {
        self.pushed = true;
        self.list(queue, step).push_back(raw);
    }

    pub(super) fn take_pushed(&mut self) -> bool {
        std::mem::take(&mut self.pushed)
    }

    pub(super) fn register(&mut self, worker: &Worker, ends: i64) {
        let lease = Lease { worker: worker.clone(), ends, held: BTreeMap::new() };
        self.leases.insert(worker.incarnation.clone(), lease);
    }

    pub(super) fn beat(&mut self, worker: &str, ends: i64) -> bool {
        let lease = self.leases.get_mut(worker);
        lease.map(|lease| lease.ends = ends).is_some()
    }

    /// The worker's lease, if it is one to act by.
    fn live(&mut self, worker: &str, now: i64) -> Result<&mut Lease, BrokerError> {
        match self.leases.get_mut(worker) {
            None => Err(BrokerError::LeaseLost),
            Some(lease) if lease.ends <= now => Err(BrokerError::LeaseEnded),
            Some(lease) => Ok(lease),
        }
    }

    pub(super) fn receive(
        &mut self,
        worker: &Worker,
        tags: std::ops::Range<Tag>,
        now: i64,
    ) -> Result<Vec<Taken>, BrokerError> {
        self.live(&worker.incarnation, now)?;
        for queue in &worker.queues {
            self.return_due(&queue.name, now);
        }
        let all = worker.queues.iter().enumerate();
        let mut lists: Vec<_> = all
            .flat_map(|(index, queue)| queue.priority_steps.iter().map(move |step| (*step, index)))
            .collect();
        lists.sort_unstable();
        let mut free = tags;
        let mut taken = Vec::new();
        for (step, queue) in lists {
            let list = self.list(&worker.queues[queue].name, step);
            while !free.is_empty()
                && let Some(raw) = list.pop_front()
            {
                taken.push(Taken { tag: free.start, queue, raw });
                free.start += 1;
            }
        }
        let lease = self.live(&worker.incarnation, now)?;
        for Taken { tag, queue, raw } in &taken {
            lease.held.insert(*tag, HeldMessage { queue: *queue, raw: raw.clone() });
        }
        Ok(taken)
    }

    pub(super) fn settle(
        &mut self,
        worker: &Worker,
        batch: &[Settlement],
        results: Option<&MemoryStore>,
        now: i64,
    ) -> Result<Vec<Settled>, BrokerError> {
        let lease = self.live(&worker.incarnation, now)?;
        let settled: Vec<_> = batch
            .iter()
            .map(
                |settlement| {
                    if lease.held.contains_key(&settlement.tag) { Settled::Done } else { Settled::Lost }
                },
            )
            .collect();
        let done = || batch.iter().zip(&settled).filter(|(_, settled)| **settled == Settled::Done);
        for (settlement, _) in done() {
            if let (Some(record), Some(results)) = (&settlement.record, results) {
                results.put(record);
            }
        }
        // From the last to the first, so that what goes to the head keeps its order.
        for (settlement, _) in done().rev() {
            if settlement.disposition == Disposition::Keep {
                continue;
            }
            let held = self.live(&worker.incarnation, now)?.held.remove(&settlement.tag);
            if let Some(HeldMessage { queue, raw }) = held {
                self.dispose(&worker.queues[queue], raw, &settlement.disposition, now);
            }
        }
        Ok(settled)
    }

    fn dispose(&mut self, queue: &QueueName, raw: Vec<u8>, disposition: &Disposition, now: i64) {
        let step = message::step(&raw, &queue.priority_steps);
        match disposition {
            Disposition::Keep | Disposition::Ack => {}
            Disposition::Requeue => {
                self.push_head(&queue.name, step, message::redelivered(&raw).into_owned());
            }
            Disposition::DeadLetter(reason) => {
                let at = Timestamp::from_millisecond(now).unwrap_or_default();
                let dead = message::dead_letter(&raw, reason, &queue.name, at);
                self.push_tail(&queue.dead_letter, 0, dead);
            }
            Disposition::Park(until) => {
                self.parked_count += 1;
                let key = (until.as_millisecond(), self.parked_count);
                self.parked.entry(queue.name.clone()).or_default().insert(key, Parked { step, raw });
            }
        }
    }

    /// What a worker holds: tag, queue, message.
    pub(super) fn held_by(&self, worker: &str) -> Result<Vec<Taken>, BrokerError> {
        let lease = self.leases.get(worker).ok_or(BrokerError::LeaseLost)?;
        let taken =
            |(tag, held): (&Tag, &HeldMessage)| Taken { tag: *tag, queue: held.queue, raw: held.raw.clone() };
        Ok(lease.held.iter().map(taken).collect())
    }

    pub(super) fn return_due(&mut self, queue: &str, now: i64) {
        let Some(parked) = self.parked.get_mut(queue) else { return };
        let later = parked.split_off(&(now + 1, 0));
        let due = std::mem::replace(parked, later);
        for Parked { step, raw } in due.into_values().rev() {
            self.push_head(queue, step, raw);
        }
    }

    /// Puts all parked messages of a queue back, and says how many.
    pub(super) fn unpark(&mut self, queue: &str) -> usize {
        let parked = self.parked.remove(queue).unwrap_or_default();
        let count = parked.len();
        for Parked { step, raw } in parked.into_values().rev() {
            self.push_head(queue, step, raw);
        }
        count
    }

    /// Ends the leases that have run out; see `sweep.lua`.
    pub(super) fn sweep(&mut self, sweeper: &str, gap: i64, lease: i64, now: i64) -> usize {
        if self.last_sweep.is_none_or(|last| now - last > gap) {
            self.grace = now + lease;
        }
        self.last_sweep = Some(now);
        if now < self.grace {
            return 0;
        }
        let ended =
            |(name, lease): (&String, &Lease)| (name != sweeper && lease.ends <= now).then(|| name.clone());
        let ended: Vec<_> = self.leases.iter().filter_map(ended).collect();
        ended.iter().map(|worker| self.end(worker)).sum()
    }

    /// Ends a lease, and puts what its worker holds back.
    pub(super) fn end(&mut self, worker: &str) -> usize {
        let Some(Lease { worker, held, .. }) = self.leases.remove(worker) else { return 0 };
        let count = held.len();
        for HeldMessage { queue, raw } in held.into_values().rev() {
            self.dispose(&worker.queues[queue], raw, &Disposition::Requeue, 0);
        }
        count
    }

    pub(super) fn depth(&mut self, queue: &QueueName, now: i64) -> Depth {
        let waiting: usize =
            queue.priority_steps.iter().map(|step| self.list(&queue.name, *step).len()).sum();
        let dead = self.list(&queue.dead_letter, 0).len() as u64;
        let parked = self.parked.get(&queue.name);
        let due = parked.map_or(0, |parked| parked.range(..(now + 1, 0)).count());
        let mut depth = Depth {
            ready: (waiting + due) as u64,
            scheduled: (parked.map_or(0, BTreeMap::len) - due) as u64,
            dead,
            ..Depth::default()
        };
        for lease in self.leases.values() {
            let here =
                |index: usize| lease.worker.queues.get(index).is_some_and(|own| own.name == queue.name);
            depth.consumers += u64::from((0..lease.worker.queues.len()).any(here));
            depth.reserved += lease.held.values().filter(|held| here(held.queue)).count() as u64;
        }
        depth
    }

    /// Whether a worker would get something of this queue.
    pub(super) fn has_something(&mut self, queue: &QueueName, now: i64) -> bool {
        self.depth(queue, now).ready > 0
    }

    pub(super) fn workers(&self) -> Vec<Worker> {
        self.leases.values().map(|lease| lease.worker.clone()).collect()
    }

    pub(super) fn held(&self) -> HashMap<String, usize> {
        self.leases.iter().map(|(name, lease)| (name.clone(), lease.held.len())).collect()
    }
}
