//! The loop's side of `celery.chord_unlock`: the header is read beside the loop, and settled when it has been.

use jiff::Timestamp;
use petiole_broker::Tag;
use petiole_protocol::canvas::builtin::Decision;

use crate::settle::{Unlocking, Verdict};
use crate::worker::Worker;

/// Outcomes in metrics, as those of other attempts.
mod outcome {
    pub(super) const SUCCEEDED: &str = "succeeded";
    pub(super) const FAILED: &str = "failed";
    pub(super) const RETRIED: &str = "retried";
}

impl Worker {
    /// Has the header of a chord looked at.
    pub(crate) fn unlock(&self, tag: Tag, unlocking: Unlocking) {
        if let Some(session) = &self.session {
            session.unlock(tag, unlocking);
        }
    }

    /// It was looked at.
    pub(crate) fn unlocked(&mut self, tag: Tag, unlocking: Unlocking, decision: Decision) {
        let wall = Timestamp::now();
        let message = &unlocking.work.message;
        tracing::debug!(id = message.id, group = unlocking.unlock.group, "looked at a chord's header");
        let (id, task) = (message.id.clone(), message.task.clone());
        let (step, verdict) = self.settle.unlocked(tag, unlocking, decision, wall);
        let outcome = match &verdict {
            Verdict::Failed(_) => outcome::FAILED,
            Verdict::Retried(_) => outcome::RETRIED,
            Verdict::Succeeded(_) | Verdict::Rejected { .. } | Verdict::Silent => outcome::SUCCEEDED,
        };
        self.metrics.tasks.with_label_values(&[self.admit.label(&task), outcome]).inc();
        self.control.events.ended(&id, &verdict, None, wall);
        self.step(step);
    }
}
