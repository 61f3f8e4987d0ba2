//! What there is to do for a pool.

use std::ops::Add;

use jiff::Timestamp;

/// Messages, over all queues of a pool. A message is counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// They wait for a worker, over all priorities.
    pub ready: u64,
    /// Petiole's workers hold them: they run, or are next to.
    pub reserved: u64,
    /// Celery's own workers hold them; 0 before that is known.
    pub unacked: u64,
    /// They wait for their time, which comes so soon that a pod started now is just there for them.
    pub due: u64,
}

impl Work {
    /// All of them.
    pub fn total(self) -> u64 {
        let held = self.reserved.saturating_add(self.unacked);
        self.ready.saturating_add(held).saturating_add(self.due)
    }
}

/// Of several queues together.
impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            ready: self.ready.saturating_add(other.ready),
            reserved: self.reserved.saturating_add(other.reserved),
            unacked: self.unacked.saturating_add(other.unacked),
            due: self.due.saturating_add(other.due),
        }
    }
}

/// What is known at the moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Seen {
    /// So much is to be done.
    Work {
        /// How much.
        work: Work,
        /// How long a task takes, in seconds, as far as anybody knows.
        task_seconds: Option<f64>,
    },
    /// Nobody knows, and unknown is not zero.
    Unknown {
        /// When somebody last knew.
        since: Timestamp,
    },
}
