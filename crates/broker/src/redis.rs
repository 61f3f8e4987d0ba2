//! kombu's Redis transport, with leases and fencing tags.
//!
//! ```text
//!   <queue> lists ──receive──> unacked, unacked_index     for Celery's workers, in kombu's form
//!                              petiole:held:<worker>:<queue>    for ours
//!                                 │
//!                                 ├─settle──> gone | head of its list | dead-letter list | petiole:eta:<queue>
//!                                 └─restore─> head of its list, when petiole:leases says that the worker has ended
//! ```
//!
//! - [`RedisConsumer`]: receive (`receive.rs`), settle (`settle.rs`, with what is sent and
//!   stored in `effects.rs` and `exchanges.rs`), adopt (`adopt.rs`), wait (`watch.rs`); which attempts have begun
//!   (`attempts.rs`); what is parked (`parking.rs`); tasks with a limit (`rates.rs`); a change of its queues (`table.rs`);
//!   how much goes at a time (`weigh.rs`).
//! - [`RedisLease`]: register, beat, sweep, release (`lease.rs`); putting messages back (`restore.rs`), also those
//!   that Celery's workers abandoned (`abandoned.rs`), and those of a worker of which nothing is known (`unknown.rs`).
//! - [`RedisInspector`]: depths, workers, end, hazards (`inspect.rs`), what Celery's workers hold (`unacked.rs`) and say
//!   (`remote.rs`), giving a queue up (`give_up.rs`).
//! - [`RedisMailbox`]: remote control and events (`mailbox.rs`, `inbox.rs`).
//! - [`RedisRevocations`]: what is revoked (`revocations.rs`).
//! - [`RedisDeadLetters`]: what was given up (`dead_letters.rs`).
//!
//! Each transition is one Lua script in `lua/`, whose head says what it takes and returns. No script reads JSON.

mod abandoned;
mod adopt;
mod attempts;
mod consumer;
mod dead_letters;
mod effects;
mod exchanges;
mod give_up;
mod inbox;
mod inspect;
mod keys;
mod lease;
mod listening;
mod mailbox;
mod parking;
mod rates;
mod receive;
mod remote;
mod restore;
mod revocations;
mod scripts;
mod settle;
mod table;
mod tag;
mod unacked;
mod under_way;
mod unknown;
mod watch;
mod weigh;

use std::time::Duration;

use petiole_protocol::json::quote;
use petiole_results::redis::Failure;
pub use petiole_results::redis::{Endpoint, EndpointError, Identity, Login, ReadSecrets, Secrets, Timeouts};

pub use self::consumer::RedisConsumer;
pub use self::dead_letters::RedisDeadLetters;
pub use self::give_up::parked_key;
pub use self::inspect::RedisInspector;
use self::keys::Keys;
pub use self::lease::RedisLease;
pub use self::mailbox::{MailboxConfig, RedisMailbox};
pub use self::revocations::RedisRevocations;
use crate::{BEAT, BrokerError, Intake, LEASE, QueueName, Worker};

/// kombu's default: after this long, a message that a Celery worker holds is delivered again.
pub const VISIBILITY_TIMEOUT: Duration = Duration::from_hours(1);

/// What a worker on Redis needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The broker.
    pub broker: Endpoint,
    /// The result store, when it is Redis too: if it is the broker's server, results are stored by the commit.
    pub results: Option<Endpoint>,
    /// Who the worker is. Its queues are those of `intake`.
    pub worker: Worker,
    /// What it takes: the same for its lease and its consumer.
    pub intake: Intake,
    /// Between two renewals of its lease; [`BEAT`].
    pub beat: Duration,
    /// How long its lease lasts; [`LEASE`].
    pub lease: Duration,
    /// `visibility_timeout` of Celery's `broker_transport_options`.
    pub visibility_timeout: Duration,
    /// How long is waited for the server.
    pub timeouts: Timeouts,
}

impl Config {
    /// The defaults for this worker on this broker.
    pub fn new(broker: Endpoint, worker: Worker) -> Self {
        Self {
            broker,
            results: None,
            intake: Intake::strict(&worker.queues),
            worker,
            beat: BEAT,
            lease: LEASE,
            visibility_timeout: VISIBILITY_TIMEOUT,
            timeouts: Timeouts::default(),
        }
    }

    /// The worker with its queues as they are now.
    fn worker(&self) -> Worker {
        Worker { queues: self.intake.queues(), ..self.worker.clone() }
    }

    fn check(&self) -> Result<(), BrokerError> {
        let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
        let name = &self.worker.incarnation;
        if name.is_empty() || !name.chars().all(fits) {
            return Err(BrokerError::Endpoint(format!(
                "a worker cannot be called {name:?}: write letters, digits, '-', '_' and '.'"
            )));
        }
        if self.intake.queues().is_empty() {
            return Err(BrokerError::Endpoint("a worker needs at least one queue: name one".to_owned()));
        }
        Ok(())
    }
}

/// One of a worker's queues, with what the scripts need of it.
#[derive(Debug)]
struct Queue {
    name: QueueName,
    /// Set: the sequence numbers of what this worker holds of it.
    held: String,
    /// Sorted set: when its parked messages are due.
    parked: String,
    /// Hash: its parked messages.
    messages: String,
    /// List: its messages of step 0.
    list: String,
    /// Its lists, each with its step, the most urgent first.
    lists: Vec<(u8, String)>,
    /// Set: the tasks that have a line.
    lines: String,
    /// What follows the message in an entry of `unacked`: the anonymous exchange, and the queue as routing key.
    tail: String,
}

impl Queue {
    fn all(keys: &Keys, worker: &Worker) -> Vec<Self> {
        let queue = |name: &QueueName| Self {
            held: keys.held(&worker.incarnation, &name.name),
            parked: keys.parked(&name.name),
            messages: keys.parked_messages(&name.name),
            list: keys.celery().list(&name.name, 0),
            lists: in_steps(keys, name),
            lines: keys.lines(&name.name),
            tail: format!(",\"\",{}]", quote(&name.name)),
            name: name.clone(),
        };
        worker.queues.iter().map(queue).collect()
    }
}

fn in_steps(keys: &Keys, queue: &QueueName) -> Vec<(u8, String)> {
    let mut steps = queue.priority_steps.clone();
    steps.sort_unstable();
    steps.into_iter().map(|step| (step, keys.celery().list(&queue.name, step))).collect()
}

/// The message in an entry of `unacked` that one of ours wrote: `[` message tail.
fn message_of(mut entry: Vec<u8>, tail: &str) -> Vec<u8> {
    entry.truncate(entry.len().saturating_sub(tail.len()));
    if !entry.is_empty() {
        entry.remove(0);
    }
    entry
}

fn during(doing: &'static str) -> impl Fn(Failure) -> BrokerError {
    move |failure| {
        let refused = failure.is_refusal();
        let source = Box::new(failure);
        if refused {
            BrokerError::Refused { doing, source }
        } else {
            BrokerError::Unreachable { doing, source }
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
