//! How an attempt to run a task ended.

use bytes::Bytes;
use petiole_contract::instead::Retry;
use petiole_protocol::canvas::builtin::Builtin;
use petiole_protocol::message::Arguments;
use petiole_protocol::record::Exception;

/// How an attempt ended. What follows from it is decided by [`crate::settle`].
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The task returned this JSON value.
    Success(Bytes),
    /// The task returned this JSON value, and adds these signatures, as JSON texts, to the chord that it is a part of.
    Adding(Bytes, Vec<Bytes>),
    /// The task's own code failed, or its request could not be made into a run.
    Failure(Exception),
    /// It ended after its soft time limit had passed; what it left on standard error.
    SoftTimeLimit(Option<String>),
    /// It was killed at its hard time limit of so many seconds.
    HardTimeLimit(f64),
    /// Its process, or the whole container, died under it: how.
    WorkerLost(String),
    /// It is one of Celery's own that sends messages in place of running.
    Expanded(Builtin),
    /// The task's own code asks for another try.
    Retry(Box<Again>),
    /// The task's own code does not want the message.
    Rejected {
        /// It goes back to its queue; otherwise to the dead-letter queue.
        requeue: bool,
    },
    /// The task's own code wants nothing recorded.
    Ignored,
    /// The task's own code wants this signature, as JSON text, in its place.
    Replaced(Bytes),
    /// It did not run, or was stopped for a reason of ours: the message goes back uncounted.
    Returned,
}

/// Another try.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Again {
    /// When, and how often.
    pub asked: Retry,
    /// What it is called with, where that changes.
    pub arguments: Arguments,
    /// Why, where that was said.
    pub why: Option<Exception>,
}

impl From<Exception> for Again {
    fn from(why: Exception) -> Self {
        Self { why: Some(why), ..Self::default() }
    }
}

impl Outcome {
    /// Its name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Success(_) | Self::Adding(..) | Self::Expanded(_) => "succeeded",
            Self::Failure(_) => "failed",
            Self::SoftTimeLimit(_) => "soft_time_limit",
            Self::HardTimeLimit(_) => "hard_time_limit",
            Self::WorkerLost(_) => "worker_lost",
            Self::Retry(..) => "retried",
            Self::Rejected { .. } => "rejected",
            Self::Ignored => "ignored",
            Self::Replaced(_) => "replaced",
            Self::Returned => "returned",
        }
    }
}
