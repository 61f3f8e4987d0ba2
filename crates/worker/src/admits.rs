//! The worker's side of an admission: what was received runs, waits, or does not.

use std::time::Instant;

use jiff::Timestamp;
use petiole_broker::{Delivery, Disposition, Settlement, Tag, lost};
use petiole_protocol::envelope::Envelope;

use crate::admit::{Admission, Discarded};
use crate::run::{Effects, Ended};
use crate::settle::Unlocking;
use crate::worker::Worker;

impl Worker {
    /// `first` is one of those of which the broker has noted that they begin, unless they count lost deliveries.
    pub(crate) fn admit(
        &mut self,
        delivery: Delivery,
        first: bool,
        wall: Timestamp,
        now: Instant,
        effects: &mut Effects,
    ) {
        let tag = delivery.tag;
        let counts = |envelope: &Envelope| lost::deliveries(&envelope.headers);
        let noted = first && delivery.envelope.as_ref().is_ok_and(|envelope| counts(envelope) == 0);
        if self.takes_nothing() {
            self.settle(Settlement::new(tag, Disposition::Requeue));
            return;
        }
        match self.admit.admit(delivery, &self.control.revoked, wall) {
            Admission::Run(work) => {
                self.control.events.received(&work.message, wall);
                if noted {
                    self.runs.take_noted(tag, work, now, effects);
                } else {
                    self.runs.take(tag, work, now, effects);
                }
            }
            Admission::Ended(work, outcome) => {
                let ended = Ended { tag, work, outcome, took: None };
                self.control.events.received(&ended.work.message, wall);
                self.ended(ended, wall);
            }
            Admission::Unlock(work, unlock) => {
                self.control.events.received(&work.message, wall);
                self.unlock(tag, Unlocking { work, unlock: *unlock });
            }
            Admission::Limited(work, start) => {
                self.control.events.received(&work.message, wall);
                self.asking.add(work, start);
            }
            Admission::Hold(until, message) => {
                self.control.events.received(&message, wall);
                self.settle(Settlement::new(tag, Disposition::Park(until)));
            }
            Admission::Discard(discarded) => self.discard(tag, *discarded, wall),
        }
    }

    pub(crate) fn discard(&mut self, tag: Tag, discarded: Discarded, wall: Timestamp) {
        tracing::warn!(id = discarded.id, task = discarded.task, why = discarded.why, "not run");
        self.control.events.discarded(&discarded, wall);
        self.metrics.discarded.with_label_values(&[discarded.reason]).inc();
        let step = self.settle.discarded(tag, discarded, wall);
        self.step(step);
    }
}
