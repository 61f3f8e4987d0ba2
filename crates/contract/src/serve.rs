//! Mode `Serve`: the worker hands tasks to long-lived handlers.
//!
//! A handler is started by the runner with [`SOCKET`] and [`HANDLER`] in its environment. It connects to the
//! socket, says `hello`, and then gets `run` frames. For each it says `started` before the task's code runs and
//! `result` when it has ended. Both sides ignore fields that they do not know.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::instead::{Instead, Reject, Retry};

/// Environment variable: path of the worker's unix socket.
pub const SOCKET: &str = "PETIOLE_SOCKET";
/// Environment variable: the word by which a handler tells the worker which of the runner's processes it is.
pub const HANDLER: &str = "PETIOLE_HANDLER";

/// A form of messages that a handler must say that it takes ([`Hello::accept`]): Python's pickle.
pub const PICKLE: &str = "pickle";

/// What the worker says to a handler.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToHandler<'a> {
    /// Run a task. The payload is the JSON text `[args, kwargs]`, as the client wrote it; with [`Run::content`] it is the
    /// message's body in that form.
    #[serde(borrow)]
    Run(Run<'a>),
    /// Give back these runs if they have not started: answer `recalled` with those that are given back.
    /// Only a handler that said a `prefetch` above zero gets this.
    Recall {
        /// The attempts asked for.
        attempts: Vec<u64>,
    },
    /// The soft time limit of this run has passed: end it if you can. At the hard limit the process is killed.
    Cancel {
        /// The attempt to end.
        attempt: u64,
    },
    /// No more runs will come; exit when those at hand are done.
    Drain {},
    /// The worker does not take this handler (its version, an unknown [`HANDLER`]): say why, and exit.
    Refused {
        /// What is wrong, and what to do.
        reason: Cow<'a, str>,
    },
}

/// One delivery of a task to a handler.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Run<'a> {
    /// Names this delivery in every later frame: the same task can be delivered again.
    pub attempt: u64,
    /// Celery's task id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Celery's task name.
    #[serde(borrow)]
    pub task: Cow<'a, str>,
    /// How many times this task has been retried before, by Celery's count.
    #[serde(default)]
    pub retries: u32,
    /// The broker's word that this message may have been delivered before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redelivered: bool,
    /// The first task of its workflow.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub root_id: Option<Cow<'a, str>>,
    /// The task that sent it.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<Cow<'a, str>>,
    /// What the client wrote into `headers`, such as `traceparent`: a JSON object, as the client wrote it.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub headers: Option<&'a RawValue>,
    /// What the payload is, when it is not JSON: [`PICKLE`], of the triple `(args, kwargs, embed)`.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub content: Option<Cow<'a, str>>,
}

/// What a handler says to the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromHandler {
    /// The first frame.
    Hello(Hello),
    /// The task's code is about to run. A run that is lost before this frame was never attempted. Of a pickled run the
    /// payload may be the pickle's `embed` as JSON, so that the worker knows what follows the task.
    Started {
        /// Which run.
        attempt: u64,
    },
    /// The run is on its way: a state of the task's own is recorded (Celery's `update_state`). The payload is its
    /// meta, as JSON.
    Progress {
        /// Which run.
        attempt: u64,
        /// The state's name, such as `PROGRESS`. None of Celery's ready states.
        state: String,
    },
    /// The task adds to the chord that it is a part of (Celery's `add_to_chord`), when it succeeds. The payload is a
    /// signature, in Celery's JSON. Said once for each.
    AddToChord {
        /// Which run.
        attempt: u64,
    },
    /// The run has ended. Without `error` the payload is its value as JSON (an empty payload is `null`). With `retry` it
    /// is what the next try is called with, `[args, kwargs]`, where that changes; what is `null` stays.
    Result(RunResult),
    /// The runs that are given back unstarted.
    Recalled {
        /// Which runs.
        attempts: Vec<u64>,
    },
}

/// How a handler introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::VERSION`].
    pub version: u32,
    /// The value of [`HANDLER`].
    pub handler: String,
    /// How many tasks it runs at the same time.
    #[serde(default = "one")]
    pub concurrency: u32,
    /// How many runs it takes ahead of that. Above zero it promises to answer `recall` within a second,
    /// also while a task is running.
    #[serde(default)]
    pub prefetch: u32,
    /// The forms of messages that it takes beside JSON: [`PICKLE`]. A pool that accepts it takes no handler that does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Which run.
    pub attempt: u64,
    /// Present when the task failed; with `retry`, why it wants to be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// It wants to be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// It rejects the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject: Option<Reject>,
    /// It is to be forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore: bool,
    /// Another task takes its place: the payload is a signature, in Celery's JSON.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
}

impl RunResult {
    /// What the task asked for instead of an end.
    pub fn instead(&self) -> Option<Instead> {
        Instead::of(self.retry, self.reject, self.ignore, self.replace)
    }
}

fn one() -> u32 {
    1
}
