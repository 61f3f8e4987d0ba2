//! What the worker and the runner say to each other. Internal: both come from one release, and neighbouring
//! releases work together by ignoring the fields that they do not know.
//!
//! The runner dials the worker's socket, says `hello`, and then obeys. When the connection ends, and when the worker
//! is silent for [`SILENCE`], it kills every process: a task never runs beside its own successor.

use serde::{Deserialize, Serialize};

/// The `handler` word of a runner's hello is never given to a process, so that the worker can tell the two apart.
pub const RUNNER: &str = "runner";

/// What the worker says to the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToRunner {
    /// Start a process in a group of its own. The payload is its standard input.
    Start(Start),
    /// Send a signal to the process group.
    Signal {
        /// Which process.
        process: u64,
        /// The signal's number: 15, 9.
        signal: i32,
    },
    /// A lease is lost: kill every process group now and answer with their `exited` frames.
    KillAll {},
    /// The worker lives. Said every second; see [`SILENCE`].
    Alive {},
    /// All work is settled and committed: the runner may exit.
    Drained {},
    /// The worker does not take this runner (its version): the runner says why and exits.
    Refused {
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// A worker that says nothing for so long is stopped or cut off, and its lease ends soon: the runner kills every
/// process group, so that no task runs beside its own successor. A worker that stops has said [`ToRunner::Alive`]
/// in that moment at the latest, and has renewed its lease of 8 s two seconds before at the earliest: 6 s are left,
/// of which one is to kill.
pub const SILENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// A process to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The worker's name for the process, never used twice on one connection.
    pub process: u64,
    /// Program and arguments. The program is looked up in the image's `PATH` when it holds no slash.
    pub command: Vec<String>,
    /// Added to the container's environment. The runner itself adds [`crate::serve::SOCKET`] and
    /// [`crate::exec::RESULT`].
    pub env: Vec<(String, String)>,
    /// What becomes of standard output. Standard error always goes to the pod's log.
    pub output: Output,
    /// Written before each line of the log: the task's id, or the handler's number.
    pub label: String,
    /// Bytes of captured output, and of the report, that are kept at most; one more and `cut` says so.
    pub limit: usize,
    /// It gets a pipe to say how far it is: [`crate::exec::PROGRESS`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub progress: bool,
}

/// What becomes of a process' standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Lines of the pod's log.
    Log,
    /// The first part of `exited`'s payload.
    Capture,
}

/// What the runner says to the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromRunner {
    /// The first frame.
    Hello {
        /// [`crate::VERSION`].
        version: u32,
        /// [`RUNNER`].
        handler: String,
    },
    /// A process has said how far it is. The payload is the line that it has written.
    Progress {
        /// Which process.
        process: u64,
    },
    /// A process was started. Said before anything else of it.
    Started {
        /// Which process.
        process: u64,
        /// Its id, as its container sees it.
        pid: u32,
    },
    /// A process has ended, or could not be started. The payload is its captured output and its report.
    Exited(Exited),
    /// The container was told to stop: take no new work, settle what is running, answer `drained`.
    Drain {},
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// Which process.
    pub process: u64,
    /// How it ended.
    pub status: Status,
    /// The last [`crate::exec::STDERR_TAIL`] bytes of standard error, as text.
    #[serde(default)]
    pub stderr: String,
    /// The captured output or the report was longer than [`Start::limit`].
    #[serde(default)]
    pub cut: bool,
    /// The runner has killed it because the worker was silent for [`SILENCE`]: no fault of the task's.
    #[serde(default)]
    pub abandoned: bool,
    /// How many bytes of the payload are captured output. The rest is what the process wrote to the file of
    /// [`crate::exec::RESULT`] (nothing, where it wrote none).
    #[serde(default)]
    pub output: usize,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It exited by itself with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It never ran: why (no such program, permission denied).
    NotStarted(String),
}
