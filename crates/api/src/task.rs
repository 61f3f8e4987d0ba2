//! `tasks`: what a pool is told of the Celery tasks that run in it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::{Duration, TimeLimit};
use crate::rate::RateLimit;
use crate::retry::Retry;

/// A Celery task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(self.softTimeLimit) || !has(self.timeLimit) || self.timeLimit == 'none' || \
        duration(self.softTimeLimit) < duration(self.timeLimit)",
        "softTimeLimit must be shorter than timeLimit: a task is asked to end before it is killed")
)]
pub struct Task {
    /// Name of the Celery task, such as `photos.tasks.thumbnail`.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Program and arguments, one element each, never through a shell: required in mode Exec, refused in mode Serve.
    /// `$(args[0])` and `$(kwargs.size)` stand for what the message holds, `$$(` for a plain `$(`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 4096)))]
    pub command: Option<Vec<String>>,
    /// Where the task's value stands, in mode Exec. Default: json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultForm>,
    /// The task is killed after this; `none` for no limit, where the pool has none. A message that asks for more gets this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<TimeLimit>,
    /// The task is asked to end after this, by SIGTERM, unless its message says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_time_limit: Option<Duration>,
    /// When the task is tried again, and how often. What it is tried again for: exit code 75 (mode Exec), `retry` in its
    /// report file or frame, and the exit codes and errors that are named here. Default: what its TaskQueue says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How many of it start in a time, at most: `10/s`, `100/m` or `5/h`. It counts over all pods of the pool, where
    /// Celery's `rate_limit` counts in each worker. What is over it waits on the broker, and holds up nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// When its message is acknowledged. Late: when the task has ended, so that a task whose pod dies runs again.
    /// Early: when it starts, so that it never runs twice (Celery's default).
    #[serde(default)]
    pub acks: Acks,
    /// Whether the state STARTED is recorded (Celery's `track_started`).
    #[serde(default)]
    pub track_started: bool,
    /// Whether no result is stored (Celery's `ignore_result`), unless the message asks for it.
    #[serde(default)]
    pub ignore_result: bool,
}

/// Where the task's value stands, in mode Exec. json (the default): standard output is a JSON value. text: standard
/// output is text. file: the task writes it to the file that `PETIOLE_RESULT` names. none: there is no value. In the
/// last two standard output is log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ResultForm {
    /// Standard output is a JSON value.
    #[default]
    Json,
    /// Standard output is text.
    Text,
    /// The task writes its value to the file that `PETIOLE_RESULT` names.
    File,
    /// There is no value.
    None,
}

/// When a message is acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Acks {
    /// When the task has ended.
    #[default]
    Late,
    /// When the task starts.
    Early,
}
