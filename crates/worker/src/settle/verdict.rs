//! What an attempt came to, as Celery's events have it.

use bytes::Bytes;
use petiole_protocol::record::Exception;

/// What an attempt came to. Follows from its outcome, but is not always the same: a value that cannot be handed on is a
/// failure, and so is a task that wants another try and has none left.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It has this JSON value.
    Succeeded(Bytes),
    /// It has failed.
    Failed(Exception),
    /// It is tried again, because of this.
    Retried(Exception),
    /// Its own code does not want the message.
    Rejected {
        /// It goes back to its queue; otherwise to the dead-letter queue.
        requeue: bool,
    },
    /// Nobody is told anything: it wants that, or it did not run.
    Silent,
}
