//! What the operator tells the workers of a pool: the file that they read at start.
//!
//! The operator renders it into a ConfigMap, `petiole dev` into a file. It holds no secret: credentials stand in
//! files of their own, and this file says where.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::exec::ResultForm;

/// The configuration of a pool's workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    /// The `WorkerPool`'s namespace.
    pub namespace: String,
    /// The `WorkerPool`'s name.
    pub name: String,
    /// How tasks run.
    pub mode: Mode,
    /// How many tasks run at the same time.
    pub concurrency: u32,
    /// Where the tasks come from.
    pub broker: Endpoint,
    /// Where the results go; nowhere, when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Results>,
    /// The queues, the most urgent first.
    pub queues: Vec<Queue>,
    /// In which order they are served.
    #[serde(default, skip_serializing_if = "Order::is_strict")]
    pub order: Order,
    /// What of a message's forms is read (Celery's `accept_content`).
    #[serde(default, skip_serializing_if = "Accept::is_default")]
    pub accept: Accept,
    /// By what those messages are signed that tasks of this pool send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
    /// Where messages go that tasks of this pool send and that name no queue (Celery's `task_routes`): an entry with the
    /// task's very name counts before patterns, and of patterns the first that fits. Where none does, to the queue of the
    /// task that sends them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// The tasks by their Celery name. In `Serve` mode a task that is not here runs by the defaults.
    pub tasks: BTreeMap<String, Task>,
    /// The limits of a task whose message, entry in `tasks` and queue say nothing else.
    pub defaults: Limits,
    /// Seconds that running tasks may go on for once the worker is told to stop. What has not ended by then is killed and
    /// goes back to its queue (Celery's `worker_soft_shutdown_timeout`); without end, when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<f64>,
    /// Events of tasks are sent from the start (Celery's `worker_send_task_events`); otherwise once somebody asks for them.
    #[serde(default, skip_serializing_if = "is_off")]
    pub events: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_off(flag: &bool) -> bool {
    !*flag
}

/// In which order the queues of a pool are served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// A later one while those before it are empty.
    #[default]
    Strict,
    /// Each by its share: see [`Queue::weight`].
    Weighted,
}

impl Order {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
    fn is_strict(&self) -> bool {
        *self == Self::Strict
    }
}

/// What of a message's forms is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Accept {
    /// Names of serializers, as Celery's: `json`, `yaml`, `msgpack`, `pickle`, `auth`.
    pub content: Vec<String>,
    /// A folder with the PEM certificates of those who may sign, read at start; `auth` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<PathBuf>,
    /// The hash under the signatures, by its name in Celery's `security_digest`; `sha256`, when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Messages that are not signed are refused.
    #[serde(default, skip_serializing_if = "is_off")]
    pub only_signed: bool,
}

impl Accept {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Accept {
    /// Celery's.
    fn default() -> Self {
        Self { content: vec!["json".to_owned()], certificates: None, digest: None, only_signed: false }
    }
}

/// By what messages are signed (Celery's `security_key`, `security_certificate`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signing {
    /// A file with the private key: RSA, in PEM, without a password. It is read again when it changes.
    pub key: PathBuf,
    /// A file with its certificate, in PEM: receivers know the signer by it.
    pub certificate: PathBuf,
    /// The hash under the signatures, by its name in Celery's `security_digest`.
    pub digest: String,
}

/// Where a task's messages go that name no queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// The tasks: a name, or with a `*` in it a pattern of Python's `fnmatch`.
    pub task: String,
    /// The queue's name on the broker.
    pub queue: String,
}

/// How tasks run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// A process per task.
    Exec,
    /// Long-lived handlers, `concurrency` of them, started by this command.
    Serve {
        /// Program and arguments.
        command: Vec<String>,
    },
}

/// A server, and how to log in to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// The URL, without a password; or a file that holds the whole URL.
    pub url: Text,
    /// The user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<Text>,
    /// A file that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PathBuf>,
    /// PEM file of the authorities that sign the server's certificate; the system's own when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// PEM files of the client's certificate and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The name of the master that Sentinel watches, for `sentinel` URLs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel_master: Option<String>,
    /// Written before every key, as Celery's `global_keyprefix`.
    #[serde(default)]
    pub key_prefix: String,
}

/// Text that stands here, or in a file whose content is read again when a connection is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Text {
    /// It stands here.
    Value(String),
    /// It stands in this file.
    File(PathBuf),
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// PEM file of the certificate.
    pub certificate: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Results {
    /// The store.
    pub store: Endpoint,
    /// Seconds after which a result is gone (Celery's `result_expires`); never, when it is 0.
    pub expires: u64,
    /// A result also says what its task was called with, and by whom it was run (Celery's `result_extended`).
    #[serde(default, skip_serializing_if = "is_off")]
    pub extended: bool,
}

/// A queue on the broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Queue {
    /// Its name on the broker.
    pub name: String,
    /// The steps of its priorities on Redis (kombu's `priority_steps`), the most urgent first.
    pub priority_steps: Vec<u8>,
    /// Seconds after which a Celery worker's message is delivered again (kombu's `visibility_timeout`).
    pub visibility_timeout: u64,
    /// The queue that takes messages which cannot be tried again.
    pub dead_letter: String,
    /// The limits of its tasks, after those of [`Pool::tasks`] and before [`Pool::defaults`]. Never longer than those.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// When its tasks are tried again, where [`Task::retry`] says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// A message goes to the dead-letter queue once so many workers have ended while its task ran; never, when it is
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deliveries: Option<u32>,
    /// Its share of what a pool takes that serves its queues by weight: at least 1.
    #[serde(default = "Queue::default_weight", skip_serializing_if = "Queue::is_default_weight")]
    pub weight: u32,
}

impl Queue {
    fn default_weight() -> u32 {
        1
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
    fn is_default_weight(weight: &u32) -> bool {
        *weight == Self::default_weight()
    }
}

/// What a task's limits are. Seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// After these the task is killed; never, when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard: Option<f64>,
    /// After these the task is asked to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft: Option<f64>,
}

impl Limits {
    /// Whether they say nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// When and how often a task is tried again. The defaults are Celery's (`max_retries`, `default_retry_delay`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// How many retries there are; without end, when it is absent.
    pub max: Option<u32>,
    /// Seconds until the first one.
    pub delay: f64,
    /// Each wait is twice the one before it; otherwise all are the same.
    pub exponential: bool,
    /// Seconds that no wait is longer than.
    pub most: f64,
    /// Each wait is drawn between none and that length, so that what failed together is not tried again together.
    pub jitter: bool,
    /// A process that exits with one of these is tried again, as with 75.
    pub exit_codes: Vec<i32>,
    /// So is a task that fails with an exception of one of these names, with or without its module.
    pub errors: Vec<String>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max: Some(3),
            delay: 180.0,
            exponential: false,
            most: 600.0,
            jitter: false,
            exit_codes: Vec::new(),
            errors: Vec::new(),
        }
    }
}

/// How one task runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Task {
    /// Program and arguments, each a [`crate::template`]; empty in `Serve` mode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Where its value stands, in `Exec` mode.
    #[serde(default)]
    pub result: ResultForm,
    /// Its limits, before its queue's and the pool's.
    #[serde(default)]
    pub limits: Limits,
    /// The message is acknowledged when the task starts, not when it has ended (Celery's default; ours is late).
    #[serde(default)]
    pub acks_early: bool,
    /// When it is tried again, and how often; else its queue's word counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// How many of it start in a time, in the whole pool, in Celery's words: `10/s`, `100/m`, `5/h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<String>,
    /// `STARTED` is recorded (Celery's `track_started`).
    #[serde(default)]
    pub track_started: bool,
    /// No result is stored, unless the message asks for it (Celery's `ignore_result`).
    #[serde(default)]
    pub ignore_result: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_queue_without_limits_of_its_own_says_nothing_of_them() {
        let plain = json!({
            "name": "a", "prioritySteps": [0], "visibilityTimeout": 3600, "deadLetter": "a.dead",
        });
        let mut queue: Queue = serde_json::from_value(plain.clone()).unwrap();
        assert!(queue.limits.is_empty());
        assert_eq!(serde_json::to_value(&queue).unwrap(), plain);
        queue.limits.hard = Some(60.0);
        let written = serde_json::to_value(&queue).unwrap();
        assert_eq!(written["limits"], json!({ "hard": 60.0 }));
        assert_eq!(serde_json::from_value::<Queue>(written).unwrap(), queue);
    }
}
