//! The depth sampler: each broker is asked about all its queues each second, by one connection and in one round trip.
//!
//! ```text
//!   queue/ ──watch──> watched queues ──by address──> one task per broker, one per result store
//!   queue/ <──latest, changes── samples <──────────────┘
//! ```
//!
//! Every replica of the operator samples; what it sees stays in memory. [`address`] is what tells connections
//! apart, [`sample`] what was seen, [`connect`] where connections come from, [`task`] what asks, [`left`] what is left of
//! a queue that has gone, [`fleet`] what is known of Celery's own workers.

pub mod address;
pub mod connect;
pub mod fleet;
pub mod left;
pub mod sample;
mod task;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use petiole_broker::{BrokerError, Inspector, QueueName, Report, Wish};
use petiole_results::Store;
use tokio::sync::{mpsc, watch};

use self::address::Address;
use self::connect::Connect;
use self::fleet::{Fleet, Word};
use self::left::Left;
use self::sample::{Problem, Sample};

/// A `TaskQueue`, by its namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What is asked about a queue, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Its broker.
    pub broker: Address,
    /// Its name there.
    pub queue: QueueName,
    /// Its result store.
    pub results: Option<Address>,
}

/// The sampler. Clones share one.
#[derive(Clone)]
pub struct Sampler(Arc<Inner>);

struct Inner {
    connect: Arc<dyn Connect>,
    changes: mpsc::UnboundedSender<QueueKey>,
    rounds: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queues: HashMap<QueueKey, Watched>,
    brokers: HashMap<Address, Arc<dyn Inspector>>,
    /// What the workers of a broker have said last; nothing, where it could not be asked.
    loads: HashMap<Address, Arc<Vec<Report>>>,
    stores: HashMap<Address, Arc<dyn Store>>,
    /// Celery's own workers, where somebody wants to know of them.
    fleets: HashMap<Address, Fleet>,
}

struct Watched {
    watch: Watch,
    sample: Sample,
    /// See [`Sampler::retain`].
    denied: bool,
}

impl Sampler {
    /// A sampler that asks nobody yet. The other end hears of each queue whose state has changed.
    pub fn new(connect: Arc<dyn Connect>) -> (Self, mpsc::UnboundedReceiver<QueueKey>) {
        let (changes, listener) = mpsc::unbounded_channel();
        let rounds = watch::Sender::default();
        (Self(Arc::new(Inner { connect, changes, rounds, state: Mutex::default() })), listener)
    }

    /// Asks about a queue from now on; in another way, where it was already asked about. Must be called in a runtime.
    pub fn watch(&self, key: QueueKey, watch: Watch) {
        let mut state = self.0.lock();
        if state.queues.get(&key).is_some_and(|watched| watched.watch == watch) {
            return;
        }
        // What was seen before stands until the new connection has answered: a rotated password is no outage.
        let mut sample = state.queues.remove(&key).map(|watched| watched.sample).unwrap_or_default();
        if watch.results.is_none() {
            sample.results = None;
        }
        if let Entry::Vacant(vacant) = state.brokers.entry(watch.broker.clone()) {
            match self.0.connect.broker(&watch.broker) {
                Ok(broker) => {
                    vacant.insert(broker);
                    tokio::spawn(task::broker(self.0.clone(), watch.broker.clone()));
                }
                Err(error) => sample.broker = Some(Err(Problem::from(&error))),
            }
        }
        if let Some(address) = &watch.results
            && let Entry::Vacant(vacant) = state.stores.entry(address.clone())
        {
            match self.0.connect.results(address) {
                Ok(store) => {
                    vacant.insert(store);
                    tokio::spawn(task::results(self.0.clone(), address.clone()));
                }
                Err(error) => sample.results = Some(Err(Problem::from(&error))),
            }
        }
        state.queues.insert(key, Watched { watch, sample, denied: false });
    }

    /// Asks no more about a queue.
    pub fn forget(&self, key: &QueueKey) {
        self.0.lock().queues.remove(key);
    }

    /// Asks no more about a queue, and gives back what is left of it; nothing, when there was no way to ask about it.
    pub fn leave(&self, key: &QueueKey) -> Option<Left> {
        let mut state = self.0.lock();
        let Watched { watch, sample, .. } = state.queues.remove(key)?;
        let broker = state.brokers.get(&watch.broker)?.clone();
        Some(Left { key: key.clone(), watch, broker, sample })
    }

    /// Asks no more about queues that `keep` denies for the second time. The first time, whoever [leaves](Self::leave)
    /// them may be about to.
    pub fn retain(&self, keep: impl Fn(&QueueKey) -> bool) {
        self.0.lock().queues.retain(|key, watched| {
            let denied_before = std::mem::replace(&mut watched.denied, !keep(key));
            !(watched.denied && denied_before)
        });
    }

    /// What was seen of a queue last; nothing, when nobody asks about it.
    pub fn latest(&self, key: &QueueKey) -> Option<Sample> {
        self.0.lock().queues.get(key).map(|watched| watched.sample.clone())
    }

    /// What the workers on a queue's broker have said of themselves; nothing, when it cannot be asked.
    pub fn loads(&self, key: &QueueKey) -> Option<Arc<Vec<Report>>> {
        let state = self.0.lock();
        state.loads.get(&state.queues.get(key)?.watch.broker).cloned()
    }

    /// From now on, and for some seconds, a pool wants to know of the workers in these pods, which are Celery's own.
    /// `task_queues` are the pool's; they are on one broker.
    pub fn expect(&self, task_queues: &[QueueKey], pool: (String, String), pods: BTreeSet<String>) {
        let mut state = self.0.lock();
        let watches = task_queues.iter().map(|queue| state.queues.get(queue).map(|watched| &watched.watch));
        // What is not known of one of them will be.
        let Some(watches) = watches.collect::<Option<Vec<&Watch>>>() else { return };
        let queues = watches.iter().map(|watch| watch.queue.name.clone()).collect();
        if let Some(address) = watches.first().map(|watch| watch.broker.clone()) {
            state.fleets.entry(address).or_default().expect(pool, pods, queues, Timestamp::now());
        }
    }

    /// What is known of the workers in these pods, in their order; nothing, while the broker cannot be asked.
    pub fn words(&self, queue: &QueueKey, pods: &[&str]) -> Option<Vec<Word>> {
        let state = self.0.lock();
        let fleet = state.fleets.get(&state.queues.get(queue)?.watch.broker)?;
        let now = Timestamp::now();
        pods.iter().map(|pod| fleet.word(pod, now)).collect()
    }

    /// Tells workers on a queue's broker what to do; nobody, when nobody asks about the queue. Nothing is written there for
    /// those that are Celery's own: they are told at the next look.
    pub async fn wish(
        &self,
        queue: &QueueKey,
        wishes: &[(String, Wish)],
        lasts: Duration,
    ) -> Result<(), BrokerError> {
        let (own, ours): (Vec<_>, Vec<_>) =
            wishes.iter().cloned().partition(|(worker, _)| fleet::is_node(worker));
        self.wish_own(queue, &own, lasts);
        match self.broker_of(queue) {
            Some(broker) if !ours.is_empty() => broker.wish(&ours, lasts).await,
            _ => Ok(()),
        }
    }

    fn wish_own(&self, queue: &QueueKey, wishes: &[(String, Wish)], lasts: Duration) {
        let mut state = self.0.lock();
        let address = state.queues.get(queue).map(|watched| watched.watch.broker.clone());
        let Some(fleet) = address.and_then(|address| state.fleets.get_mut(&address)) else { return };
        let (now, lasts) = (Timestamp::now(), SignedDuration::try_from(lasts).unwrap_or_default());
        for (node, wish) in wishes {
            fleet.wish(node, *wish, lasts, now);
        }
    }

    /// Whether a worker of a pool, which is Celery's own, holds tasks that wait for their time.
    pub fn waits(&self, queue: &QueueKey, pool: &(String, String)) -> bool {
        let state = self.0.lock();
        let address = state.queues.get(queue).map(|watched| &watched.watch.broker);
        address.and_then(|address| state.fleets.get(address)).is_some_and(|fleet| fleet.waits(pool))
    }

    /// Changes each time that a broker was asked about all its queues.
    pub fn rounds(&self) -> watch::Receiver<u64> {
        self.0.rounds.subscribe()
    }

    /// What was seen of all queues last.
    pub fn all(&self) -> Vec<(QueueKey, Sample)> {
        self.0.lock().queues.iter().map(|(key, watched)| (key.clone(), watched.sample.clone())).collect()
    }

    /// Another `TaskQueue` that is the same queue at the same place as one that has been left.
    pub fn twin(&self, left: &Left) -> Option<QueueKey> {
        let state = self.0.lock();
        let is_twin = |(other, Watched { watch, .. }): &(&QueueKey, &Watched)| {
            **other != left.key
                && watch.queue.name == left.watch.queue.name
                && watch.broker.is_place_of(&left.watch.broker)
        };
        state.queues.iter().find(is_twin).map(|(other, _)| other.clone())
    }

    /// Ends the leases of every incarnation of a worker whose name begins with `identity`, on the broker of this
    /// queue, and puts their messages back. Says how many those were; nothing, when nobody asks about the queue.
    pub async fn end(&self, queue: &QueueKey, identity: &str) -> Result<Option<usize>, BrokerError> {
        let Some(broker) = self.broker_of(queue) else { return Ok(None) };
        let mut restored = 0;
        for worker in broker.workers().await? {
            // An identity is a UUID and an incarnation adds a dash and more: no identity begins another.
            if worker
                .incarnation
                .strip_prefix(identity)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            {
                restored += broker.end(&worker.incarnation).await?;
            }
        }
        Ok(Some(restored))
    }

    fn broker_of(&self, queue: &QueueKey) -> Option<Arc<dyn Inspector>> {
        let state = self.0.lock();
        state.brokers.get(&state.queues.get(queue)?.watch.broker).cloned()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the samples of these queues, and says which of them have to be told of.
    fn update(&self, queues: &[QueueKey], mut change: impl FnMut(usize, &mut Sample)) {
        let mut state = self.lock();
        for (index, key) in queues.iter().enumerate() {
            let Some(watched) = state.queues.get_mut(key) else { continue };
            let before = watched.sample.clone();
            change(index, &mut watched.sample);
            if watched.sample.differs_from(&before) {
                // Nobody listens any more when the operator ends.
                let _ = self.changes.send(key.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
