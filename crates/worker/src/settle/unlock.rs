//! `celery.chord_unlock`: a chord of a client whose result store cannot count. Its header is looked at again and again,
//! until all of it has ended. It has no record of its own, as in Celery.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use petiole_broker::{Disposition, Settlement, Tag};
use petiole_protocol::canvas::builtin::{Decision, Unlock};
use petiole_protocol::canvas::{self, ChordFailure, FollowUps};
use petiole_protocol::message::Arguments;
use petiole_protocol::record::Exception;

use super::{Ending, Settle, Step, Verdict, retry};
use crate::work::Work;

/// Seconds between two looks, where the message does not say it: Celery's `result_chord_retry_interval`.
const INTERVAL: f64 = 1.0;

/// The longest that is waited between two looks, in seconds.
const LONGEST: f64 = 86_400.0;

/// A chord whose header is to be looked at.
#[derive(Debug)]
pub struct Unlocking {
    /// The task that looks.
    pub work: Box<Work>,
    /// What it was called with.
    pub unlock: Unlock,
}

impl Settle {
    /// What follows from a look at a chord's header, and what is told of it.
    pub fn unlocked(
        &self,
        tag: Tag,
        unlocking: Unlocking,
        decision: Decision,
        now: Timestamp,
    ) -> (Step, Verdict) {
        let Unlocking { work, unlock } = unlocking;
        let message = &work.message;
        let failed = |failure: &ChordFailure| {
            self.sending(message, work.queue, now, |sender| {
                canvas::chord_failed(message, &unlock.body, failure, None, sender)
            })
        };
        let done = Verdict::Succeeded(Bytes::from_static(b"null"));
        let (follow_ups, verdict) = match decision {
            Decision::Again => {
                let retries = message.retries.saturating_add(1);
                if unlock.max_retries.is_none_or(|most| u64::from(message.retries) < most) {
                    let wait = unlock.interval.unwrap_or(INTERVAL).clamp(0.0, LONGEST);
                    let wait = SignedDuration::try_from_secs_f64(wait).unwrap_or_default();
                    let until = now.checked_add(wait).unwrap_or(Timestamp::MAX);
                    let settlement = Settlement::new(tag, Disposition::Retry { until, retries, body: None });
                    return (settlement.into(), Verdict::Retried(Exception::retry("Retry")));
                }
                let exhausted = retry::exhausted(message, &Arguments::default());
                let why = format!("chord_unlock could not be retried: {}", exhausted.repr());
                let failure = ChordFailure { exception: Exception::chord_error(&why), cause: None };
                (failed(&failure), Verdict::Failed(exhausted))
            }
            Decision::Failed(failure) => (failed(&failure), done),
            Decision::Body(values) => {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                let body = self.sending(message, work.queue, now, |sender| {
                    canvas::body(message, &unlock.body, &values, sender)
                });
                (body.unwrap_or_else(|error| failed(&ChordFailure::callback(&error))), done)
            }
        };
        (self.unlock_ends(tag, work, follow_ups), verdict)
    }

    fn unlock_ends(&self, tag: Tag, work: Box<Work>, follow_ups: FollowUps) -> Step {
        self.follow(Settlement::new(tag, Disposition::Ack), follow_ups, || {
            let Work { queue, message, .. } = *work;
            Ending::new(tag, queue, Box::new(message), Disposition::Ack)
        })
    }
}
