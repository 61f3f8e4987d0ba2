//! Step 4, settle: what follows from how an attempt ended. Pure.
//!
//! ```text
//!   outcome             record       message
//!   ------------------  -----------  -------------------------------------------------
//!   value               SUCCESS      acknowledged
//!   failed, limit hit   FAILURE      acknowledged (Celery's acks_on_failure_or_timeout)
//!   process died        FAILURE      acknowledged (Celery's reject_on_worker_lost off)
//!   did not run         none         back to the head of its queue
//! ```
//!
//! The record is written before the message is acknowledged. Where the broker's script does both, it first checks
//! that the message is still ours; an attempt that lost its lease leaves no trace.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use petiole_broker::{Disposition, Settlement, Tag};
use petiole_contract::pool::Pool;
use petiole_protocol::record::{Document, Exception};
use petiole_results::{Precedence, Record};

use crate::admit::{Discarded, Told};
use crate::commit::Commit;
use crate::outcome::Outcome;
use crate::run::Ended;
use crate::work::Work;

/// What a pool stores, and under which name.
#[derive(Debug)]
pub struct Settle {
    stores: bool,
    expires: Option<Duration>,
    nodename: String,
}

impl Settle {
    /// A pool's way to settle. `nodename` is what Celery's tools show: `celery@<pod>`.
    pub fn new(pool: &Pool, nodename: String) -> Self {
        let expires = pool.results.as_ref().map(|results| results.expires).filter(|seconds| *seconds > 0);
        Self { stores: pool.results.is_some(), expires: expires.map(Duration::from_secs), nodename }
    }

    /// What is written when a task starts.
    pub fn started(&self, tag: Tag, work: &Work) -> Option<Settlement> {
        let task = &work.plan.task;
        let record = (task.track_started && self.wanted(work)).then(|| {
            let document = Document::started(&work.message.id, std::process::id(), &self.nodename);
            self.record(&work.message.id, document.to_json())
        });
        let disposition = if task.acks_early { Disposition::Ack } else { Disposition::Keep };
        (record.is_some() || task.acks_early).then(|| Settlement::new(tag, disposition).with_records(record))
    }

    /// What is written when an attempt has ended.
    pub fn ended(&self, ended: &Ended, now: Timestamp) -> Option<Commit> {
        let Ended { tag, work, outcome, took } = ended;
        let id = &work.message.id;
        let failure =
            |exception: &Exception| Some(Document::failure(id, exception, now).of(&work.message).to_json());
        let document = match outcome {
            Outcome::Success(value) => Some(success(work, value, now)),
            Outcome::Failure(exception) => failure(exception),
            Outcome::SoftTimeLimit(stderr) => {
                failure(&Exception::soft_time_limit_exceeded().with_traceback(stderr.clone()))
            }
            Outcome::HardTimeLimit(seconds) => failure(&Exception::time_limit_exceeded(*seconds)),
            Outcome::WorkerLost(how) => {
                failure(&Exception::worker_lost(&format!("Worker exited prematurely: {how}.")))
            }
            Outcome::Returned => None,
        };
        let record = document.filter(|_| self.wanted(work)).map(|document| self.record(id, document));
        if work.plan.task.acks_early && took.is_some() {
            return record.map(Commit::Record);
        }
        let disposition = match outcome {
            Outcome::Returned => Disposition::Requeue,
            _ => Disposition::Ack,
        };
        Some(Commit::Settle(Settlement::new(*tag, disposition).with_records(record)))
    }

    /// What is written for a message that does not run.
    pub fn discarded(&self, tag: Tag, discarded: &Discarded, now: Timestamp) -> Settlement {
        let record = discarded.id.as_ref().filter(|_| self.stores).map(|id| {
            let document = match &discarded.told {
                Told::Failure(exception) => Document::failure(id, exception, now),
                Told::Revoked(exception) => Document::revoked(id, exception, now),
            };
            self.record(id, document.to_json())
        });
        let disposition = if discarded.dead_letter {
            Disposition::DeadLetter(format!("{}: {}", discarded.reason, discarded.why))
        } else {
            Disposition::Ack
        };
        Settlement::new(tag, disposition).with_records(record)
    }

    /// The message's word on its result counts, else the task's.
    fn wanted(&self, work: &Work) -> bool {
        self.stores && !work.message.ignore_result.unwrap_or(work.plan.task.ignore_result)
    }

    fn record(&self, id: &str, document: String) -> Record {
        Record { task_id: id.to_owned(), document, expires: self.expires, precedence: Precedence::Result }
    }
}

fn success(work: &Work, value: &Bytes, now: Timestamp) -> String {
    let id = &work.message.id;
    match Document::success(id, value, now) {
        Ok(document) => document.of(&work.message).to_json(),
        // `run` has checked the value; a second look that disagrees must not lose the task.
        Err(error) => {
            let exception = Exception::encode_error(&error.to_string());
            Document::failure(id, &exception, now).of(&work.message).to_json()
        }
    }
}
