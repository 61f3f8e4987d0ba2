//! What stands in the broker, and its transitions. Pure: they take `now`, in milliseconds.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::lines::Lines;
use super::mail::Mail;
use super::revocations::Kept;

use crate::exchange::Binding;
use crate::lost::{self, End};
use crate::shares::Plan;
use crate::{Begun, BrokerError, Depth, Load, QueueName, Report, SOON, Tag, Wish, Worker, message};

/// What stands in the broker.
#[derive(Debug, Default)]
pub(super) struct State {
    /// By queue and priority step; the front is served next.
    lists: HashMap<(String, u8), VecDeque<Vec<u8>>>,
    leases: BTreeMap<String, Lease>,
    /// By queue; in each by time, and in the order in which they were parked.
    pub(super) parked: HashMap<String, BTreeMap<(i64, u64), Parked>>,
    parked_count: u64,
    pub(super) lines: Lines,
    /// By exchange.
    pub(super) bindings: HashMap<String, Vec<Binding>>,
    last_sweep: Option<i64>,
    /// Until when no lease is ended.
    grace: i64,
    /// Something was put into a list since this was last asked.
    pushed: bool,
    pub(super) mail: Mail,
    /// By queue, how many messages Celery's workers hold.
    pub(super) unacked: HashMap<String, u64>,
    /// Who listens to Celery's own workers.
    pub(super) ear: Option<u64>,
    pub(super) revoked: Kept<String>,
    pub(super) revoked_stamps: Kept<(String, String)>,
}

#[derive(Debug)]
pub(super) struct Lease {
    worker: Worker,
    ends: i64,
    pub(super) held: BTreeMap<Tag, HeldMessage>,
    /// Marks of settlements that were done while their messages stay held.
    pub(super) done: HashSet<(Tag, u64)>,
    /// What has begun; and maybe what is held no longer.
    started: HashSet<Tag>,
    /// The same, as it was when messages were taken last, with those of them that begin at once.
    begun: HashSet<Tag>,
    /// What the worker has said of itself.
    load: Option<Load>,
    /// Until when it is to drain.
    drains: Option<i64>,
}

#[derive(Debug)]
pub(super) struct HeldMessage {
    pub(super) queue: usize,
    pub(super) raw: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Parked {
    pub(super) step: u8,
    pub(super) raw: Vec<u8>,
}

/// A message that a worker was given.
pub(super) struct Taken {
    pub(super) tag: Tag,
    pub(super) queue: usize,
    pub(super) counted: bool,
    pub(super) raw: Vec<u8>,
}

/// Who asks for messages, and for which.
pub(super) struct Asks<'a> {
    pub(super) worker: &'a Worker,
    pub(super) limits: &'a BTreeMap<String, Duration>,
    pub(super) plan: &'a Plan,
    pub(super) begun: &'a Begun,
}

impl State {
    pub(super) fn list(&mut self, queue: &str, step: u8) -> &mut VecDeque<Vec<u8>> {
        self.lists.entry((queue.to_owned(), step)).or_default()
    }

    /// Puts a message where it is served next.
    pub(super) fn push_head(&mut self, queue: &str, step: u8, raw: Vec<u8>) {
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
        let lease = Lease {
            worker: worker.clone(),
            ends,
            held: BTreeMap::new(),
            done: HashSet::new(),
            started: HashSet::new(),
            begun: HashSet::new(),
            load: None,
            drains: None,
        };
        self.leases.insert(worker.incarnation.clone(), lease);
    }

    pub(super) fn beat(&mut self, worker: &str, ends: i64) -> bool {
        let lease = self.leases.get_mut(worker);
        lease.map(|lease| lease.ends = ends).is_some()
    }

    pub(super) fn tell(&mut self, worker: &str, load: &Load, now: i64) -> Wish {
        let Some(lease) = self.leases.get_mut(worker) else { return Wish::Work };
        lease.load = Some(*load);
        if lease.drains.is_some_and(|until| now < until) { Wish::Drain } else { Wish::Work }
    }

    pub(super) fn wish(&mut self, worker: &str, wish: Wish, until: i64) {
        if let Some(lease) = self.leases.get_mut(worker) {
            lease.drains = (wish == Wish::Drain).then_some(until);
        }
    }

    /// The worker's lease, if it is one to act by.
    pub(super) fn live(&mut self, worker: &str, now: i64) -> Result<&mut Lease, BrokerError> {
        match self.leases.get_mut(worker) {
            None => Err(BrokerError::LeaseLost),
            Some(lease) if lease.ends <= now => Err(BrokerError::LeaseEnded),
            Some(lease) => Ok(lease),
        }
    }

    pub(super) fn receive(
        &mut self,
        asks: &Asks<'_>,
        tags: std::ops::Range<Tag>,
        now: i64,
    ) -> Result<Vec<Taken>, BrokerError> {
        let Asks { worker, plan, begun, .. } = asks;
        // Whoever puts its messages back knows all of its queues.
        self.live(&worker.incarnation, now)?.worker = (*worker).clone();
        let mut free = tags;
        let mut taken = Vec::new();
        for queue in &plan.order {
            for raw in self.turns(asks, *queue, free.clone().count(), now) {
                taken.push(Taken { tag: free.start, queue: *queue, counted: true, raw });
                free.start += 1;
            }
            self.return_due(&worker.queues[*queue].name, now);
        }
        let mut lists: Vec<_> = plan
            .order
            .iter()
            .enumerate()
            .flat_map(|(at, index)| worker.queues[*index].priority_steps.iter().map(move |step| (*step, at)))
            .collect();
        match plan.quotas {
            None => lists.sort_unstable(),
            Some(_) => lists.sort_by_key(|(step, at)| (*at, *step)),
        }
        let unbounded = vec![usize::MAX; plan.order.len()];
        for mut most in [plan.quotas.clone().unwrap_or_default(), unbounded] {
            for (step, at) in &lists {
                let Some(left) = most.get_mut(*at) else { continue };
                let queue = plan.order[*at];
                let list = self.list(&worker.queues[queue].name, *step);
                while !free.is_empty()
                    && *left > 0
                    && let Some(raw) = list.pop_front()
                {
                    taken.push(Taken { tag: free.start, queue, counted: false, raw });
                    free.start += 1;
                    *left -= 1;
                }
            }
        }
        let lease = self.live(&worker.incarnation, now)?;
        if !taken.is_empty() {
            let first = taken.iter().take(begun.places);
            let begins = first.filter(|taken| lost::in_message(&taken.raw) == 0).map(|taken| taken.tag);
            lease.begun = begins.chain(begun.tags.iter().copied()).collect();
        }
        for Taken { tag, queue, raw, .. } in &taken {
            lease.held.insert(*tag, HeldMessage { queue: *queue, raw: raw.clone() });
        }
        Ok(taken)
    }

    /// Parks a message, and says under which number.
    pub(super) fn park(&mut self, queue: &QueueName, until: Timestamp, message: Parked) -> u64 {
        self.parked_count += 1;
        // Whoever waits may wait for it from now on.
        self.pushed = true;
        let key = (message::due(until), self.parked_count);
        self.parked.entry(queue.name.clone()).or_default().insert(key, message);
        self.parked_count
    }

    pub(super) fn bind(&mut self, exchange: &str, binding: Binding) {
        self.bindings.entry(exchange.to_owned()).or_default().push(binding);
    }

    /// What is parked of a queue, the earliest due first: its time, its text.
    pub(super) fn parked(&self, queue: &str) -> impl Iterator<Item = (i64, &[u8])> {
        let parked = self.parked.get(queue).into_iter().flatten();
        parked.map(|((due, _), parked)| (*due, parked.raw.as_slice()))
    }

    /// Takes the first message that was parked of each of these tasks.
    pub(super) fn unpark(
        &mut self,
        worker: &Worker,
        ids: &[String],
        tags: std::ops::Range<Tag>,
        now: i64,
    ) -> Result<Vec<Taken>, BrokerError> {
        self.live(&worker.incarnation, now)?;
        let mut taken = Vec::new();
        let mut free = tags;
        for id in ids {
            let found = worker.queues.iter().enumerate().find_map(|(queue, name)| {
                let parked = self.parked.get_mut(&name.name)?;
                let of_task =
                    parked.iter().filter(|(_, parked)| message::id_in(&parked.raw).as_ref() == Some(id));
                let key = of_task.map(|(key, _)| *key).min_by_key(|(_, order)| *order)?;
                Some((queue, parked.remove(&key)?.raw))
            });
            let (Some((queue, raw)), Some(tag)) = (found, free.next()) else { continue };
            taken.push(Taken { tag, queue, counted: false, raw });
        }
        let lease = self.live(&worker.incarnation, now)?;
        for Taken { tag, queue, raw, .. } in &taken {
            lease.held.insert(*tag, HeldMessage { queue: *queue, raw: raw.clone() });
        }
        Ok(taken)
    }

    pub(super) fn start(&mut self, worker: &str, tags: &[Tag], now: i64) -> Result<(), BrokerError> {
        let lease = self.live(worker, now)?;
        lease.started = tags.iter().copied().collect();
        if tags.is_empty() {
            lease.begun.clear();
        }
        Ok(())
    }

    pub(super) fn noted(&self) -> Vec<Tag> {
        self.leases.values().flat_map(|lease| lease.started.union(&lease.begun).copied()).collect()
    }

    /// What a worker holds: tag, queue, message.
    pub(super) fn held_by(&self, worker: &str) -> Result<Vec<Taken>, BrokerError> {
        let lease = self.leases.get(worker).ok_or(BrokerError::LeaseLost)?;
        let taken = |(tag, held): (&Tag, &HeldMessage)| Taken {
            tag: *tag,
            queue: held.queue,
            counted: false,
            raw: held.raw.clone(),
        };
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
    pub(super) fn give_up(&mut self, queue: &str) -> usize {
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
        ended.iter().map(|worker| self.end(worker, End::RanOut, now)).sum()
    }

    /// Ends a lease, and puts what its worker holds back.
    pub(super) fn end(&mut self, worker: &str, how: End, now: i64) -> usize {
        let Some(Lease { worker, held, started, begun, .. }) = self.leases.remove(worker) else { return 0 };
        let count = held.len();
        let now = Timestamp::from_millisecond(now).unwrap_or_default();
        for (tag, HeldMessage { queue, raw }) in held.into_iter().rev() {
            let queue = &worker.queues[queue];
            let back = how.put_back(&raw, started.contains(&tag) || begun.contains(&tag), &worker, now);
            self.push_head(&queue.name, message::step(&raw, &queue.priority_steps), back.into_owned());
        }
        count
    }

    pub(super) fn depth(&mut self, queue: &QueueName, now: i64) -> Depth {
        let waiting: usize =
            queue.priority_steps.iter().map(|step| self.list(&queue.name, *step).len()).sum();
        let dead = self.list(&queue.dead_letter, 0).len() as u64;
        let parked = self.parked.get(&queue.name);
        let due = parked.map_or(0, |parked| parked.range(..(now + 1, 0)).count());
        let soon = now + super::milliseconds(SOON);
        let mut depth = Depth {
            ready: (waiting + due) as u64,
            scheduled: (parked.map_or(0, BTreeMap::len) - due) as u64,
            due: parked.map_or(0, |parked| parked.range((now + 1, 0)..(soon + 1, 0)).count()) as u64,
            dead,
            unacked: Some(self.unacked.get(&queue.name).copied().unwrap_or_default()),
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

    /// After how many milliseconds a worker would get something of this queue; none, when nothing is there.
    pub(super) fn next(&mut self, queue: &QueueName, now: i64) -> Option<u64> {
        if queue.priority_steps.iter().any(|step| !self.list(&queue.name, *step).is_empty()) {
            return Some(0);
        }
        let due = self.parked.get(&queue.name)?.first_key_value()?.0.0;
        let turn = self.next_turn(&queue.name, now).unwrap_or(due);
        Some(u64::try_from(turn.min(due) - now).unwrap_or_default())
    }

    pub(super) fn workers(&self) -> Vec<Worker> {
        self.leases.values().map(|lease| lease.worker.clone()).collect()
    }

    pub(super) fn loads(&self) -> Vec<Report> {
        self.leases.values().filter_map(|lease| Some(lease.worker.report(&lease.load?))).collect()
    }

    pub(super) fn held(&self) -> HashMap<String, usize> {
        self.leases.iter().map(|(name, lease)| (name.clone(), lease.held.len())).collect()
    }
}
