//! Storing results.
//!
//! - [`Store`]: the seam. [`conformance`] is its suite, run against every back end.
//! - [`chord`]: what is counted of chords.
//! - [`memory`]: for tests and for pools without a store.
//! - [`redis`]: Celery's Redis back end; its script fragments also serve the Redis broker's commit, and its
//!   connections serve the broker.

pub mod chord;
pub mod conformance;
pub mod memory;
pub mod redis;

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;

use crate::chord::{ChordClaim, ChordPart, ChordParts, ChordStart, Counted};

/// A result document, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The task's id.
    pub task_id: String,
    /// Celery's result document, as JSON text that begins with its `status`.
    pub document: String,
    /// How long it is kept, in whole seconds; for ever, when it is absent.
    pub expires: Option<Duration>,
    /// What it may not replace.
    pub precedence: Precedence,
}

/// Which stored states a record may not be written over. A record that may not is left out, without a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precedence {
    /// Not `SUCCESS`: Celery's rule for whatever a worker writes, so that a second delivery cannot undo what a client
    /// has seen.
    #[default]
    Result,
    /// Not what is ready: `SUCCESS`, `FAILURE`, `REVOKED`. For what is said while a task runs, which may be late:
    /// `STARTED`, `RETRY`, a handler's own states. Stricter than Celery, which lets these hide a failure.
    Progress,
    /// Only what has not begun: nothing, `PENDING`, `RECEIVED`, `RETRY`, `REJECTED`. For `REVOKED` as it is written
    /// when the command comes (Celery 5.6 and later): who runs the task writes how it ends.
    Revoked,
}

impl Precedence {
    /// Whether a record may be written over this document.
    pub fn replaces(self, old: &str) -> bool {
        // A document of another form may be a result, so that only another result may replace it.
        let state = state_of(old);
        match self {
            Self::Result => state != Some("SUCCESS"),
            Self::Progress => state.is_some_and(|state| !matches!(state, "SUCCESS" | "FAILURE" | "REVOKED")),
            Self::Revoked => matches!(state, Some("PENDING" | "RECEIVED" | "RETRY" | "REJECTED")),
        }
    }
}

/// The state that a document says. That is read off its first bytes, without parsing: Celery and we write the status
/// first, and a `"status": "SUCCESS"` further in may be part of a task's own result.
fn state_of(document: &str) -> Option<&str> {
    document.strip_prefix(r#"{"status": ""#)?.split('"').next()
}

/// A result store.
///
/// A record is announced to whoever waits for it, after it is written. What it may replace is its [`Precedence`].
///
/// Nothing here is fenced: a caller that may have lost its lease checks that just before.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes these records, in this order.
    async fn store(&self, records: &[Record]) -> Result<(), StoreError>;
    /// Reads the document of a task.
    async fn load(&self, task_id: &str) -> Result<Option<String>, StoreError>;
    /// Reads the documents of several tasks, in the order of their ids.
    async fn load_many(&self, task_ids: &[String]) -> Result<Vec<Option<String>>, StoreError>;
    /// Begins chords. One that is sent again under its old id is another run of it.
    async fn chord_start(&self, starts: &[ChordStart]) -> Result<(), StoreError>;
    /// Counts parts of chords, in this order. Counting one again changes nothing, and is answered as before.
    async fn chord_part(&self, parts: &[ChordPart]) -> Result<Vec<Counted>, StoreError>;
    /// Reads what a chord has to give to its body.
    async fn chord_parts(&self, group: &str) -> Result<ChordParts, StoreError>;
    /// Makes a claim last for so long from now on, also when it has run out and nobody else has taken it. Says
    /// whether it is still the caller's: otherwise the body is not the caller's to send any more.
    async fn chord_extend(&self, claim: &ChordClaim, by: Duration) -> Result<bool, StoreError>;
    /// Ends a chord whose body was sent, or cannot be. Says whether the claim was still the caller's: otherwise
    /// nothing was done.
    async fn chord_finish(&self, claim: &ChordClaim) -> Result<bool, StoreError>;
    /// Asks the store whether it is there.
    async fn ping(&self) -> Result<(), StoreError>;
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
