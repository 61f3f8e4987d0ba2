//! Mode `Exec`: a process per task.
//!
//! The process gets its request as JSON on standard input ([`Request`]) and in [`TASK_ID`] and its siblings. What
//! its exit code says is [`Verdict`]; where its value stands is the task's [`ResultForm`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
use crate::instead::{Instead, Reject, Retry};

/// What a process reads from its standard input, to the end of the file: a JSON object of these members. More may
/// be added, so a task ignores those that it does not know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// Celery's task id.
    pub id: &'a str,
    /// Celery's task name.
    pub task: &'a str,
    /// The positional arguments: the JSON text of a list, as the client wrote it.
    pub args: &'a [u8],
    /// The keyword arguments: the JSON text of an object, as the client wrote it.
    pub kwargs: &'a [u8],
    /// How many times this task has been retried before.
    pub retries: u32,
    /// The broker's word that this message may have been delivered before.
    pub redelivered: bool,
    /// The first task of its workflow.
    pub root_id: Option<&'a str>,
    /// The task that sent it.
    pub parent_id: Option<&'a str>,
    /// What the client wrote into `headers`: the JSON text of an object.
    pub headers: Option<&'a str>,
}

impl Request<'_> {
    /// The JSON object. The client's text is put in as it stands, also where only Python would read it (`NaN`).
    pub fn to_json(&self) -> Vec<u8> {
        let Self { id, task, args, kwargs, retries, redelivered, root_id, parent_id, headers } = *self;
        let (id, task) = (Value::from(id), Value::from(task));
        let (root, parent) = (Value::from(root_id), Value::from(parent_id));
        let headers = headers.unwrap_or("{}");
        let head = format!(
            r#"{{"id":{id},"task":{task},"retries":{retries},"redelivered":{redelivered},"root_id":{root},"parent_id":{parent},"headers":{headers}"#
        );
        [head.as_bytes(), br#","args":"#, args, br#","kwargs":"#, kwargs, b"}\n"].concat()
    }
}

/// Environment variable: Celery's task id.
pub const TASK_ID: &str = "PETIOLE_TASK_ID";
/// Environment variable: Celery's task name.
pub const TASK_NAME: &str = "PETIOLE_TASK_NAME";
/// Environment variable: how many times the task has been retried before.
pub const RETRIES: &str = "PETIOLE_RETRIES";
/// Environment variable: W3C trace context, from the client's header `traceparent`. The names of this and its
/// siblings are those that OpenTelemetry gives to trace context in the environment.
pub const TRACEPARENT: &str = "TRACEPARENT";
/// Environment variable: from the client's header `tracestate`.
pub const TRACESTATE: &str = "TRACESTATE";
/// Environment variable: from the client's header `baggage`.
pub const BAGGAGE: &str = "BAGGAGE";
/// Environment variable: path of a file that the task may write its [`Report`] to. The runner sets it.
pub const RESULT: &str = "PETIOLE_RESULT";
/// Environment variable: path of a named pipe that the task may write its states to, a line of JSON for each
/// (Celery's `update_state`): `{"state": "PROGRESS", "meta": {"done": 3}}`. The runner sets it where [`Start::progress`]
/// says so.
///
/// [`Start::progress`]: crate::control::Start::progress
pub const PROGRESS: &str = "PETIOLE_PROGRESS";

/// The longest line that is taken from the pipe of [`PROGRESS`].
pub const PROGRESS_LINE: usize = 64 * 1024;

/// The longest argument or environment value that Linux takes (`MAX_ARG_STRLEN`, less the final NUL byte).
pub const MAX_ARGUMENT: usize = 128 * 1024 - 1;

/// How much of standard error is kept for the traceback.
pub const STDERR_TAIL: usize = 16 * 1024;

/// The largest result that is stored: 16 MiB. Celery's clients and stores take more, and suffer.
pub const RESULT_LIMIT: usize = 16 << 20;

/// What is said of a result over [`RESULT_LIMIT`].
pub fn too_large(bytes: usize) -> String {
    format!(
        "the task's result of {bytes} bytes or more is over the limit of {RESULT_LIMIT} bytes: \
         store it elsewhere and return where it is"
    )
}

/// Where a task's value stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultForm {
    /// Standard output is a JSON value; nothing at all means `null`.
    #[default]
    Json,
    /// Standard output is text, less one newline at its end.
    Text,
    /// Standard output is log; the value is `result` of the [`Report`].
    File,
    /// Standard output is log; the value is `null`.
    None,
}

/// What an exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// 0.
    Success,
    /// 75, `EX_TEMPFAIL` of sysexits: try again.
    Retry,
    /// Any other.
    Failure,
}

impl Verdict {
    /// Reads an exit code.
    pub fn of(code: i32) -> Self {
        match code {
            0 => Self::Success,
            75 => Self::Retry,
            _ => Self::Failure,
        }
    }
}

/// What a task may write to the file of [`RESULT`].
#[derive(Debug, Default, Deserialize)]
pub struct Report {
    /// The value, where the result form is `file`.
    #[serde(default)]
    pub result: Option<Box<serde_json::value::RawValue>>,
    /// What went wrong; it wins over the exit code.
    #[serde(default)]
    pub error: Option<Failure>,
    /// The task wants to be tried again, whatever its exit code is; `error` is why.
    #[serde(default)]
    pub retry: Option<RetryChanged>,
    /// The task rejects the message.
    #[serde(default)]
    pub reject: Option<Reject>,
    /// The task is to be forgotten.
    #[serde(default)]
    pub ignore: bool,
    /// What the task adds to the chord that it is a part of, when it succeeds: signatures, in Celery's JSON.
    #[serde(default)]
    pub add_to_chord: Vec<Box<serde_json::value::RawValue>>,
    /// The signature that takes the task's place, in Celery's JSON.
    #[serde(default)]
    pub replace: Option<Box<serde_json::value::RawValue>>,
}

impl Report {
    /// What the task asked for instead of an end.
    pub fn instead(&self) -> Option<Instead> {
        let retry = self.retry.as_ref().map(|retry| Retry { countdown: retry.countdown, max: retry.max });
        Instead::of(retry, self.reject, self.ignore, self.replace.is_some())
    }
}

/// `retry` of a [`Report`]: a [`Retry`], and the arguments of the next try where they are others. In mode `Serve` these
/// are the payload of the `result`.
#[derive(Debug, Default, Deserialize)]
pub struct RetryChanged {
    /// [`Retry::countdown`].
    #[serde(default)]
    pub countdown: Option<f64>,
    /// [`Retry::max`].
    #[serde(default)]
    pub max: Option<u32>,
    /// The positional arguments: a list. Those of this try when it is not said.
    #[serde(default)]
    pub args: Option<Box<serde_json::value::RawValue>>,
    /// The keyword arguments: an object. Those of this try when it is not said.
    #[serde(default)]
    pub kwargs: Option<Box<serde_json::value::RawValue>>,
}
