//! A broker inside the process, for tests: the same rules as on Redis, under a clock that the test holds.

mod dead_letters;
mod lines;
mod mail;
mod mailbox;
mod parking;
mod remote;
mod revocations;
mod settle;
mod state;
mod worker;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use petiole_results::memory::MemoryStore;
use tokio::sync::Notify;

pub use self::mailbox::MemoryMailbox;
use self::state::State;
pub use self::worker::MemoryWorker;
use crate::exchange::Binding;
use crate::lost::End;
use crate::{BrokerError, Depth, Hazard, Inspector, Intake, QueueName, Report, Tag, Wish, Worker, message};

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What goes wrong, for as long as it does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The broker is away: calls fail, and do nothing.
    Away,
    /// Answers are lost: calls do what they do, and fail.
    Mute,
}

/// A broker inside the process. Clones share it.
#[derive(Clone)]
pub struct MemoryBroker(Arc<Inner>);

struct Inner {
    clock: Clock,
    beat: Duration,
    lease: Duration,
    results: Option<MemoryStore>,
    state: Mutex<State>,
    fault: Mutex<Fault>,
    /// Something was put into a list.
    arrived: Notify,
    /// Something was said to those who listen.
    said: Notify,
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker").field("state", &self.0.state).finish_non_exhaustive()
    }
}

impl MemoryBroker {
    /// A broker with the usual lengths of beats and leases. With `results`, records are stored by the commit.
    pub fn new(clock: Clock, results: Option<MemoryStore>) -> Self {
        Self(Arc::new(Inner {
            clock,
            beat: crate::BEAT,
            lease: crate::LEASE,
            results,
            state: Mutex::default(),
            fault: Mutex::default(),
            arrived: Notify::new(),
            said: Notify::new(),
        }))
    }

    /// Registers a worker: it consumes, and has a lease.
    pub fn register(&self, worker: Worker) -> Result<MemoryWorker, BrokerError> {
        let intake = Intake::strict(&worker.queues);
        self.register_with(worker, intake)
    }

    /// The same; it takes what this says.
    pub fn register_with(&self, worker: Worker, intake: Intake) -> Result<MemoryWorker, BrokerError> {
        let worker = Worker { queues: intake.queues(), ..worker };
        let length = milliseconds(self.0.lease);
        self.change("register the worker", |state, now| state.register(&worker, now + length))?;
        Ok(MemoryWorker::new(self.clone(), worker, intake))
    }

    /// Puts a message behind the others of its priority, as a client does.
    pub fn publish(&self, queue: &QueueName, raw: impl Into<Vec<u8>>) {
        let raw = raw.into();
        let step = message::step(&raw, &queue.priority_steps);
        let mut state = self.lock();
        state.push_tail(&queue.name, step, raw);
        self.announce(&mut state);
    }

    /// Binds a queue to an exchange.
    pub fn bind(&self, exchange: &str, binding: Binding) {
        self.lock().bind(exchange, binding);
    }

    /// What waits in a list, the next one first.
    pub fn waiting(&self, queue: &str, step: u8) -> Vec<Vec<u8>> {
        self.lock().list(queue, step).iter().cloned().collect()
    }

    /// One of Celery's workers has taken a message of a queue.
    pub fn celery_holds(&self, queue: &QueueName) {
        *self.lock().unacked.entry(queue.name.clone()).or_default() += 1;
    }

    /// How many messages each worker holds.
    pub fn held(&self) -> HashMap<String, usize> {
        self.lock().held()
    }

    /// The deliveries of all workers that are known to have begun.
    pub fn noted(&self) -> Vec<Tag> {
        self.lock().noted()
    }

    /// The result store that commits write to.
    pub fn results(&self) -> Option<&MemoryStore> {
        self.0.results.as_ref()
    }

    /// Makes something go wrong from now on.
    pub fn set_fault(&self, fault: Fault) {
        *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait, if something was put into a list.
    fn announce(&self, state: &mut State) {
        if state.take_pushed() {
            self.0.arrived.notify_waiters();
        }
    }

    fn now(&self) -> Timestamp {
        (self.0.clock)()
    }

    /// Changes the state, as far as the fault of the moment allows.
    fn change<T>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&mut State, i64) -> T,
    ) -> Result<T, BrokerError> {
        let fault = *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.change_unless(Fault::Away, doing, change)?;
        if fault == Fault::Mute { Err(failure(doing, fault)) } else { Ok(done) }
    }

    /// Changes the state, unless this fault is the one of the moment.
    fn change_unless<T>(
        &self,
        hindrance: Fault,
        doing: &'static str,
        change: impl FnOnce(&mut State, i64) -> T,
    ) -> Result<T, BrokerError> {
        let fault = *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if fault == hindrance {
            return Err(failure(doing, fault));
        }
        let mut state = self.lock();
        let done = change(&mut state, self.now().as_millisecond());
        self.announce(&mut state);
        Ok(done)
    }
}

fn failure(doing: &'static str, fault: Fault) -> BrokerError {
    BrokerError::Unreachable { doing, source: format!("{fault:?}").into() }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Inspector for MemoryBroker {
    async fn depths(&self, queues: &[QueueName]) -> Result<Vec<Depth>, BrokerError> {
        self.change("count messages", |state, now| {
            queues.iter().map(|queue| state.depth(queue, now)).collect()
        })
    }

    async fn workers(&self) -> Result<Vec<Worker>, BrokerError> {
        self.change("list the workers", |state, _| state.workers())
    }

    async fn loads(&self) -> Result<Vec<Report>, BrokerError> {
        self.change("ask how busy workers are", |state, _| state.loads())
    }

    async fn wish(&self, wishes: &[(String, Wish)], lasts: Duration) -> Result<(), BrokerError> {
        self.change("say what workers are to do", |state, now| {
            for (worker, wish) in wishes {
                state.wish(worker, *wish, now + milliseconds(lasts));
            }
        })
    }

    async fn end(&self, incarnation: &str) -> Result<usize, BrokerError> {
        self.change("end a lease", |state, now| state.end(incarnation, End::Known, now))
    }

    async fn give_up(&self, queue: &QueueName) -> Result<usize, BrokerError> {
        self.change("return parked messages", |state, _| state.give_up(&queue.name))
    }

    async fn hazards(&self) -> Result<Vec<Hazard>, BrokerError> {
        Ok(Vec::new())
    }
}
