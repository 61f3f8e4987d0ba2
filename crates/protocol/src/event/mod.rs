//! Events: what workers and clients tell whoever listens (Flower, `celery events`).
//!
//! ```text
//!   worker-heartbeat  ──>  celeryev / worker.heartbeat   {hostname, utcoffset, pid, clock, ..., timestamp, type}
//!   task-*            ──>  celeryev / task.multi         [{...}, {...}], at most 24
//! ```
//!
//! Lossy by design. Names, fields and their order are those of Celery 5.7; 5.2 to 5.6 write whole hours of `utcoffset`
//! as an integer.

mod clock;
mod dispatch;
mod heard;

use jiff::Timestamp;

pub use clock::Clock;
pub use dispatch::{BATCH, Dispatcher};
pub use heard::{Heard, NotEvents};

use crate::json::{Writer, array, float};
use crate::message::Message;
use crate::{repr, time};

/// How often a worker sends a heartbeat, in seconds, unless it says otherwise.
pub const HEARTBEAT: f64 = 2.0;

/// What a heartbeat that somebody asked for by remote control says of the interval, in seconds (Celery's number).
const HEARTBEAT_ASKED_FOR: u32 = 5;

/// The version of what `worker-elect` has to say.
const ELECTION_VERSION: u32 = 1;

/// How many bytes are taken of what a client printed. It prints some 1,024 characters unless it was told otherwise.
const SHOWN: usize = 16 << 10;

/// Who sends events.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its node name: `celery@host`.
    pub hostname: String,
    /// Its process.
    pub pid: u32,
    /// Hours **west** of UTC: two hours east are -2.
    pub utcoffset: f64,
    /// The program's name, as `py-celery`.
    pub software: String,
    /// Its version.
    pub version: String,
    /// The operating system, as Python's `platform.system()`: `Linux`.
    pub system: String,
}

/// How a worker is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vitals {
    /// Seconds between heartbeats. Who is silent for twice as long counts as offline.
    pub freq: f64,
    /// How many tasks run.
    pub active: u64,
    /// How many tasks were started since the worker started.
    pub processed: u64,
    /// The machine's load averages over 1, 5 and 15 minutes, with two digits.
    pub loadavg: [f64; 3],
}

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A worker has connected.
    WorkerOnline(Vitals),
    /// A worker lives.
    WorkerHeartbeat(Vitals),
    /// A worker lives, and was asked whether it does.
    WorkerHeartbeatAskedFor,
    /// A worker stops.
    WorkerOffline(Vitals),
    /// A worker holds an election.
    WorkerElect {
        /// The election.
        id: &'a str,
        /// What it is about.
        topic: &'a str,
        /// What the winner is to do, as JSON text.
        action: &'a str,
    },
    /// A worker has heard of an election.
    WorkerElectAck {
        /// The election.
        id: &'a str,
    },
    /// A worker has taken a task from its queue.
    TaskReceived(TaskReceived<'a>),
    /// A task's code starts.
    TaskStarted {
        /// The task.
        uuid: &'a str,
    },
    /// A task returned a value.
    TaskSucceeded {
        /// The task.
        uuid: &'a str,
        /// The value as [`repr::safe`] prints it.
        result: &'a str,
        /// How long it ran, in seconds; `None` when nobody knows.
        runtime: Option<f64>,
    },
    /// A task raised an exception, or was ended.
    TaskFailed {
        /// The task.
        uuid: &'a str,
        /// The exception as [`repr::exception`] prints it.
        exception: &'a str,
        /// Left out where there is none: for a task that the worker does not know.
        traceback: Option<&'a str>,
    },
    /// A task was refused.
    TaskRejected {
        /// The task.
        uuid: &'a str,
        /// It goes back to its queue.
        requeue: bool,
    },
    /// A task was revoked, or had expired.
    TaskRevoked {
        /// The task.
        uuid: &'a str,
        /// It ran, and was ended.
        terminated: bool,
        /// By this signal.
        signum: Option<i32>,
        /// It had expired.
        expired: bool,
    },
    /// A task that ran was ended because its message is not this worker's any more.
    TaskCancelled {
        /// The task.
        uuid: &'a str,
    },
    /// A task will be tried again.
    TaskRetried {
        /// The task.
        uuid: &'a str,
        /// The exception as [`repr::exception`] prints it.
        exception: &'a str,
        /// Where it was raised.
        traceback: &'a str,
    },
    /// A task was sent.
    TaskSent(TaskSent<'a>),
}

/// What `task-received` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReceived<'a> {
    /// The task.
    pub uuid: &'a str,
    /// The name that it is shown by.
    pub name: &'a str,
    /// Its positional arguments, for people.
    pub args: &'a str,
    /// Its keyword arguments, for people.
    pub kwargs: &'a str,
    /// The first task of its workflow.
    pub root_id: Option<&'a str>,
    /// The task that sent it.
    pub parent_id: Option<&'a str>,
    /// How many times it was tried before.
    pub retries: u32,
    /// When it may run.
    pub eta: Option<Timestamp>,
    /// When it may not run any more.
    pub expires: Option<Timestamp>,
}

/// What `task-sent` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSent<'a> {
    /// The task.
    pub task: TaskReceived<'a>,
    /// The queue that it was sent to.
    pub queue: &'a str,
    /// The exchange; empty for a message that was sent to a queue by its name.
    pub exchange: &'a str,
    /// The routing key.
    pub routing_key: &'a str,
}

/// A task's arguments for people: as its client printed them, or as we do where it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Positional: `(1, 2)`.
    pub args: String,
    /// Keywords: `{'a': 1}`.
    pub kwargs: String,
}

impl Shown {
    /// Of this task.
    pub fn of(message: &Message) -> Self {
        Self {
            args: message.argsrepr.as_deref().map_or_else(|| repr::tuple(message.args()), shortened),
            kwargs: message.kwargsrepr.as_deref().map_or_else(|| repr::safe(message.kwargs()), shortened),
        }
    }
}

fn shortened(text: &str) -> String {
    match text.floor_char_boundary(SHOWN) {
        end if end < text.len() => format!("{}...", &text[..end]),
        _ => text.to_owned(),
    }
}

impl<'a> TaskReceived<'a> {
    /// Of this task.
    pub fn of(message: &'a Message, shown: &'a Shown) -> Self {
        Self {
            uuid: &message.id,
            name: message.shadow.as_deref().unwrap_or(&message.task),
            args: &shown.args,
            kwargs: &shown.kwargs,
            root_id: message.root_id.as_deref(),
            parent_id: message.parent_id.as_deref(),
            retries: message.retries,
            eta: message.eta,
            expires: message.expires,
        }
    }
}

/// What an event is about: listeners can ask for one of these, and workers leave out the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Sent at once, and always.
    Worker,
    /// Sent in batches, when asked for.
    Task,
}

impl Event<'_> {
    /// Celery's name: `task-received`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::WorkerOnline(_) => "worker-online",
            Self::WorkerHeartbeat(_) | Self::WorkerHeartbeatAskedFor => "worker-heartbeat",
            Self::WorkerOffline(_) => "worker-offline",
            Self::WorkerElect { .. } => "worker-elect",
            Self::WorkerElectAck { .. } => "worker-elect-ack",
            Self::TaskReceived(_) => "task-received",
            Self::TaskStarted { .. } => "task-started",
            Self::TaskSucceeded { .. } => "task-succeeded",
            Self::TaskFailed { .. } => "task-failed",
            Self::TaskRejected { .. } => "task-rejected",
            Self::TaskRevoked { .. } => "task-revoked",
            Self::TaskCancelled { .. } => "task-cancelled",
            Self::TaskRetried { .. } => "task-retried",
            Self::TaskSent(_) => "task-sent",
        }
    }

    /// What it is about.
    pub fn group(&self) -> Group {
        if self.name().starts_with("task-") { Group::Task } else { Group::Worker }
    }

    /// The routing key of the event alone: `worker.heartbeat`.
    pub fn routing_key(&self) -> String {
        self.name().replace('-', ".")
    }

    /// Its text, when this node's clock says `clock`.
    pub fn to_json(&self, node: &Node, clock: u64, now: Timestamp) -> String {
        let mut out = Writer::new();
        out.text("hostname", &node.hostname).float("utcoffset", node.utcoffset);
        out.integer("pid", node.pid).integer("clock", clock);
        self.put(&mut out, node);
        out.float("timestamp", unix(now)).text("type", self.name());
        out.end()
    }

    fn put(&self, out: &mut Writer, node: &Node) {
        match self {
            Self::WorkerOnline(vitals) | Self::WorkerHeartbeat(vitals) | Self::WorkerOffline(vitals) => {
                out.float("freq", vitals.freq).integer("active", vitals.active);
                out.integer("processed", vitals.processed);
                out.raw("loadavg", &array(vitals.loadavg.map(float)));
                put_software(out, node);
            }
            Self::WorkerHeartbeatAskedFor => {
                out.integer("freq", HEARTBEAT_ASKED_FOR);
                put_software(out, node);
            }
            Self::WorkerElect { id, topic, action } => {
                out.text("id", id).text("topic", topic).raw("action", action);
                out.integer("cver", ELECTION_VERSION);
            }
            Self::WorkerElectAck { id } => {
                out.text("id", id);
            }
            Self::TaskReceived(task) => put_received(out, task),
            Self::TaskStarted { uuid } | Self::TaskCancelled { uuid } => {
                out.text("uuid", uuid);
            }
            Self::TaskSucceeded { uuid, result, runtime } => {
                out.text("uuid", uuid).text("result", result);
                match runtime {
                    Some(runtime) => out.float("runtime", *runtime),
                    None => out.raw("runtime", "null"),
                };
            }
            Self::TaskFailed { uuid, exception, traceback } => {
                out.text("uuid", uuid).text("exception", exception);
                if traceback.is_some() {
                    out.maybe("traceback", *traceback);
                }
            }
            Self::TaskRejected { uuid, requeue } => {
                out.text("uuid", uuid).bool("requeue", *requeue);
            }
            Self::TaskRevoked { uuid, terminated, signum, expired } => {
                out.text("uuid", uuid).bool("terminated", *terminated);
                match signum {
                    Some(signum) => out.integer("signum", *signum),
                    None => out.raw("signum", "null"),
                };
                out.bool("expired", *expired);
            }
            Self::TaskRetried { uuid, exception, traceback } => {
                out.text("uuid", uuid).text("exception", exception).text("traceback", traceback);
            }
            Self::TaskSent(sent) => put_sent(out, sent),
        }
    }
}

fn put_software(out: &mut Writer, node: &Node) {
    out.text("sw_ident", &node.software).text("sw_ver", &node.version).text("sw_sys", &node.system);
}

fn put_received(out: &mut Writer, task: &TaskReceived<'_>) {
    out.text("uuid", task.uuid).text("name", task.name);
    out.text("args", task.args).text("kwargs", task.kwargs);
    out.maybe("root_id", task.root_id).maybe("parent_id", task.parent_id);
    out.integer("retries", task.retries);
    put_times(out, task);
}

/// The same fields as a worker's, in another order.
fn put_sent(out: &mut Writer, sent: &TaskSent<'_>) {
    let task = &sent.task;
    out.text("uuid", task.uuid).maybe("root_id", task.root_id).maybe("parent_id", task.parent_id);
    out.text("name", task.name).text("args", task.args).text("kwargs", task.kwargs);
    out.integer("retries", task.retries);
    put_times(out, task);
    out.text("queue", sent.queue).text("exchange", sent.exchange).text("routing_key", sent.routing_key);
}

fn put_times(out: &mut Writer, task: &TaskReceived<'_>) {
    out.maybe("eta", task.eta.map(time::print).as_deref());
    out.maybe("expires", task.expires.map(time::print).as_deref());
}

/// Seconds since 1970.
#[expect(
    clippy::cast_precision_loss,
    reason = "a float is what the wire has; it holds a tenth of a microsecond"
)]
pub(crate) fn unix(instant: Timestamp) -> f64 {
    instant.as_nanosecond() as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn node() -> Node {
        Node {
            hostname: "w@h".to_owned(),
            pid: 7,
            utcoffset: -2.0,
            software: "petiole".to_owned(),
            version: "1".to_owned(),
            system: "Linux".to_owned(),
        }
    }
    use crate::envelope::Envelope;
    use crate::json::Object;

    fn shown(headers: &str) -> Shown {
        let headers = format!(r#"{{"task": "t", "id": "i"{headers}}}"#);
        let envelope = Envelope {
            headers: Object::read(headers.as_bytes()).unwrap(),
            content_type: Some("application/json".to_owned()),
            body: r#"[[1, "a"], {"b": null}, {}]"#.into(),
            ..Envelope::default()
        };
        Shown::of(&Message::read(&envelope).unwrap())
    }

    #[test]
    fn arguments_are_shown_as_their_client_printed_them() {
        let printed = shown(r#", "argsrepr": "(secret)", "kwargsrepr": "{}""#);
        assert_eq!(printed, Shown { args: "(secret)".to_owned(), kwargs: "{}".to_owned() });
        assert_eq!(shown(""), Shown { args: "(1, 'a')".to_owned(), kwargs: "{'b': None}".to_owned() });
        let long = shown(&format!(r#", "argsrepr": "é{}""#, "a".repeat(SHOWN)));
        assert_eq!((long.args.len(), &long.args[SHOWN..]), (SHOWN + 3, "..."));
    }

    #[test]
    fn elections_have_celerys_fields() {
        let event = Event::WorkerElect { id: "e", topic: "task", action: "null" };
        let expected = r#"{"hostname": "w@h", "utcoffset": -2.0, "pid": 7, "clock": 3, "id": "e", "topic": "task", "action": null, "cver": 1, "timestamp": 0.0, "type": "worker-elect"}"#;
        assert_eq!(event.to_json(&node(), 3, Timestamp::UNIX_EPOCH), expected);
        assert_eq!(Event::WorkerElectAck { id: "e" }.routing_key(), "worker.elect.ack");
    }
}
