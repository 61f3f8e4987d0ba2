//! A task that was admitted: the message, and how this pool runs it.

use std::sync::Arc;

use petiole_contract::pool::Task;
use petiole_contract::template::Template;
use petiole_protocol::message::Message;

/// A task that may run now.
#[derive(Debug, Clone)]
pub struct Work {
    /// Index of its queue.
    pub queue: usize,
    /// What the client sent.
    pub message: Message,
    /// How this pool runs it.
    pub plan: Arc<Plan>,
    /// Its limits: the message's own, else the task's, else its queue's, else the pool's.
    pub limits: Limits,
    /// The message as it came, where it is acknowledged before its task runs: it may have to be sent again.
    pub raw: Option<Vec<u8>>,
}

/// How a pool runs a task of one name.
#[derive(Debug, Default)]
pub struct Plan {
    /// The task, as the pool's file has it.
    pub task: Task,
    /// Its command, read.
    pub command: Vec<Template>,
}

/// Time limits in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// After these the task is asked to end.
    pub soft: Option<f64>,
    /// After these it is killed.
    pub hard: Option<f64>,
}
