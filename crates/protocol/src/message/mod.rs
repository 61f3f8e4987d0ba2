//! An envelope read as a task.
//!
//! ```text
//!   protocol 2   headers {task, id, eta, ...}      body [args, kwargs, {callbacks, errbacks, chain, chord}]
//!   protocol 1   headers {}                        body {task, id, args, kwargs, eta, callbacks, ...}
//!   hybrid       headers {task, id, ...}           body {args, kwargs, ...}; the headers win
//! ```
//!
//! A message is protocol 2 when its headers name a task, and protocol 1 when its body does (Celery's rule). A user's
//! own headers are not looked at; they are handed on.
//!
//! The body may be compressed, signed, and of any of kombu's serializers that [`Accept`] lists; everything after
//! sees JSON.

mod accept;
mod body;
mod fields;
mod refused;
mod rewrite;

use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;

pub use accept::{Accept, NotAcceptable};
use body::Body;
pub use refused::{Reason, Refused};
pub use rewrite::{Arguments, NewBody};

use crate::envelope::Envelope;
use crate::json::{Invalid, Object};

/// A task, as a client sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its id: any text, most often a UUID.
    pub id: String,
    /// The registered name that it runs by.
    pub task: String,
    /// The name that it is shown by instead.
    pub shadow: Option<String>,
    /// How many times it was tried before.
    pub retries: u32,
    /// When it may run.
    pub eta: Option<Timestamp>,
    /// When it may not run any more.
    pub expires: Option<Timestamp>,
    /// How long it may run.
    pub limits: TimeLimits,
    /// Whether its result is wanted; `None` when the client does not know the task, and the worker's own setting
    /// for it counts.
    pub ignore_result: Option<bool>,
    /// The first task of its workflow. Absent in protocol 1; a task without one is the first of its own.
    pub root_id: Option<String>,
    /// The task that sent it.
    pub parent_id: Option<String>,
    /// The group or chord that it is a part of.
    pub group: Option<String>,
    /// Its place in that group.
    pub group_index: Option<u64>,
    /// The queue of the client's `rpc` results, which a task's children inherit.
    pub reply_to: Option<String>,
    /// 0 is the most urgent on Redis, and the least on RabbitMQ.
    pub priority: Option<u8>,
    /// It was delivered before, and given back.
    pub redelivered: bool,
    /// The node that sent it: `gen<pid>@<host>`.
    pub origin: Option<String>,
    /// Its positional arguments for people: a Python text, cut to some 1,000 characters.
    pub argsrepr: Option<String>,
    /// Its keyword arguments for people.
    pub kwargsrepr: Option<String>,
    /// How many times it replaced itself.
    pub replaced_task_nesting: u32,
    /// The names of its stamps, as JSON text: an array of strings.
    pub stamped_headers: Option<String>,
    /// Its stamps: name → value or list of values.
    pub stamps: Object,
    /// kombu's key of the message, the same whenever it is delivered again.
    pub delivery_tag: Option<String>,
    /// What its sender wrote into `headers`, as the JSON text of an object: the headers that are not Celery's own.
    pub user_headers: Option<String>,
    body: Body,
}

/// How long a task may run, in seconds. Where there is none, the task's own limit counts, and then the worker's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TimeLimits {
    /// After these it is killed.
    pub hard: Option<f64>,
    /// After these it is asked to end.
    pub soft: Option<f64>,
}

/// What is to be sent when a task has ended, as JSON texts of signatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FollowUps<'a> {
    /// An array: what gets the task's value (`link`).
    pub callbacks: Option<&'a str>,
    /// An array: what is told of its failure (`link_error`).
    pub errbacks: Option<&'a str>,
    /// An array: the remaining steps of its chain. The next one stands **last**.
    pub chain: Option<&'a str>,
    /// An object: the body of the chord whose header it is a part of.
    pub chord: Option<&'a str>,
}

impl Message {
    /// Reads an envelope whose body must be JSON, compressed or not: what Celery accepts by default.
    pub fn read(envelope: &Envelope) -> Result<Self, Refused> {
        // Only certificates depend on the time, and the default has none.
        Accept::default().read(envelope, Timestamp::UNIX_EPOCH)
    }

    /// The pickle that the body is, decompressed, where the pool accepts pickles. Its arguments and follow-ups are then
    /// known to nobody but Python: here they are empty, but for what [`Self::set_embed`] tells.
    pub fn pickled(&self) -> Option<&Bytes> {
        self.body.pickled()
    }

    /// Takes the `embed` of a pickle, as JSON text, from whoever could read it: then it is known what follows the task.
    pub fn set_embed(&mut self, json: &Bytes) -> Result<(), Invalid> {
        self.body.embed(json)
    }

    /// The arguments as the client wrote them: the JSON text `[args, kwargs]`. Of a pickle, `[[], {}]`.
    pub fn arguments(&self) -> Vec<u8> {
        let (args, kwargs) = (self.args(), self.kwargs());
        let mut arguments = Vec::with_capacity(args.len() + kwargs.len() + 4);
        for part in ["[", args, ", ", kwargs, "]"] {
            arguments.extend_from_slice(part.as_bytes());
        }
        arguments
    }

    /// The positional arguments: the JSON text of an array.
    pub fn args(&self) -> &str {
        self.body.part(self.body.args.as_ref()).unwrap_or("[]")
    }

    /// The keyword arguments: the JSON text of an object.
    pub fn kwargs(&self) -> &str {
        self.body.part(self.body.kwargs.as_ref()).unwrap_or("{}")
    }

    /// What is to be sent when the task has ended. What is `null` or empty is absent.
    pub fn follow_ups(&self) -> FollowUps<'_> {
        let part = |span: &Option<Range<usize>>| self.body.part(span.as_ref());
        let Body { callbacks, errbacks, chain, chord, .. } = &self.body;
        FollowUps {
            callbacks: part(callbacks),
            errbacks: part(errbacks),
            chain: part(chain),
            chord: part(chord),
        }
    }

    /// Whether anything is to be sent when the task has ended.
    pub fn has_follow_ups(&self) -> bool {
        self.follow_ups() != FollowUps::default()
    }
}

#[cfg(test)]
mod tests;
