//! What a task's own code may ask for instead of an end: to be tried again, rejected, ignored, or replaced.
//!
//! The same members stand in a `Serve` result and in an `Exec` report file. Of several, the first of these counts:
//! `retry`, `reject`, `ignore`, `replace`.

use serde::{Deserialize, Serialize};

/// The task wants to be tried again (Celery's `self.retry`). Its [`crate::failure::Failure`], when there is one, is
/// why: the client sees it while the task waits, and it is the task's end when there are no tries left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Seconds until then; by the pool's retry policy when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countdown: Option<f64>,
    /// How many retries the task has at most, before the pool's word on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

/// The task does not want this message (Celery's `Reject`): nothing is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Back to its queue, for another worker or another time; otherwise to the dead-letter queue.
    #[serde(default)]
    pub requeue: bool,
}

/// What the task asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Instead {
    /// To be tried again.
    Retry(Retry),
    /// To be rejected.
    Reject(Reject),
    /// To be forgotten: acknowledged, with nothing recorded (Celery's `Ignore`).
    Ignore,
    /// To have a signature run in its place (Celery's `self.replace`).
    Replace,
}

impl Instead {
    /// Reads the members.
    pub fn of(retry: Option<Retry>, reject: Option<Reject>, ignore: bool, replace: bool) -> Option<Self> {
        let last = || replace.then_some(Self::Replace);
        retry.map(Self::Retry).or(reject.map(Self::Reject)).or(ignore.then_some(Self::Ignore)).or_else(last)
    }
}
