//! Remote control: what `celery inspect`, `celery control` and Flower ask of this worker, and what is revoked.
//!
//! ```text
//!   mailbox ──listen──> Asked ──> the worker's loop: view ──answer (pure)──> answer ──speak──> mailbox
//!                                                                  └──> acts ──act──> runs, admit, events, drain
//!   revocations <──remember──> what is revoked, known to all workers, also to those that start later
//! ```
//!
//! It lives as long as the process, through all its sessions: it answers while tasks run, and during a drain.
//!
//! - [`listen`]: requests, read. [`speak`]: answers and events, sent. [`remember`]: revocations, read and written.
//! - [`facts`]: what stands in the pool's file. [`view`]: what the worker knows. [`usage`]: what the kernel knows.
//! - [`answer`]: what is answered, and what is to be done. [`act`]: does it.

pub mod act;
pub mod answer;
pub mod facts;
pub mod listen;
pub mod remember;
pub mod speak;
mod tasks;
pub mod usage;
pub mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use petiole_broker::BoundQueue;
use petiole_contract::pool::Pool;
use petiole_process::metrics::IntCounterVec;
use petiole_protocol::event::Clock;
use petiole_protocol::message::Accept;
use petiole_protocol::revoked::Revoked;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use self::facts::Facts;
use self::listen::{Asked, Reading};
use self::remember::Write;
use self::speak::{Publish, Reply};
use self::view::Due;
use crate::connect::Connect;
use crate::events::Events;
use crate::metrics::UNLISTED;
use crate::signing::Signing;

/// How many requests wait for the loop.
const REQUESTS: usize = 256;

/// How many answers wait to be sent, and how many revocations to be written.
const ANSWERS: usize = 256;

/// How many turns' events wait to be sent; more are left out.
const TURNS: usize = 16;

/// The names of tasks that are counted; the others are counted as one.
const MOST_NAMES: usize = 1000;

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What happens in remote control.
#[derive(Debug)]
pub enum ControlEvent {
    /// From here on requests are heard; also after each gap.
    Listening,
    /// This node was asked.
    Asked(Box<Asked>),
    /// This node was asked for what is parked, and this is parked.
    Listed(Box<Asked>, Vec<Due>),
    /// This is revoked: all of it first, then what was added.
    Revoked(petiole_broker::Revoked),
}

/// Which exchanges feed the queues of a worker: what is bound whenever the broker can be heard again.
type Bindings = Arc<Mutex<Vec<BoundQueue>>>;

/// A worker's side of remote control.
#[derive(Debug)]
pub struct Control {
    /// What stands in the pool's file.
    pub facts: Facts,
    /// What this worker tells whoever listens.
    pub events: Events,
    /// What is revoked.
    pub revoked: Revoked,
    /// Whether [`Self::revoked`] has what the broker keeps: before that no message is taken.
    pub loaded: bool,
    pub(crate) inbox: mpsc::Receiver<ControlEvent>,
    outbox: mpsc::Sender<ControlEvent>,
    clock: Arc<Clock>,
    since: Instant,
    /// How many attempts have ended that had started, by task.
    totals: BTreeMap<String, u64>,
    /// Which exchanges feed the queues.
    bindings: Bindings,
    replies: Option<mpsc::Sender<Reply>>,
    publishes: Option<mpsc::Sender<Publish>>,
    writes: Option<mpsc::Sender<Write>>,
    tasks: Option<AbortOnDropHandle<()>>,
}

impl Control {
    /// Of a worker that is not connected to anything yet.
    pub fn new(pool: &Pool, nodename: &str) -> Self {
        let (outbox, inbox) = mpsc::channel(REQUESTS);
        let bindings = pool.queues.iter().map(|queue| BoundQueue::named(&queue.name)).collect();
        let clock = Arc::<Clock>::default();
        Self {
            facts: Facts::new(pool, nodename),
            events: Events::new(nodename, clock.clone(), pool.events),
            revoked: Revoked::default(),
            loaded: false,
            inbox,
            outbox,
            clock,
            since: Instant::now(),
            totals: BTreeMap::new(),
            bindings: Arc::new(Mutex::new(bindings)),
            replies: None,
            publishes: None,
            writes: None,
            tasks: None,
        }
    }

    /// Connects, and listens from then on. `accept` says which forms are read of tasks, `refused` counts what is passed over.
    pub fn start(
        &mut self,
        connect: &Arc<dyn Connect>,
        accept: &Accept,
        signing: Option<Arc<Signing>>,
        refused: IntCounterVec,
    ) {
        let (replies, reply_inbox) = mpsc::channel(ANSWERS);
        let (publishes, publish_inbox) = mpsc::channel(TURNS);
        let (writes, write_inbox) = mpsc::channel(ANSWERS);
        let tasks = tasks::Tasks {
            connect: connect.clone(),
            nodename: self.facts.nodename.clone(),
            bindings: self.bindings.clone(),
            clock: self.clock.clone(),
            audience: self.events.audience(),
            reading: Reading::new(accept.clone(), refused),
            signing,
            events: self.outbox.clone(),
            replies: reply_inbox,
            publishes: publish_inbox,
            writes: write_inbox,
        };
        (self.replies, self.publishes, self.writes) = (Some(replies), Some(publishes), Some(writes));
        self.tasks = Some(AbortOnDropHandle::new(tokio::spawn(tasks.go())));
    }

    /// An attempt of this task has run.
    pub fn count(&mut self, task: &str) {
        if let Some(count) = self.totals.get_mut(task) {
            *count += 1;
        } else {
            let name = if self.totals.len() < MOST_NAMES { task } else { UNLISTED };
            *self.totals.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// How many attempts have run and ended.
    pub fn processed(&self) -> u64 {
        self.totals.values().sum()
    }

    /// Has a queue bound to an exchange.
    fn bind(&self, binding: BoundQueue) {
        let mut bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        if bindings.contains(&binding) {
            return;
        }
        bindings.push(binding.clone());
        if let Some(publishes) = &self.publishes
            && publishes.try_send(Publish::Binding(binding)).is_err()
        {
            tracing::warn!(
                "a queue is not bound to its exchange until the worker listens anew: too much is to be sent"
            );
        }
    }

    fn reply(&self, reply: Reply) {
        // One that finds no room is dropped: who asked has stopped waiting long before there is some.
        if let Some(replies) = &self.replies
            && replies.try_send(reply).is_err()
        {
            tracing::debug!("an answer was dropped: too many wait to be sent");
        }
    }

    fn write(&self, write: Write) {
        if let Some(writes) = &self.writes
            && writes.try_send(write).is_err()
        {
            tracing::warn!("a revocation is known to this worker only: too many wait to be written");
        }
    }

    /// Publishes what there is, at the end of a loop's turn.
    pub fn flush(&mut self) {
        let events = self.events.flush();
        if let Some(publishes) = self.publishes.as_ref().filter(|_| !events.is_empty()) {
            let _ = publishes.try_send(Publish::Events(events));
        }
    }

    /// Says the last event, and takes the node's name away.
    pub async fn leave(&mut self) {
        let events = self.events.flush();
        let Some(publishes) = self.publishes.take() else { return };
        let (done, left) = oneshot::channel();
        let goodbye = async {
            if publishes.send(Publish::Goodbye(events, done)).await.is_ok() {
                let _ = left.await;
            }
        };
        if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
            tracing::debug!("the node's name stays until it expires: the broker did not answer");
        }
        self.tasks = None;
    }
}
