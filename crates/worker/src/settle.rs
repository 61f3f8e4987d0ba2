//! Step 4, settle: what follows from how an attempt ended. Pure.
//!
//! ```text
//!   outcome                 record    follow-ups              message
//!   ----------------------  --------  ----------------------  ----------------------------------------------
//!   value                   SUCCESS   callbacks, next step    acknowledged
//!   failed, limit hit       FAILURE   errbacks                acknowledged (acks_on_failure_or_timeout)
//!   process died            FAILURE   errbacks                acknowledged (reject_on_worker_lost off)
//!   wants another try       RETRY     none                    parked until then; FAILURE with none left
//!   rejected                FAILURE   none                    to the dead-letter queue
//!   rejected, with requeue  none      none                    back to the head of its queue
//!   ignored                 none      none                    acknowledged
//!   replaced                none      what replaces it        acknowledged
//!   did not run             none      none                    back to the head of its queue
//! ```
//!
//! In every ready state a part of a chord is counted. Follow-ups and record are written before the message is
//! acknowledged. Where the broker's script does all that, it first checks that the message is still ours; an attempt
//! that lost its lease leaves no trace.
//!
//! - [`revoked`]: what a revocation leaves. [`follow`]: what is sent, and how chords go on; [`route`]: to which queue. [`Ending`]: what takes more than one commit. [`retry`]: whether and
//!   when a task is tried again; [`again`]: what is written then. [`unlock`]: chords that nobody counts.

mod again;
mod ending;
mod follow;
mod retry;
mod revoked;
mod route;
#[cfg(test)]
mod tests;
mod unlock;
mod verdict;

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use petiole_broker::{Disposition, Settlement, Tag};
use petiole_contract::pool::Pool;
use petiole_protocol::canvas::FollowUps;
use petiole_protocol::canvas::builtin::Builtin;
use petiole_protocol::message::Message;
use petiole_protocol::record::{Document, Exception, Extended, State};
use petiole_results::{Precedence, Record};

pub use self::ending::{Complete, Ending};
use self::follow::only_part;
pub use self::follow::{Joined, Next};
use self::route::Routes;
pub use self::unlock::Unlocking;
pub use self::verdict::Verdict;
use crate::admit::reason::NOT_REGISTERED;
use crate::admit::{Discarded, PoolError, Told};
use crate::outcome::Outcome;
use crate::run::{Ended, Progress, Started};
use crate::work::Work;

/// The longest name of a state (Celery's own tables have room for 50 characters).
const STATE_LENGTH: usize = 50;

/// What a pool stores, and under which name.
#[derive(Debug)]
pub struct Settle {
    stores: bool,
    expires: Option<Duration>,
    /// Documents say what their tasks were called with, and by whom they were run.
    extended: bool,
    nodename: String,
    /// Where tasks go that follow others and do not say it: the queues, by their index.
    queues: Vec<String>,
    /// Where else they go.
    routes: Routes,
    /// Tells the attempts of this process from those of others.
    life: String,
}

/// What is committed next for a delivery.
#[derive(Debug)]
pub struct Step {
    /// What is written now.
    pub settlement: Settlement,
    /// What may be left to write after that.
    pub ending: Option<Box<Ending>>,
    /// What it sends is this worker's own word, which is signed where the pool signs. Copies of messages are not: they keep
    /// what their senders have signed.
    pub own: bool,
}

impl From<Settlement> for Step {
    fn from(settlement: Settlement) -> Self {
        Self { settlement, ending: None, own: false }
    }
}

/// Whether a state says that its task has ended.
fn ends(state: &str) -> bool {
    [State::Success, State::Failure, State::Revoked].iter().any(|end| end.as_str() == state)
}

impl Settle {
    /// A pool's way to settle. `nodename` is what Celery's tools show: `celery@<pod>`. `life` is another one for each
    /// process.
    pub fn new(pool: &Pool, nodename: String, life: String) -> Result<Self, PoolError> {
        let expires = pool.results.as_ref().map(|results| results.expires).filter(|seconds| *seconds > 0);
        Ok(Self {
            stores: pool.results.is_some(),
            expires: expires.map(Duration::from_secs),
            extended: pool.results.as_ref().is_some_and(|results| results.extended),
            nodename,
            queues: pool.queues.iter().map(|queue| queue.name.clone()).collect(),
            routes: Routes::new(&pool.routes)?,
            life,
        })
    }

    /// Another queue is taken from.
    pub fn consume(&mut self, queue: usize, name: &str) {
        if queue >= self.queues.len() {
            self.queues.resize(queue + 1, name.to_owned());
        }
    }

    /// What is written when a task starts. Its record names the process, and waits until that is known.
    pub fn started(&self, started: &Started) -> Option<Settlement> {
        let Started { tag, work, pid, begins } = started;
        let task = &work.plan.task;
        let record = pid.filter(|_| task.track_started && self.wanted(work)).map(|pid| {
            let document = Document::started(&work.message.id, pid, &self.nodename);
            let document = self.document(document, &work.message, work.queue);
            self.record(&work.message.id, document, Precedence::Progress)
        });
        let disposition = match (task.acks_early, begins) {
            (false, _) => Disposition::Keep,
            (true, true) => Disposition::Ack,
            (true, false) => Disposition::Acked,
        };
        let writes = record.is_some() || disposition == Disposition::Ack;
        writes.then(|| Settlement::new(*tag, disposition).with_records(record))
    }

    /// What is written when a task says how far it is; or why nothing is.
    pub fn progress(&self, progress: &Progress) -> Result<Option<Settlement>, String> {
        let Progress { tag, work, state, meta } = progress;
        if state.is_empty() || state.len() > STATE_LENGTH || ends(state) {
            return Err(format!(
                "{state:?} is no state of a task that runs: choose a name of at most {STATE_LENGTH} bytes that says no end"
            ));
        }
        let id = &work.message.id;
        let meta: &[u8] = if meta.is_empty() { b"null" } else { meta };
        let document =
            Document::own(id, state, meta).map_err(|error| format!("its meta is not JSON: {error}"))?;
        let document = self.document(document, &work.message, work.queue);
        let disposition = if work.plan.task.acks_early { Disposition::Acked } else { Disposition::Keep };
        Ok(self.wanted(work).then(|| {
            Settlement::new(*tag, disposition).with_records([self.record(id, document, Precedence::Progress)])
        }))
    }

    /// What is written when an attempt has ended, and what is told of it.
    pub fn ended(&self, ended: Ended, now: Timestamp) -> (Step, Verdict) {
        let Ended { tag, work, outcome, took } = ended;
        let early = work.plan.task.acks_early && took.is_some();
        let done = if early { Disposition::Acked } else { Disposition::Ack };
        match outcome {
            Outcome::Success(value) => self.success(tag, work, value, FollowUps::default(), done, now),
            Outcome::Adding(value, signatures) => match self.adding(&work, &signatures, now) {
                Ok(sent) => self.success(tag, work, value, sent, done, now),
                Err(exception) => self.failure(tag, work, exception, done, now),
            },
            Outcome::Expanded(builtin) => self.expanded(tag, work, builtin, done, now),
            Outcome::Failure(exception) if retry::covers(&work.retry, &exception) => {
                self.retry(tag, work, exception.into(), done, now)
            }
            Outcome::Failure(exception) => self.failure(tag, work, exception, done, now),
            Outcome::SoftTimeLimit(stderr) => {
                let exception = Exception::soft_time_limit_exceeded().with_traceback(stderr);
                self.failure(tag, work, exception, done, now)
            }
            Outcome::HardTimeLimit(seconds) => {
                self.failure(tag, work, Exception::time_limit_exceeded(seconds), done, now)
            }
            Outcome::WorkerLost(how) => {
                let exception = Exception::worker_lost(&format!("Worker exited prematurely: {how}."));
                self.failure(tag, work, exception, done, now)
            }
            Outcome::Retry(again) => self.retry(tag, work, *again, done, now),
            Outcome::Rejected { requeue: false } => self.rejected(tag, work, early, now),
            Outcome::Rejected { requeue: true } => {
                let settlement = if early {
                    self.again_at_once(tag, &work)
                } else {
                    Settlement::new(tag, Disposition::Requeue)
                };
                (settlement.into(), Verdict::Rejected { requeue: true })
            }
            Outcome::Returned => {
                let fate = if early { done } else { Disposition::Requeue };
                (Settlement::new(tag, fate).into(), Verdict::Silent)
            }
            Outcome::Ignored => (Settlement::new(tag, done).into(), Verdict::Silent),
            Outcome::Replaced(signature) => match self.replacing(&work, &signature, now) {
                Ok(follow_ups) => (self.step(tag, work, None, follow_ups, done), Verdict::Silent),
                Err(exception) => self.failure(tag, work, exception, done, now),
            },
        }
    }

    /// The value of a task of Celery's own that sends messages.
    fn expanded(
        &self,
        tag: Tag,
        work: Box<Work>,
        builtin: Builtin,
        fate: Disposition,
        now: Timestamp,
    ) -> (Step, Verdict) {
        match self.expand(builtin, &work.message, work.queue, now) {
            Ok((sent, value)) => self.success(tag, work, value.into(), sent, fate, now),
            Err(exception) => self.failure(tag, work, exception, fate, now),
        }
    }

    /// `sent` is what the task has sent while it ran.
    fn success(
        &self,
        tag: Tag,
        work: Box<Work>,
        value: Bytes,
        sent: FollowUps,
        fate: Disposition,
        now: Timestamp,
    ) -> (Step, Verdict) {
        let message = &work.message;
        let follow_ups = if message.has_follow_ups() {
            // `run` has checked the value.
            let value = String::from_utf8_lossy(&value);
            match self.after_success(message, work.queue, &value, now) {
                Ok(mut follow_ups) => {
                    // The task's own part is the only one.
                    for part in &mut follow_ups.parts {
                        part.adds.clone_from(&sent.adds);
                    }
                    sent.then(follow_ups)
                }
                Err(exception) => return self.failure(tag, work, exception, fate, now),
            }
        } else {
            sent
        };
        let document = match Document::success(&message.id, &value, now) {
            Ok(document) => self.document(document.children(Some(&follow_ups.children)), message, work.queue),
            // A second look that disagrees must not lose the task.
            Err(error) => {
                let exception = Exception::encode_error(&error.to_string());
                return self.failure(tag, work, exception, fate, now);
            }
        };
        let record = self.wanted(&work).then(|| self.record(&message.id, document, Precedence::Result));
        (self.step(tag, work, record, follow_ups, fate), Verdict::Succeeded(value))
    }

    fn failure(
        &self,
        tag: Tag,
        work: Box<Work>,
        exception: Exception,
        fate: Disposition,
        now: Timestamp,
    ) -> (Step, Verdict) {
        let message = &work.message;
        let follow_ups = if message.has_follow_ups() {
            self.after_failure(message, work.queue, &exception, now)
        } else {
            FollowUps::default()
        };
        let record = self
            .wanted(&work)
            .then(|| self.failed(message, work.queue, &exception, &follow_ups.children, now));
        (self.step(tag, work, record, follow_ups, fate), Verdict::Failed(exception))
    }

    /// As Celery 5.7 has it: a failure of which nobody but a chord is told.
    fn rejected(&self, tag: Tag, work: Box<Work>, early: bool, now: Timestamp) -> (Step, Verdict) {
        let message = &work.message;
        let exception = Exception::reject(false);
        let follow_ups = only_part(message, State::Failure, &exception);
        let record = self.wanted(&work).then(|| self.failed(message, work.queue, &exception, &[], now));
        let fate = if early {
            Disposition::Acked
        } else {
            Disposition::DeadLetter("Rejected: the task's own code rejects the message".to_owned())
        };
        (self.step(tag, work, record, follow_ups, fate), Verdict::Rejected { requeue: false })
    }

    /// What is written for a message that does not run.
    pub fn discarded(&self, tag: Tag, discarded: Discarded, now: Timestamp) -> Step {
        let Discarded { reason, why, id, queue, message, told, dead_letter, .. } = discarded;
        let fate =
            if dead_letter { Disposition::DeadLetter(format!("{reason}: {why}")) } else { Disposition::Ack };
        let follow_ups = match (&message, &told) {
            (None, _) => FollowUps::default(),
            (Some(message), Told::Failure(exception)) => self.after_failure(message, queue, exception, now),
            (Some(message), Told::Revoked(exception)) => only_part(message, State::Revoked, exception),
        };
        let record = id.filter(|_| self.stores).map(|id| {
            let document = match &told {
                Told::Failure(exception) => Document::failure(&id, exception, now),
                Told::Revoked(exception) => Document::revoked(&id, exception, now),
            };
            let document = document.children(Some(&follow_ups.children));
            let document = match &message {
                // Celery knows nothing of a task that it does not know.
                Some(message) if reason != NOT_REGISTERED => self.document(document, message, queue),
                _ => document.to_json(),
            };
            self.record(&id, document, Precedence::Result)
        });
        let settlement = Settlement::new(tag, fate.clone()).with_records(record);
        match message {
            Some(message) => self.follow(settlement, follow_ups, || Ending::new(tag, queue, message, fate)),
            None => settlement.into(),
        }
    }

    fn step(
        &self,
        tag: Tag,
        work: Box<Work>,
        record: Option<Record>,
        follow_ups: FollowUps,
        fate: Disposition,
    ) -> Step {
        let settlement = Settlement::new(tag, fate.clone()).with_records(record);
        self.follow(settlement, follow_ups, || {
            let Work { queue, message, .. } = *work;
            Ending::new(tag, queue, Box::new(message), fate)
        })
    }

    /// The message's word on its result counts, else the task's.
    fn wanted(&self, work: &Work) -> bool {
        self.stores && !work.message.ignore_result.unwrap_or(work.plan.task.ignore_result)
    }

    /// A document, with what Celery adds to that of a task that it knows.
    fn document(&self, document: Document<'_>, message: &Message, queue: usize) -> String {
        let document = document.of(message);
        if !self.extended {
            return document.to_json();
        }
        let queue = self.queues.get(queue).map(String::as_str).unwrap_or_default();
        document.extended(Extended { message, worker: &self.nodename, queue }).to_json()
    }

    fn failed(
        &self,
        message: &Message,
        queue: usize,
        exception: &Exception,
        children: &[String],
        now: Timestamp,
    ) -> Record {
        let document = Document::failure(&message.id, exception, now).children(Some(children));
        self.record(&message.id, self.document(document, message, queue), Precedence::Result)
    }

    fn record(&self, id: &str, document: String, precedence: Precedence) -> Record {
        Record { task_id: id.to_owned(), document, expires: self.expires, precedence }
    }
}
