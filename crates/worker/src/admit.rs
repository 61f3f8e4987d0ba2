//! Step 2, admit: whether a message runs now, later, or not at all. Pure.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use petiole_broker::lost::{LostDelivery, deliveries, history};
use petiole_broker::{Delivery, Start};
use petiole_contract::pool::{self, Mode, Pool, RetryPolicy};
use petiole_contract::template::{ParseError, Template};
use petiole_process::log::Chain;
use petiole_protocol::canvas::builtin::{Builtin, Mapping, accumulate, chain};
use petiole_protocol::control::{InvalidRate, NoPattern, RateLimit};
use petiole_protocol::json::Object;
use petiole_protocol::message::{Accept, Message};
use petiole_protocol::record::Exception;
use petiole_protocol::revoked::Revoked;

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
    /// It waits on the broker until then.
    Hold(Timestamp, Box<Message>),
    /// It does not run.
    Discard(Box<Discarded>),
}

/// A message that does not run. Trying it again would not help.
#[derive(Debug)]
pub struct Discarded {
    /// The reason, for counting.
    pub reason: &'static str,
    /// The reason in words.
    pub why: String,
    /// The task's id, where it could be read.
    pub id: Option<String>,
    /// Its name, where it could be read.
    pub task: Option<String>,
    /// Index of its queue.
    pub queue: usize,
    /// The message, where it could be read: what waits for its task is told.
    pub message: Option<Box<Message>>,
    /// What a client that waits for it is told.
    pub told: Told,
    /// The message is kept in the dead-letter queue.
    pub dead_letter: bool,
}

/// What a client that waits for a task is told.
#[derive(Debug)]
pub enum Told {
    /// The task failed.
    Failure(Exception),
    /// It was revoked.
    Revoked(Exception),
}

/// Reasons of [`Discarded`] that are not those of [`petiole_protocol::message::Reason`].
pub mod reason {
    /// The bytes on the broker are no message.
    pub const MALFORMED: &str = "Malformed";
    /// The pool has no task of this name.
    pub const NOT_REGISTERED: &str = "NotRegistered";
    /// Its `expires` has passed.
    pub const EXPIRED: &str = "Expired";
    /// It was revoked.
    pub const REVOKED: &str = "Revoked";
    /// Too many workers have ended while it ran.
    pub const TOO_MANY_DELIVERIES: &str = "TooManyDeliveries";
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
                return Admission::Discard(Box::new(Discarded {
                    reason: reason::MALFORMED,
                    told: Told::Failure(Exception::decode_error(&why)),
                    why,
                    id: None,
                    task: None,
                    queue,
                    message: None,
                    dead_letter: true,
                }));
            }
        };
        let message = match self.accept.read(&envelope, now) {
            Ok(message) => message,
            Err(refused) => {
                return Admission::Discard(Box::new(Discarded {
                    reason: refused.reason.as_str(),
                    told: Told::Failure(refused.exception()),
                    why: refused.message,
                    id: refused.id,
                    task: refused.task,
                    queue,
                    message: None,
                    dead_letter: true,
                }));
            }
        };
        // Celery checks the expiry before anything else, and does not call it a failure.
        if message.expires.is_some_and(|expires| expires < now) {
            let told = Told::Revoked(Exception::expired());
            return discard(message, queue, reason::EXPIRED, "it has expired", told, false);
        }
        if revoked.is_revoked(&message, now).is_some() {
            return Admission::Discard(Box::new(self::revoked(message, queue)));
        }
        let lost = if message.redelivered { deliveries(&envelope.headers) } else { 0 };
        let most = self.queues.get(queue).and_then(|queue| queue.max_deliveries).unwrap_or(u32::MAX).max(1);
        if lost >= most {
            let why = too_many_deliveries(lost, &envelope.headers);
            let told = Told::Failure(Exception::worker_lost(&format!("Worker exited prematurely: {why}.")));
            return discard(message, queue, reason::TOO_MANY_DELIVERIES, why, told, true);
        }
        let Some(code) = self.code(&message.task) else {
            let why = "the pool has no task of this name: add it to spec.tasks, or send it to another queue";
            let told = Told::Failure(Exception::not_registered(&message.task));
            return discard(message, queue, reason::NOT_REGISTERED, why, told, true);
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
            Builtin::ChordUnlock => {
                let why = "the stores of this release count chords themselves, and nobody unlocks them";
                failed(message, Exception::new("builtins", "NotImplementedError", why))
            }
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

/// A message whose task was revoked before it ran.
pub(crate) fn revoked(message: Message, queue: usize) -> Discarded {
    let told = Told::Revoked(Exception::revoked());
    discarded(message, queue, reason::REVOKED, "it was revoked", told, false)
}

/// Why a message is not run that its workers did not outlive.
fn too_many_deliveries(lost: u32, headers: &Object) -> String {
    let workers = if lost == 1 { "1 worker has".to_owned() } else { format!("{lost} workers have") };
    let newest = history(headers).pop().map(|it| {
        let LostDelivery { at, worker, host, how } = it;
        format!("; the last one, {worker} ({host}), at {at:.0}: {how}")
    });
    format!("{workers} ended while it ran{}", newest.unwrap_or_default())
}

fn discard(
    message: Message,
    queue: usize,
    reason: &'static str,
    why: impl Into<Cow<'static, str>>,
    told: Told,
    dead_letter: bool,
) -> Admission {
    Admission::Discard(Box::new(discarded(message, queue, reason, why, told, dead_letter)))
}

fn discarded(
    message: Message,
    queue: usize,
    reason: &'static str,
    why: impl Into<Cow<'static, str>>,
    told: Told,
    dead_letter: bool,
) -> Discarded {
    let why = why.into().into_owned();
    Discarded {
        reason,
        why,
        id: Some(message.id.clone()),
        task: Some(message.task.clone()),
        queue,
        message: Some(Box::new(message)),
        told,
        dead_letter,
    }
}

#[cfg(test)]
mod tests {
    use petiole_broker::conformance;
    use petiole_protocol::envelope::Envelope;
    use serde_json::json;

    use super::*;

    /// A pool of two queues: the first has no limits of its own, the second has one minute, 30 s to end in.
    fn admit() -> Admit {
        let queue = |name: &str, limits: serde_json::Value| json!({ "name": name, "prioritySteps": [0], "visibilityTimeout": 3600, "deadLetter": "dead", "limits": limits });
        let pool = json!({
            "namespace": "", "name": "", "mode": "exec", "concurrency": 1,
            "broker": { "url": { "value": "redis://redis" } },
            "queues": [queue("a", json!({})), queue("b", json!({ "hard": 60.0, "soft": 30.0 }))],
            "tasks": {
                "tasks.add": { "command": ["a"] },
                "tasks.slow": { "command": ["a"], "limits": { "hard": 300.0, "soft": 200.0 } },
            },
            "defaults": { "hard": 600.0, "soft": 500.0 },
        });
        Admit::new(&serde_json::from_value(pool).unwrap(), Accept::default()).unwrap()
    }

    /// The limits of a message with these of its own (`[hard, soft]`, as Celery writes them).
    #[track_caller]
    fn limits(queue: usize, task: &str, own: serde_json::Value) -> (Option<f64>, Option<f64>) {
        limits_of(&admit(), queue, task, own)
    }

    #[track_caller]
    fn limits_of(
        admit: &Admit,
        queue: usize,
        task: &str,
        own: serde_json::Value,
    ) -> (Option<f64>, Option<f64>) {
        let mut message: serde_json::Value = serde_json::from_str(&conformance::message("1", 0)).unwrap();
        message["headers"]["task"] = json!(task);
        message["headers"]["timelimit"] = own;
        let envelope = Envelope::from_redis(message.to_string().as_bytes());
        let delivery = Delivery { tag: 1, queue, counted: false, envelope };
        match admit.admit(delivery, &Revoked::default(), Timestamp::UNIX_EPOCH) {
            Admission::Run(work) => (work.limits.hard, work.limits.soft),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_has_the_limits_of_the_queue_that_it_came_from() {
        let none = || json!([null, null]);
        assert_eq!(limits(0, "tasks.add", none()), (Some(600.0), Some(500.0)));
        assert_eq!(limits(1, "tasks.add", none()), (Some(60.0), Some(30.0)));
    }

    #[test]
    fn a_tasks_own_limits_come_before_its_queues() {
        assert_eq!(limits(1, "tasks.slow", json!([null, null])), (Some(300.0), Some(200.0)));
    }

    #[test]
    fn a_messages_own_limits_come_first_and_are_cut_to_what_its_queue_gives() {
        assert_eq!(limits(1, "tasks.add", json!([20, 10])), (Some(20.0), Some(10.0)));
        assert_eq!(limits(1, "tasks.add", json!([90, null])), (Some(60.0), Some(30.0)));
        // A soft limit that the hard one forestalls would never be heard.
        assert_eq!(limits(1, "tasks.add", json!([20, null])), (Some(20.0), None));
        assert_eq!(limits(0, "tasks.add", json!([90, null])), (Some(90.0), None));
    }

    #[test]
    fn limits_that_were_set_by_remote_control_come_after_a_messages_own_and_are_cut_like_them() {
        let (mut admit, none) = (admit(), || json!([null, null]));
        admit.limit("tasks.add".to_owned(), Limits { soft: Some(10.0), hard: Some(20.0) });
        assert_eq!(limits_of(&admit, 1, "tasks.add", none()), (Some(20.0), Some(10.0)));
        assert_eq!(limits_of(&admit, 1, "tasks.add", json!([15, 5])), (Some(15.0), Some(5.0)));
        assert_eq!(limits_of(&admit, 1, "tasks.slow", none()), (Some(300.0), Some(200.0)));
        admit.limit("tasks.add".to_owned(), Limits { soft: None, hard: Some(90.0) });
        assert_eq!(limits_of(&admit, 1, "tasks.add", none()), (Some(60.0), Some(30.0)));
    }

    /// What a queue that gives a message so many deliveries makes of one that has lost so many.
    fn admitted(most: Option<u32>, lost: u32, redelivered: bool) -> Admission {
        let mut admit = admit();
        admit.queues[0].max_deliveries = most;
        let mut message: serde_json::Value = serde_json::from_str(&conformance::message("1", 0)).unwrap();
        let how =
            json!([{ "at": "2026-11-21T10:00:00Z", "worker": "w", "host": "pod-1", "how": "it was gone" }]);
        for (name, value) in [
            ("petiole-deliveries", json!(lost)),
            ("redelivered", json!(redelivered)),
            ("petiole-history", how),
        ] {
            message["headers"][name] = value;
        }
        let envelope = Envelope::from_redis(message.to_string().as_bytes());
        let delivery = Delivery { tag: 1, queue: 0, counted: false, envelope };
        admit.admit(delivery, &Revoked::default(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_message_that_was_lost_too_often_is_given_up_and_says_how() {
        let Admission::Discard(discarded) = admitted(Some(3), 3, true) else { panic!("it runs") };
        assert_eq!(discarded.reason, reason::TOO_MANY_DELIVERIES);
        assert!(discarded.dead_letter);
        let why = "3 workers have ended while it ran; the last one, w (pod-1), at 2026-11-21T10:00:00Z: it was gone";
        assert_eq!(discarded.why, why);
        let Told::Failure(exception) = discarded.told else { panic!("no failure") };
        assert_eq!(exception, Exception::worker_lost(&format!("Worker exited prematurely: {why}.")));
    }

    #[test]
    fn a_message_that_was_lost_less_often_or_may_be_lost_for_ever_runs() {
        let last_chance = |most, lost, redelivered| match admitted(most, lost, redelivered) {
            Admission::Run(work) => work.last_chance,
            other => panic!("{other:?}"),
        };
        assert!(last_chance(Some(3), 2, true));
        for (most, lost) in [(Some(3), 1), (Some(1), 0), (Some(0), 0), (None, 100)] {
            assert!(!last_chance(most, lost, true), "{most:?} {lost}");
        }
        // Nobody has restored it: a client has written the header.
        assert!(!last_chance(Some(1), 7, false));
    }

    #[test]
    fn a_form_that_the_pool_does_not_accept_is_kept_and_one_that_it_does_runs() {
        let mut message: serde_json::Value = serde_json::from_str(&conformance::message("1", 0)).unwrap();
        message["headers"]["task"] = json!("tasks.add");
        message["content-type"] = json!("application/x-yaml");
        message["body"] = json!("- [1]\n- {}\n- {}\n");
        message["properties"] = json!({ "delivery_tag": "t" });
        let admission = |accept: Accept| {
            let envelope = Envelope::from_redis(message.to_string().as_bytes());
            let admit = Admit { accept, ..admit() };
            admit.admit(
                Delivery { tag: 1, queue: 0, counted: false, envelope },
                &Revoked::default(),
                Timestamp::UNIX_EPOCH,
            )
        };
        match admission(Accept::default()) {
            Admission::Discard(discarded) => {
                assert!(discarded.dead_letter);
                assert_eq!(discarded.reason, "ContentDisallowed");
            }
            other => panic!("{other:?}"),
        }
        match admission(Accept::of(["json", "yaml"], None).unwrap()) {
            Admission::Run(work) => assert_eq!(work.args(), "[1]"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_that_expired_is_told_so_even_if_it_was_revoked() {
        let mut message: serde_json::Value = serde_json::from_str(&conformance::message("1", 0)).unwrap();
        message["headers"]["task"] = json!("tasks.add");
        let mut revoked = Revoked::default();
        revoked.revoke([message["headers"]["id"].as_str().unwrap()], Timestamp::UNIX_EPOCH);
        let reason = |message: &serde_json::Value, at: i64| {
            let envelope = Envelope::from_redis(message.to_string().as_bytes());
            let delivery = Delivery { tag: 1, queue: 0, counted: false, envelope };
            match admit().admit(delivery, &revoked, Timestamp::from_second(at).unwrap()) {
                Admission::Discard(discarded) => discarded.reason,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(reason(&message, 1), reason::REVOKED);
        message["headers"]["expires"] = json!("1970-01-01T00:00:10+00:00");
        assert_eq!(reason(&message, 1), reason::REVOKED);
        assert_eq!(reason(&message, 11), reason::EXPIRED);
    }
}
