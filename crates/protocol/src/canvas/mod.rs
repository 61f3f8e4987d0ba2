//! Canvas: what a worker sends and stores when a task has ended, so that the workflow that it is a part of goes on.
//!
//! ```text
//!   embed of a message                      after_success                          after_failure
//!   {"callbacks": [...],  ────────────────> called with the value
//!    "chain": [..., 2nd, 1st],  ──────────> 1st called, the rest in its message    a FAILURE document each
//!    "chord": body,  ── part, to the store; of the last: values, then body         or chord_failed
//!    "errbacks": [...]}  ──────────────────────────────────────────────────────>   called with the id
//! ```
//!
//! - [`Signature`]: a call that is to be made.
//! - `plan`, `freeze`, `steps`, `links`: Celery's `apply_async`, `freeze`, `prepare_steps` and `link` for each kind of it.
//! - `publish`: the message of a call.
//! - [`success`](after_success), [`failure`](after_failure), [`chord`](part): the three occasions.
//! - [`replace`](replaced): a task that has another one in its place. [`add`](added_to_chord): one that adds to its chord.
//! - [`saved`](SavedGroup): the values of a chord whose header has groups in it.
//! - [`builtin`]: `celery.map` and the other tasks that every worker has.
//!
//! All of it follows Celery 5.7 in what is sent, to which ids, in which order; where that leaves somebody waiting
//! forever, it goes on instead, and the function says so. Arguments and values stay the text that they came as.
//! Nothing is random: a delivery that comes again makes the same ids.

mod add;
pub mod builtin;
mod chord;
mod failure;
mod freeze;
mod links;
mod options;
mod plan;
mod publish;
mod replace;
mod saved;
mod signature;
mod steps;
mod success;
mod tree;

use jiff::Timestamp;

pub use add::added_to_chord;
pub use chord::{ChordFailure, ChordPart, body, chord_failed, part, values};
pub use failure::after_failure;
pub use replace::replaced;
pub use saved::{SavedGroup, Unready};
pub use signature::Signature;
pub use success::after_success;
pub use tree::ResultTree;

use crate::envelope::Envelope;
use crate::json::Invalid;
use crate::record::Exception;

/// How deep groups, chains and chords may nest in each other.
pub const MAX_DEPTH: usize = 64;

/// How many messages one task may send when it ends.
pub const MAX_MESSAGES: usize = 100_000;

/// How many bytes these messages may have together, about: a chord's body stands in each message of its header.
pub const MAX_BYTES: usize = 256 << 20;

/// How many bytes are scanned to read one signature, each level of it anew.
const MAX_WORK: usize = 1 << 30;

/// What the worker knows when it sends.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// Its node name, the `origin` of its messages.
    pub origin: &'a str,
    /// The delivery tag of the task's message, the same whenever that is delivered again. All ids that are made come
    /// from it and from the task's id.
    pub delivery: &'a str,
    /// Where a task goes whose signature does not say so, by its name.
    pub route: &'a dyn Fn(&str) -> Target,
    /// Celery's `task_inherit_parent_priority`: callbacks and steps have the task's own priority.
    pub inherit_priority: bool,
    /// Celery's `result_extended`: documents have the task's name and arguments.
    pub extended: bool,
    /// The time.
    pub now: Timestamp,
}

/// Where a message is sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A queue, by its name.
    Queue(String),
    /// An exchange.
    Exchange {
        /// Its name.
        exchange: String,
        /// What its queues are bound by.
        routing_key: String,
    },
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub to: Target,
    /// The task's name.
    pub task: String,
    /// The task's id.
    pub id: String,
    /// The message.
    pub envelope: Envelope,
}

/// A chord to start: before the last message of its header is sent, its size must be in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChordStart {
    /// Its group.
    pub group: String,
    /// How many parts complete it.
    pub size: u64,
    /// The document to store for the group, when its header has groups in it: see [`SavedGroup`].
    pub saved: Option<String>,
}

/// A document to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub id: String,
    /// The document's JSON text.
    pub document: String,
}

/// What is to be done when a task has ended. `starts` come before `sends`; else Celery's order is that of the
/// function that made them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FollowUps {
    /// Chords to start.
    pub starts: Vec<ChordStart>,
    /// Messages to send, in this order.
    pub sends: Vec<Outgoing>,
    /// Documents to store of tasks that will not run.
    pub records: Vec<Record>,
    /// Parts of chords that have come to their end.
    pub parts: Vec<ChordPart>,
    /// Ids of tasks that were added to the chord that the task is a part of: its part counts them.
    pub adds: Vec<String>,
    /// What the task has sent, as its document names it: JSON texts of [`ResultTree`]s.
    pub children: Vec<String>,
    /// Tasks that Celery revokes by a broadcast.
    pub revokes: Vec<String>,
    /// What could not be read, where that keeps nothing else from being done.
    pub refused: Option<CanvasError>,
}

impl FollowUps {
    /// These, and others after them.
    #[must_use]
    pub fn then(mut self, others: Self) -> Self {
        let Self { starts, sends, records, parts, adds, children, revokes, refused } = others;
        self.starts.extend(starts);
        self.sends.extend(sends);
        self.records.extend(records);
        self.parts.extend(parts);
        self.adds.extend(adds);
        self.children.extend(children);
        self.revokes.extend(revokes);
        self.refused = self.refused.or(refused);
        self
    }

    fn refuse(&mut self, error: CanvasError) {
        self.refused.get_or_insert(error);
    }
}

/// Arguments that a call adds to a signature's own, as JSON texts.
#[derive(Debug, Clone, Copy, Default)]
struct Partial<'a> {
    /// An array, before its own.
    args: Option<&'a str>,
    /// An object, over its own.
    kwargs: Option<&'a str>,
}

/// Why a canvas cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanvasError {
    /// It is not JSON.
    #[error("the canvas is not JSON: {0}")]
    NotJson(Invalid),
    /// A part of it has another type than Celery writes.
    #[error("{what} must be {expected}")]
    Shape {
        /// The part.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// It has a signature of a kind that Celery has not.
    #[error("a signature's `subtask_type` must be group, chain, chord or null, not {0:?}")]
    UnknownKind(String),
    /// It has a chord without a body.
    #[error("a chord must have a `body` to run")]
    NoBody,
    /// What is to replace a task is a part of a chord already.
    #[error("A signature replacing a task must not be part of a chord: leave out its option `chord`")]
    ReplacedByPart,
    /// What is to replace a task is a chain without steps.
    #[error("Cannot replace with an empty chain: return a value")]
    ReplacedByNothing,
    /// A task adds to a chord, and is in none.
    #[error("Current task is not member of any chord")]
    NotInChord,
    /// A group is to be added to a chord.
    #[error("a group cannot be added to a chord: add its tasks one by one")]
    AddsGroup,
    /// A signature has more options than anybody writes.
    #[error("a signature has more than {} options, callbacks, errbacks or headers", options::MAX_OPTIONS)]
    TooManyOptions,
    /// Groups, chains and chords nest too deeply.
    #[error(
        "the canvas nests more than {MAX_DEPTH} groups, chains and chords: call a task that makes the inner ones"
    )]
    TooDeep,
    /// It sends too many messages at once.
    #[error("the canvas sends more than {MAX_MESSAGES} messages at once: cut it into chunks")]
    TooManyMessages,
    /// It sends too much at once.
    #[error("the canvas sends more than {MAX_BYTES} bytes at once: pass large arguments by reference")]
    TooLarge,
}

impl CanvasError {
    /// What is stored for the task whose canvas cannot go on.
    pub fn exception(&self) -> Exception {
        match self {
            // As Celery has it.
            Self::ReplacedByPart | Self::ReplacedByNothing => {
                Exception::new("celery.exceptions", "ImproperlyConfigured", &self.to_string())
            }
            Self::NotInChord => Exception::new("builtins", "ValueError", &self.to_string()),
            _ => Exception::invalid_task(&self.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
