//! A task that was admitted: the message, and how this pool runs it.

use std::sync::Arc;

use bytes::Bytes;
use petiole_contract::pool::{RetryPolicy, Task};
use petiole_contract::template::Template;
use petiole_protocol::canvas::builtin::Mapping;
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
    /// When it is tried again: by the task's policy, else by its queue's.
    pub retry: Arc<RetryPolicy>,
    /// The calls of `celery.map` that are left, and the arguments of the one under way.
    pub mapping: Option<(Mapping, String)>,
    /// One more lost delivery, and its message is given up.
    pub last_chance: bool,
    /// The message as it came, where it is acknowledged before its task runs: it may have to be sent again.
    pub raw: Option<Vec<u8>>,
}

impl Work {
    /// The name of the task whose code runs: for `celery.map` that of the task that is mapped.
    pub fn task(&self) -> &str {
        self.mapping.as_ref().map_or(&self.message.task, |(mapping, _)| mapping.task())
    }

    /// The positional arguments of its code: the JSON text of an array.
    pub fn args(&self) -> &str {
        self.mapping.as_ref().map_or_else(|| self.message.args(), |(_, args)| args)
    }

    /// The keyword arguments of its code: the JSON text of an object.
    pub fn kwargs(&self) -> &str {
        if self.mapping.is_some() { "{}" } else { self.message.kwargs() }
    }

    /// Both: the JSON text `[args, kwargs]`; of a pickled message its body as it is.
    pub fn arguments(&self) -> Vec<u8> {
        match (&self.mapping, self.message.pickled()) {
            (Some((_, args)), _) => format!("[{args}, {{}}]").into_bytes(),
            (None, Some(pickle)) => pickle.to_vec(),
            (None, None) => self.message.arguments(),
        }
    }

    /// Takes the value of a call. `None` when there is another one to make, which is then the one under way; else the
    /// value of the whole.
    pub fn called(&mut self, value: Bytes) -> Option<Bytes> {
        let Some((mut mapping, _)) = self.mapping.take() else { return Some(value) };
        mapping.push(&String::from_utf8_lossy(&value));
        match mapping.next() {
            Some(args) => {
                self.mapping = Some((mapping, args));
                None
            }
            None => Some(mapping.value().into()),
        }
    }
}

/// How a pool runs a task of one name.
#[derive(Debug, Default)]
pub struct Plan {
    /// The task, as the pool's file has it.
    pub task: Task,
    /// Its command, read.
    pub command: Vec<Template>,
    /// Its own policy, for all that run by it.
    pub retry: Option<Arc<RetryPolicy>>,
}

impl Plan {
    /// How this task runs, by this command.
    pub fn new(task: Task, command: Vec<Template>) -> Self {
        let retry = task.retry.clone().map(Arc::new);
        Self { task, command, retry }
    }
}

/// Time limits in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// After these the task is asked to end.
    pub soft: Option<f64>,
    /// After these it is killed.
    pub hard: Option<f64>,
}
