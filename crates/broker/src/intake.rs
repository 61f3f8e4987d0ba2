//! What a worker takes: from which queues, in which order, and how far apart the starts of a task are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::QueueName;
use crate::shares::{Plan, Shares};

/// In which order a worker serves its queues. Priorities are strict in either: in the first over all queues, in the
/// second inside each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// A later queue while those before it have nothing as urgent.
    #[default]
    Strict,
    /// Each by its weight's share of what is taken while it has work. Of any number of messages that a worker takes,
    /// a queue with work is at most [`LAG`](crate::LAG) short of its share.
    Weighted,
}

/// What a worker takes. Clones share it: its consumer follows each change with its next call, through all of the
/// worker's incarnations.
#[derive(Debug, Clone)]
pub struct Intake(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The queues have changed.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    order: Order,
    /// A queue keeps its index for good: the tags of deliveries hold it.
    queues: Vec<Source>,
    shares: Shares,
    limits: Arc<BTreeMap<String, Duration>>,
    /// Changes with the queues.
    version: u64,
}

#[derive(Debug)]
struct Source {
    name: QueueName,
    weight: u32,
    taken: bool,
}

impl Intake {
    /// These queues, the most urgent first, each with its weight.
    pub fn new(order: Order, queues: impl IntoIterator<Item = (QueueName, u32)>) -> Self {
        let source = |(name, weight): (QueueName, u32)| Source { name, weight: weight.max(1), taken: true };
        let state = State {
            order,
            queues: queues.into_iter().map(source).collect(),
            shares: Shares::default(),
            limits: Arc::default(),
            version: 1,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }))
    }

    /// These queues, strictly in their order.
    pub fn strict(queues: &[QueueName]) -> Self {
        Self::new(Order::Strict, queues.iter().map(|queue| (queue.clone(), 1)))
    }

    /// All queues by their index, also those that nothing is taken from any more.
    pub fn queues(&self) -> Vec<QueueName> {
        self.lock().queues.iter().map(|source| source.name.clone()).collect()
    }

    /// Takes from this queue too, behind the others or with a weight of 1; its index. One that was taken from before
    /// keeps what it had.
    pub fn consume(&self, queue: QueueName) -> usize {
        let mut state = self.lock();
        let known = state.queues.iter().position(|source| source.name.name == queue.name);
        let index = known.unwrap_or(state.queues.len());
        match state.queues.get_mut(index) {
            Some(source) if source.taken => return index,
            Some(source) => source.taken = true,
            None => state.queues.push(Source { name: queue, weight: 1, taken: true }),
        }
        state.version += 1;
        self.0.changed.notify_waiters();
        index
    }

    /// Takes nothing more from this queue. What is held of it, or parked for it, is not touched.
    pub fn cancel(&self, queue: &str) {
        let mut state = self.lock();
        let source = state.queues.iter_mut().find(|source| source.name.name == queue && source.taken);
        if let Some(source) = source {
            source.taken = false;
            state.version += 1;
            self.0.changed.notify_waiters();
        }
    }

    /// From now on the starts of this task are so far apart, over all workers of the pool that say the same;
    /// without an interval, whenever there is room.
    pub fn limit(&self, task: &str, interval: Option<Duration>) {
        let mut state = self.lock();
        let limits = Arc::make_mut(&mut state.limits);
        match interval {
            Some(interval) => limits.insert(task.to_owned(), interval),
            None => limits.remove(task),
        };
    }

    /// The tasks that have a limit, and how far apart their starts are.
    pub(crate) fn limits(&self) -> Arc<BTreeMap<String, Duration>> {
        self.lock().limits.clone()
    }

    /// Another one after each change of the queues.
    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    /// Returns when the queues are others than those of this version.
    pub(crate) async fn changed_since(&self, version: u64) {
        loop {
            let changed = self.0.changed.notified();
            if self.version() != version {
                return;
            }
            changed.await;
        }
    }

    /// From which of the first `known` queues to take how many of `want` messages.
    pub(crate) fn plan(&self, want: usize, known: usize) -> Plan {
        let state = &mut *self.lock();
        let taken = state.queues.iter().take(known).enumerate().filter(|(_, source)| source.taken);
        let taken = taken.map(|(index, source)| (index, source.weight));
        match state.order {
            Order::Strict => Plan { order: taken.map(|(index, _)| index).collect(), quotas: None },
            Order::Weighted => state.shares.plan(&taken.collect::<Vec<_>>(), want),
        }
    }

    /// So many were taken by this plan, in its order.
    pub(crate) fn took(&self, plan: &Plan, counts: &[usize]) {
        if plan.quotas.is_none() {
            return;
        }
        let state = &mut *self.lock();
        let weights: Vec<_> = state.queues.iter().map(|source| source.weight).collect();
        state.shares.took(plan, counts, &weights);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::task::Poll;

    use super::*;
    use crate::conformance::queue;

    #[tokio::test]
    async fn a_change_of_the_queues_wakes_who_waits_for_one() {
        let intake = Intake::strict(&[queue("a")]);
        let waiting = intake.changed_since(intake.version());
        let mut waiting = std::pin::pin!(waiting);
        let first = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
        assert!(first.is_pending());
        intake.consume(queue("b"));
        waiting.await;
        intake.changed_since(0).await;
    }

    #[test]
    fn a_queue_keeps_its_index_when_it_is_cancelled_and_comes_back() {
        let intake = Intake::strict(&[queue("a"), queue("b")]);
        let order = || intake.plan(8, 9).order;
        intake.cancel("a");
        assert_eq!(order(), [1]);
        assert_eq!(intake.consume(queue("c")), 2);
        assert_eq!(intake.consume(queue("a")), 0);
        assert_eq!(order(), [0, 1, 2]);
        assert_eq!(intake.queues(), [queue("a"), queue("b"), queue("c")]);
        assert_eq!(intake.plan(8, 2).order, [0, 1], "what is not registered yet is left out");
    }

    #[test]
    fn only_a_change_of_the_queues_makes_a_new_version() {
        let intake = Intake::strict(&[queue("a")]);
        let version = intake.version();
        intake.consume(queue("a"));
        intake.cancel("b");
        intake.limit("t", Some(Duration::from_secs(1)));
        assert_eq!(intake.version(), version);
        intake.cancel("a");
        assert_ne!(intake.version(), version);
    }
}
