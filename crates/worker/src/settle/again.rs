//! A task that is to run again: by a retry, or at once. Pure.

use jiff::Timestamp;
use petiole_broker::{Disposition, Outgoing, Settlement, Tag, Target, message};
use petiole_protocol::canvas::ResultTree;
use petiole_protocol::record::{Document, Exception};
use petiole_results::Precedence;

use super::{Settle, Step, Verdict, retry};
use crate::outcome::Again;
use crate::work::Work;

impl Settle {
    /// A task wants another try, and has one or none left.
    pub(super) fn retry(
        &self,
        tag: Tag,
        work: Box<Work>,
        again: Again,
        fate: Disposition,
        now: Timestamp,
    ) -> (Step, Verdict) {
        let Again { asked, arguments, why } = again;
        let message = &work.message;
        let Some(until) = retry::again(&work.retry, asked, message, now) else {
            let exception = why.unwrap_or_else(|| retry::exhausted(message, &arguments));
            return self.failure(tag, work, exception, fate, now);
        };
        let body = match retry::body(&work, &arguments) {
            Ok(body) => body,
            Err(exception) => return self.failure(tag, work, exception, fate, now),
        };
        // Celery's task sends its next attempt itself, which makes that a child of this one.
        let itself = [ResultTree::task(&*message.id).to_json()];
        let document = Document::retry(&message.id, why.as_ref()).children(Some(&itself));
        let document = self.document(document, message, work.queue);
        let record = self.wanted(&work).then(|| self.record(&message.id, document, Precedence::Progress));
        let (retries, own) = (message.retries.saturating_add(1), body.is_some());
        let settlement = match (&work.raw, fate) {
            // Its message was given up when it started: a copy goes on.
            (Some(raw), Disposition::Acked) => {
                let copy = message::retry(raw, until, retries, body.as_deref());
                let sends = copy.map(|copy| vec![self.to_own_queue(&work, copy)]).unwrap_or_default();
                Settlement { sends, ..Settlement::new(tag, Disposition::Acked) }
            }
            _ => Settlement::new(tag, Disposition::Retry { until, retries, body }),
        };
        let verdict = Verdict::Retried(why.unwrap_or_else(|| Exception::retry("Retry")));
        (Step { own, ..settlement.with_records(record).into() }, verdict)
    }

    /// A message that was given up when its task started, and is wanted back.
    pub(super) fn again_at_once(&self, tag: Tag, work: &Work) -> Settlement {
        let sends =
            work.raw.as_ref().map(|raw| self.to_own_queue(work, message::redelivered(raw).into_owned()));
        Settlement { sends: sends.into_iter().collect(), ..Settlement::new(tag, Disposition::Acked) }
    }

    fn to_own_queue(&self, work: &Work, message: Vec<u8>) -> Outgoing {
        let queue = self.queues.get(work.queue).cloned().unwrap_or_default();
        Outgoing { to: Target::Queue(queue), priority: work.message.priority.unwrap_or_default(), message }
    }
}
