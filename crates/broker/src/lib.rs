//! Moving messages.
//!
//! ```text
//!   queue ──receive──> held by us (tag, lease) ──settle──> acknowledged | back in its queue | dead letter | parked
//!                              │
//!                              └── lease ended ──sweep──> back in its queue
//! ```
//!
//! - [`Consumer`]: what a worker does with messages. [`Lease`]: how it says that it lives. [`Inspector`]: what the
//!   operator sees and does. [`Attempts`]: which of its attempts have begun. [`Parking`]: what waits for its time. [`Mailbox`]: remote control and events.
//!   [`Revocations`]: what is revoked. [`Rates`]: how often tasks start. [`Remote`]: what Celery's own workers say and are told.
//!   [`mod@conformance`] is their suite, run against every back end.
//! - [`memory`]: a broker inside the process, for tests.
//! - [`redis`]: kombu's Redis transport, with leases and fencing tags.
//! - [`Intake`]: from which queues a worker takes, in which order.
//! - [`dead_letter`]: what was given up, looked at and put back.
//! - [`Settlement`]: what a worker has written when a task has ended: follow-ups, results, counts of chords, and what
//!   becomes of the message.
//! - [`exchange`]: which queues an exchange feeds.
//! - [`message`]: what a message becomes when it goes back, or is tried again. [`lost`]: the deliveries of it that were
//!   lost, counted and remembered.
//!
//! **Once a lease is lost, nothing is written**: every settling operation first checks, atomically with its
//! writes, that the message is still held by this worker and that its lease has not ended.

mod attempts;
pub mod conformance;
pub mod dead_letter;
pub mod exchange;
mod intake;
mod load;
pub mod lost;
mod mailbox;
pub mod memory;
pub mod message;
mod parking;
mod rates;
pub mod redis;
mod remote;
mod revocations;
mod settlement;
mod shares;
mod wish;

use std::time::Duration;

use async_trait::async_trait;
use petiole_protocol::envelope::{Envelope, Malformed};
use serde::{Deserialize, Serialize};

pub use self::attempts::{Attempts, Begun};
pub use self::intake::{Intake, Order};
pub use self::load::{Load, Report, SOON};
pub use self::mailbox::{Address, BoundQueue, Heard, Inbox, Mailbox, Node};
pub use self::parking::{MOST_LISTED, Parked, Parking};
pub use self::rates::{OVERDUE, Rates, SLACK, Start, Turn};
pub use self::remote::{MOST_SAID, Remote, Said};
pub use self::revocations::{MOST_REVOKED, REVOKED_FOR, ReadUntil, Revocations, Revoked};
pub use self::shares::LAG;
pub use self::wish::Wish;
pub use crate::settlement::{Disposition, Outgoing, Refusal, Settled, Settlement, Target};

/// Between two renewals of a lease: three of them may fail before it ends.
pub const BEAT: Duration = Duration::from_secs(2);

/// How long a lease lasts after it was renewed. With a sweep each second, a killed worker's messages are back in
/// their queues within 10 seconds; and a live worker is taken for dead only when it could not reach the broker for
/// this long.
pub const LEASE: Duration = Duration::from_secs(8);

/// A worker's name for one of its deliveries. Never used twice by one incarnation of a worker, and never the
/// message's own tag: kombu keeps that across a restore, so a late acknowledgement would hit the next holder.
pub type Tag = u64;

/// A message that this worker holds.
#[derive(Debug)]
pub struct Delivery {
    /// By which it is settled.
    pub tag: Tag,
    /// Index into the queues of the consumer's [`Intake`].
    pub queue: usize,
    /// It stood in the line of its task, and its start is counted: see [`Rates`].
    pub counted: bool,
    /// The message; or why its bytes are none.
    pub envelope: Result<Envelope, Malformed>,
}

/// What a worker does with messages.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Takes at most `want` messages, without waiting for any: first those whose turn has come in the line of their
    /// task, then as the consumer's [`Intake`] orders its queues, the most urgent first. Fails with
    /// [`BrokerError::LeaseLost`] when this incarnation's lease was swept, with [`BrokerError::LeaseEnded`] as long
    /// as it has run out.
    async fn receive(&self, want: usize) -> Result<Vec<Delivery>, BrokerError> {
        self.receive_for(want, &Begun::default()).await
    }

    /// The same. Where it takes any, the broker knows in the same step what has begun, in place of what the taking before
    /// it has said, and what begins by it.
    async fn receive_for(&self, want: usize, begun: &Begun) -> Result<Vec<Delivery>, BrokerError>;

    /// Returns when there may be something to receive, and within two seconds in any case. May return too early, never
    /// much too late.
    async fn wait(&self);

    /// Whether what a [`Settlement`] says of results and chords is written here, atomically with the rest.
    fn stores_results(&self) -> bool;

    /// Settles a batch. The answers stand in the order of the batch; each settlement is atomic by itself. Messages
    /// that are requeued keep the batch's order. A delivery comes once in a batch. Fails with [`BrokerError::LeaseLost`] and
    /// [`BrokerError::LeaseEnded`] as [`Self::receive`] does. After any other failure the batch may have been
    /// settled or not: settling it again is right, and answers as the first call would have.
    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, BrokerError>;

    /// Messages that the broker says this worker holds, but that `knows` denies: a reply that was lost on its way.
    /// Tags that a `receive` under way may still be taking are left out. A message is returned by the second call in
    /// a row that finds it so: what one call finds may be on its way between two of the caller's hands. Fails with
    /// [`BrokerError::LeaseLost`] when this incarnation's lease was swept.
    async fn adopt(&self, knows: &(dyn Fn(Tag) -> bool + Sync)) -> Result<Vec<Delivery>, BrokerError>;
}

/// How a worker says that it lives. On a connection of its own, so that a busy consumer cannot starve it.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Renews the lease, and what Celery's workers read as the age of our messages.
    async fn beat(&self) -> Result<Held, BrokerError>;
    /// Says how much this worker has to do, until it says so anew or has ended, and hears what it is to do. Wants to be
    /// called with each beat; writes nothing once the lease is lost.
    async fn tell(&self, load: &Load) -> Result<Wish, BrokerError>;
    /// Ends the leases of others that have run out, and puts their messages back to the heads of their queues. Says
    /// how many those were. Also returns parked messages of this worker's queues whose time has come. Wants to be
    /// called about each second, and from the worker's start on: after a time without sweeps no lease is ended for
    /// the length of a lease, because nobody knows whether leases could be renewed.
    async fn sweep(&self) -> Result<usize, BrokerError>;
    /// Gives the lease up: what is still held goes back at once.
    async fn release(&self) -> Result<(), BrokerError>;
}

/// Whether a lease is still ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It is, until the next beat is due and some more.
    Yes,
    /// It was swept. This incarnation must kill its tasks and write nothing more.
    Lost,
}

/// A worker, as far as the broker and the operator know it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Worker {
    /// Its name for one life of its process: a process that starts again has another one. Letters, digits, `-`, `_`
    /// and `.`, so that it fits into keys and tags.
    #[serde(skip)]
    pub incarnation: String,
    /// The namespace of its pool; empty outside a cluster.
    pub namespace: String,
    /// Its pool.
    pub pool: String,
    /// Its pod, or the host outside a cluster.
    pub host: String,
    /// The queues that it takes from, the most urgent first.
    pub queues: Vec<QueueName>,
}

impl Worker {
    /// What is written down of it on the broker.
    pub(crate) fn described(&self) -> Result<String, BrokerError> {
        described(self)
    }

    /// What it says of itself, with this load.
    pub(crate) fn report(&self, load: &Load) -> Report {
        let Self { incarnation, namespace, pool, host, queues: _ } = self.clone();
        Report { incarnation, namespace, pool, host, load: *load }
    }

    /// The same, as it is written down on the broker.
    pub(crate) fn says(&self, load: &Load) -> Result<String, BrokerError> {
        described(&self.report(load))
    }
}

fn described(what: &impl Serialize) -> Result<String, BrokerError> {
    serde_json::to_string(what)
        .map_err(|error| BrokerError::Endpoint(format!("the worker cannot be described: {error}")))
}

/// What stands in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that wait, over all priorities, with those parked ones whose time has come.
    pub ready: u64,
    /// Messages that our workers hold.
    pub reserved: u64,
    /// Messages that Celery's own workers hold: an estimate, some seconds old. Nothing, before they were counted once.
    pub unacked: Option<u64>,
    /// Messages that wait for their time.
    pub scheduled: u64,
    /// Of these, messages whose time comes within [`SOON`].
    pub due: u64,
    /// Messages that cannot be tried again.
    pub dead: u64,
    /// Workers of ours that take from it.
    pub consumers: u64,
}

/// What the operator sees and does. One connection serves all queues of a broker endpoint.
#[async_trait]
pub trait Inspector: Remote {
    /// The depths of these queues, in their order, by one round trip.
    async fn depths(&self, queues: &[QueueName]) -> Result<Vec<Depth>, BrokerError>;
    /// The workers that have a lease, be it one that has run out.
    async fn workers(&self) -> Result<Vec<Worker>, BrokerError>;
    /// What the workers say of themselves that have a lease.
    async fn loads(&self) -> Result<Vec<Report>, BrokerError>;
    /// Says what these incarnations are to do, by one round trip. [`Wish::Drain`] lapses when it was not said again for so
    /// long, and ends with the lease; of a worker without one nothing is written.
    async fn wish(&self, wishes: &[(String, Wish)], lasts: Duration) -> Result<(), BrokerError>;
    /// Ends the lease of an incarnation that is known to have ended, and puts its messages back. Says how many.
    async fn end(&self, incarnation: &str) -> Result<usize, BrokerError>;
    /// Puts all parked messages of a queue at the heads of its lists, whether their time has come or not, the earliest
    /// to be served first. Says how many. For a queue that is given up: nothing of it stays that only we know of. A
    /// worker that still takes from it parks them again.
    async fn give_up(&self, queue: &QueueName) -> Result<usize, BrokerError>;
    /// Settings of the broker that put work at risk (`maxmemory-policy`).
    async fn hazards(&self) -> Result<Vec<Hazard>, BrokerError>;
}

/// A queue, as far as its keys go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueueName {
    /// Its name on the broker.
    pub name: String,
    /// Its priority steps on Redis, the most urgent first.
    pub priority_steps: Vec<u8>,
    /// Its dead-letter queue's name.
    pub dead_letter: String,
}

/// A setting of the broker that puts work at risk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hazard {
    /// The condition's reason, in CamelCase.
    pub reason: &'static str,
    /// What is wrong, and what to set instead.
    pub message: String,
}

/// Why the broker did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The lease of this incarnation was swept: nothing was written, and nothing may be any more.
    #[error("the lease was lost")]
    LeaseLost,
    /// The lease of this incarnation has run out, but nobody has swept it: nothing was written. A beat may renew it,
    /// so that the same call works later; otherwise it is [`Self::LeaseLost`] then.
    #[error("the lease has run out")]
    LeaseEnded,
    /// The broker cannot be used by us as things are set up: why, and what to do about it.
    #[error("{0}")]
    Endpoint(String),
    /// The server could not be reached, or did not answer in time.
    #[error("failed to {doing}")]
    Unreachable {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server answered that it will not: a wrong password, no right, no memory left.
    #[error("failed to {doing}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What the server said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
