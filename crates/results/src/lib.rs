//! Storing results.
//!
//! - [`Store`]: the seam. [`conformance`] is its suite, run against every back end.
//! - [`memory`]: for tests and for pools without a store.
//! - [`redis`]: Celery's Redis back end; its script fragment also serves the Redis broker's commit, and its
//!   connections serve the broker.

pub mod conformance;
pub mod memory;
pub mod redis;

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;

/// A result document, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The task's id.
    pub task_id: String,
    /// Celery's result document, as JSON text that begins with its `status`.
    pub document: String,
    /// How long it is kept, in whole seconds; for ever, when it is absent.
    pub expires: Option<Duration>,
}

/// A result store.
///
/// A record is announced to whoever waits for it, after it is written. A record that says `SUCCESS` is never
/// replaced (Celery's rule), so that a second delivery cannot undo what a client has seen.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes these records, in this order.
    async fn store(&self, records: &[Record]) -> Result<(), StoreError>;
    /// Reads the document of a task.
    async fn load(&self, task_id: &str) -> Result<Option<String>, StoreError>;
    /// Asks the store whether it is there.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// Whether a document says `SUCCESS`. That is read off its first bytes, without parsing: Celery and we write the
/// status first, and a `"status": "SUCCESS"` further in may be part of a task's own result.
pub fn says_success(document: &str) -> bool {
    document.starts_with(r#"{"status": "SUCCESS""#)
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store could not be reached, or did not answer in time.
    #[error("failed to {doing}")]
    Unreachable {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store answered that it will not: a wrong password, no right, no memory left.
    #[error("failed to {doing}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What the store said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}
