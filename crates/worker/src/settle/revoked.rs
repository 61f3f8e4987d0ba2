//! What is written when an attempt has ended because its task was revoked: a record, and its part of a chord. Errbacks
//! are not called, and the remaining steps of a chain stay PENDING (Celery's rule).

use jiff::Timestamp;
use petiole_broker::Disposition;
use petiole_protocol::record::{Document, Exception, State};
use petiole_results::Precedence;

use super::follow::only_part;
use super::{Settle, Step};
use crate::run::Revoked;

impl Settle {
    /// What is written when an attempt has ended because its task was revoked.
    pub fn revoked(&self, revoked: Revoked, now: Timestamp) -> Step {
        let Revoked { tag, work, signal } = revoked;
        let exception = if signal.is_some() { Exception::terminated() } else { Exception::revoked() };
        let message = &work.message;
        let follow_ups = only_part(message, State::Revoked, &exception);
        let record = self.wanted(&work).then(|| {
            let document = Document::revoked(&message.id, &exception, now);
            let document = self.document(document, message, work.queue);
            self.record(&message.id, document, Precedence::Result)
        });
        let given_up = work.plan.task.acks_early && signal.is_some();
        let fate = if given_up { Disposition::Acked } else { Disposition::Ack };
        self.step(tag, work, record, follow_ups, fate)
    }
}
