//! Step 2, admit: whether a message runs now, later, or not at all. Pure.

mod discarded;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use petiole_broker::lost::deliveries;
use petiole_broker::{Delivery, Start};
use petiole_contract::pool::{self, Mode, Pool, RetryPolicy};
use petiole_contract::template::{ParseError, Template};
use petiole_process::log::Chain;
use petiole_protocol::canvas::builtin::{Builtin, Mapping, Unlock, accumulate, chain};
use petiole_protocol::control::{InvalidRate, NoPattern, RateLimit};
use petiole_protocol::message::{Accept, Message};
use petiole_protocol::record::Exception;
use petiole_protocol::revoked::Revoked;

pub(crate) use self::discarded::revoked;
pub use self::discarded::{Discarded, Told, reason};
use self::discarded::{discarded, too_many_deliveries};
use crate::metrics::UNLISTED;
use crate::outcome::Outcome;
use crate::work::{Limits, Plan, Work};

/// What becomes of a message.
#[derive(Debug)]
pub enum Admission {
    /// It runs.
    Run(Box<Work>),
    /// It runs as soon as its task's limit allows that, which the broker says.
    Limited(Box<Work>, Start),
    /// It is one of Celery's own, and has ended without running.
    Ended(Box<Work>, Outcome),
    /// It is `celery.chord_unlock`: this chord's header is looked at.
    Unlock(Box<Work>, Box<Unlock>),
    /// It waits on the broker until then.
    Hold(Timestamp, Box<Message>),
    /// It does not run.
    Discard(Box<Discarded>),
}

impl From<Discarded> for Admission {
    fn from(discarded: Discarded) -> Self {
        Self::Discard(Box::new(discarded))
    }
}

/// Why a pool's tasks cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// A command cannot be filled.
    #[error("failed to read the command of task {task}")]
    Command {
        /// Whose.
        task: String,
        /// Why.
        source: ParseError,
    },
    /// A task's rate limit is none.
    #[error("failed to read the rate limit of task {task}")]
    Rate {
        /// The task.
        task: String,
        /// Why.
        source: InvalidRate,
    },
    /// A pattern cannot be matched.
    #[error("failed to read the route of the tasks {task}")]
    Route {
        /// The pattern.
        task: String,
        /// Why.
        source: NoPattern,
    },
}

/// What runs under a task's name.
enum Code<'a> {
    /// The user's.
    Of(&'a Arc<Plan>),
    /// Celery's own.
    Own(Builtin),
}

/// What a queue says of its tasks.
#[derive(Debug)]
struct Queue {
    limits: pool::Limits,
    retry: Arc<RetryPolicy>,
    max_deliveries: Option<u32>,
}

/// The tasks of a pool.
#[derive(Debug)]
pub struct Admit {
    accept: Accept,
    plans: HashMap<String, Arc<Plan>>,
    /// How a task runs that is not listed; not at all in `Exec` mode, where nobody knows its command.
    unlisted: Option<Arc<Plan>>,
    /// There is a result store.
    stores: bool,
    /// By the queue's index.
    queues: Vec<Queue>,
    defaults: pool::Limits,
    /// What remote control has set, by task.
    set: HashMap<String, Limits>,
    /// How often tasks start, also as remote control has set it. None is without a limit.
    rates: HashMap<String, RateLimit>,
}

impl Admit {
    /// Reads the commands of a pool's tasks, whose messages have these forms.
    pub fn new(pool: &Pool, accept: Accept) -> Result<Self, PoolError> {
        let plan = |(name, task): (&String, &pool::Task)| {
            let command = task
                .command
                .iter()
                .map(|argument| Template::parse(argument))
                .collect::<Result<_, _>>()
                .map_err(|source| PoolError::Command { task: name.clone(), source })?;
            Ok((name.clone(), Arc::new(Plan::new(task.clone(), command))))
        };
        let queue = |queue: &pool::Queue| Queue {
            limits: queue.limits.clone(),
            retry: Arc::new(queue.retry.clone().unwrap_or_default()),
            max_deliveries: queue.max_deliveries,
        };
        let mut admit = Self {
            accept,
            plans: pool.tasks.iter().map(plan).collect::<Result<_, _>>()?,
            unlisted: matches!(pool.mode, Mode::Serve { .. }).then(Arc::default),
            stores: pool.results.is_some(),
            queues: pool.queues.iter().map(queue).collect(),
            defaults: pool.defaults.clone(),
            set: HashMap::new(),
            rates: HashMap::new(),
        };
        for (task, text) in
            pool.tasks.iter().filter_map(|(name, task)| Some((name, task.rate_limit.as_ref()?)))
        {
            let limit =
                RateLimit::parse(text).map_err(|source| PoolError::Rate { task: task.clone(), source })?;
            admit.rate(task.clone(), limit);
        }
        Ok(admit)
    }

    /// The name of a task as a metric's label: bounded by what the pool lists.
    pub fn label<'a>(&self, task: &'a str) -> &'a str {
        if self.plans.contains_key(task) { task } else { UNLISTED }
    }

    /// Which forms of messages are read.
    pub fn accept(&self) -> &Accept {
        &self.accept
    }

    /// Sets the limits of a task whose message says none. Like the message's own, they cannot be longer than what it
    /// would get without.
    pub fn limit(&mut self, task: String, limits: Limits) {
        self.set.insert(task, limits);
    }

    /// Sets how often a task starts.
    pub fn rate(&mut self, task: String, limit: RateLimit) {
        match limit.per_second() {
            Some(_) => self.rates.insert(task, limit),
            None => self.rates.remove(&task),
        };
    }

    /// How often tasks start that have a limit.
    pub fn rates(&self) -> &HashMap<String, RateLimit> {
        &self.rates
    }

    /// Another queue is taken from: nothing stands of it in the pool's file, and its tasks are given up like those of the
    /// first queue.
    pub fn consume(&mut self, queue: usize) {
        if queue >= self.queues.len() {
            let max_deliveries = self.queues.first().and_then(|first| first.max_deliveries);
            let limits = pool::Limits::default;
            self.queues.resize_with(queue + 1, || Queue {
                limits: limits(),
                retry: Arc::default(),
                max_deliveries,
            });
        }
    }

    /// Decides on one message.
    pub fn admit(&self, delivery: Delivery, revoked: &Revoked, now: Timestamp) -> Admission {
        let (tag, counted) = (delivery.tag, delivery.counted);
        match self.decide(delivery, revoked, now) {
            Admission::Run(work) if !counted && self.rates.contains_key(&work.message.task) => {
                let message = &work.message;
                let start = Start {
                    tag,
                    task: message.task.clone(),
                    id: message.id.clone(),
                    priority: message.priority.unwrap_or_default(),
                };
                Admission::Limited(work, start)
            }
            decided => decided,
        }
    }

    fn decide(&self, delivery: Delivery, revoked: &Revoked, now: Timestamp) -> Admission {
        let queue = delivery.queue;
        let envelope = match delivery.envelope {
            Ok(envelope) => envelope,
            Err(malformed) => {
                let why = Chain(&malformed).to_string();
                return Admission::from(Discarded {
                    reason: reason::MALFORMED,
                    told: Told::Failure(Exception::decode_error(&why)),
                    why,
                    id: None,
                    task: None,
                    queue,
                    message: None,
                    dead_letter: true,
                });
            }
        };
        let message = match self.accept.read(&envelope, now) {
            Ok(message) => message,
            Err(refused) => {
                return Admission::from(Discarded {
                    reason: refused.reason.as_str(),
                    told: Told::Failure(refused.exception()),
                    why: refused.message,
                    id: refused.id,
                    task: refused.task,
                    queue,
                    message: None,
                    dead_letter: true,
                });
            }
        };
        // Celery checks the expiry before anything else, and does not call it a failure.
        if message.expires.is_some_and(|expires| expires < now) {
            let told = Told::Revoked(Exception::expired());
            return discarded(message, queue, reason::EXPIRED, "it has expired", told, false).into();
        }
        if revoked.is_revoked(&message, now).is_some() {
            return discarded::revoked(message, queue).into();
        }
        let lost = if message.redelivered { deliveries(&envelope.headers) } else { 0 };
        let most = self.queues.get(queue).and_then(|queue| queue.max_deliveries).unwrap_or(u32::MAX).max(1);
        if lost >= most {
            let why = too_many_deliveries(lost, &envelope.headers);
            let told = Told::Failure(Exception::worker_lost(&format!("Worker exited prematurely: {why}.")));
            return discarded(message, queue, reason::TOO_MANY_DELIVERIES, why, told, true).into();
        }
        let Some(code) = self.code(&message.task) else {
            let why = "the pool has no task of this name: add it to spec.tasks, or send it to another queue";
            let told = Told::Failure(Exception::not_registered(&message.task));
            return discarded(message, queue, reason::NOT_REGISTERED, why, told, true).into();
        };
        if let Some(eta) = message.eta
            && eta > now
        {
            return Admission::Hold(eta, Box::new(message));
        }
        let last_chance = lost > 0 && lost + 1 >= most;
        match code {
            Code::Own(builtin) => self.builtin(builtin, message, queue, last_chance),
            Code::Of(plan) => {
                let limits = self.limits(&message, &plan.task, queue);
                let raw = plan.task.acks_early.then(|| envelope.to_redis());
                let (plan, retry) = (plan.clone(), self.retry(plan, queue));
                let mapping = None;
                let work = Work { queue, message, plan, limits, retry, mapping, last_chance, raw };
                Admission::Run(Box::new(work))
            }
        }
    }

    /// What runs under this name: what the pool lists comes before Celery's own.
    fn code(&self, task: &str) -> Option<Code<'_>> {
        let listed = self.plans.get(task).map(Code::Of);
        listed.or_else(|| Builtin::of(task).map(Code::Own)).or_else(|| self.unlisted.as_ref().map(Code::Of))
    }

    /// A task that every Celery worker has.
    fn builtin(&self, builtin: Builtin, message: Message, queue: usize, last_chance: bool) -> Admission {
        let work = |message, plan: &Arc<Plan>, mapping, limits| {
            let retry = self.retry(plan, queue);
            let plan = plan.clone();
            Box::new(Work { queue, message, plan, limits, retry, mapping, last_chance, raw: None })
        };
        let ended = |message, outcome| {
            Admission::Ended(work(message, &Arc::default(), None, Limits::default()), outcome)
        };
        let failed = |message, exception| ended(message, Outcome::Failure(exception));
        match builtin {
            Builtin::Accumulate => match accumulate(&message).map(str::to_owned) {
                Ok(value) => ended(message, Outcome::Success(value.into())),
                Err(exception) => failed(message, exception),
            },
            // What has expired, Redis forgets by itself.
            Builtin::BackendCleanup => ended(message, Outcome::Success(Bytes::from_static(b"null"))),
            Builtin::Chain => failed(message, chain()),
            Builtin::Chord | Builtin::Chunks | Builtin::Group => ended(message, Outcome::Expanded(builtin)),
            Builtin::ChordUnlock if !self.stores => failed(message, Exception::no_result_store()),
            Builtin::ChordUnlock => match Unlock::read(&message) {
                Ok(unlock) => {
                    let work = work(message, &Arc::default(), None, Limits::default());
                    Admission::Unlock(work, Box::new(unlock))
                }
                Err(error) => failed(message, error.exception()),
            },
            Builtin::Map | Builtin::Starmap => {
                let mut mapping = match Mapping::read(&message, builtin == Builtin::Starmap) {
                    Ok(mapping) => mapping,
                    Err(error) => return failed(message, error.exception()),
                };
                let Some(args) = mapping.next() else {
                    return ended(message, Outcome::Success(Bytes::from_static(b"[]")));
                };
                let Some(plan) = self.plans.get(mapping.task()).or(self.unlisted.as_ref()) else {
                    let exception = Exception::not_registered(mapping.task());
                    return failed(message, exception);
                };
                let limits = self.limits(&message, &plan.task, queue);
                Admission::Run(work(message, plan, Some((mapping, args)), limits))
            }
        }
    }

    /// The task's own policy, else that of the queue that its message came from.
    fn retry(&self, plan: &Plan, queue: usize) -> Arc<RetryPolicy> {
        match (&plan.retry, self.queues.get(queue)) {
            (Some(own), _) => own.clone(),
            (None, Some(queue)) => queue.retry.clone(),
            (None, None) => Arc::default(),
        }
    }

    /// The message's own limits, else the task's, else those of the queue that it came from, else the pool's. A
    /// message cannot have more time than it would get without a limit of its own: the pod's grace period is made for
    /// that.
    fn limits(&self, message: &Message, task: &pool::Task, queue: usize) -> Limits {
        let queue = self.queues.get(queue).map(|queue| &queue.limits);
        let most = task.limits.hard.or(queue.and_then(|queue| queue.hard)).or(self.defaults.hard);
        let set = self.set.get(&message.task).copied().unwrap_or_default();
        let hard = match (message.limits.hard.or(set.hard), most) {
            (Some(own), Some(most)) => Some(own.min(most)),
            (own, most) => own.or(most),
        };
        let soft = message.limits.soft.or(set.soft).or(task.limits.soft);
        let soft = soft.or(queue.and_then(|queue| queue.soft)).or(self.defaults.soft);
        // A soft limit that the hard one forestalls would never be heard.
        let soft = soft.filter(|soft| hard.is_none_or(|hard| *soft < hard));
        Limits { soft, hard }
    }
}
