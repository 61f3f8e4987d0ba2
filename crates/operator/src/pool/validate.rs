//! validate: a `WorkerPool` and its `TaskQueue`s → what is to be built, or why not. Pure; `petiole dev` uses it too.
//!
//! What the schema's rules say of one object is not said again here, except where going on without it would build
//! something that cannot run.

mod celery;
mod certificates;
mod queues;

use std::collections::BTreeMap;

use kube::ResourceExt;
use petiole_api::accept::Accept;
use petiole_api::conditions::reasons;
use petiole_api::connection::{Broker, Results};
use petiole_api::duration::Duration;
use petiole_api::names;
use petiole_api::retry::{Backoff, Retry};
use petiole_api::signing::Signing;
use petiole_api::task::{self, Acks, ResultForm};
use petiole_api::template::{PodTemplate, TemplateContainer, TemplateSpec};
use petiole_api::worker_pool::{Mode, QueueOrder};
use petiole_api::{TaskQueue, WorkerPool, worker_pool};
use petiole_contract::exec;
use petiole_contract::pool::{Limits, Order, Queue, RetryPolicy, Route, Task};
use petiole_contract::template::Template;
use petiole_protocol::control::Pattern;
use petiole_scale::Scaling;

pub use self::celery::Celery;
use super::scale::autoscaler::Autoscaler;
use super::{paths, scale};
use crate::refusal::Refusal;

/// What a pod has beside its tasks' own time when it is told to stop: a task that passes its hard limit is killed and
/// settled, and the worker ends, in a few seconds; the rest is for a slow broker.
const GRACE_MARGIN_SECONDS: u64 = 30;

/// A pool that can be built.
#[derive(Debug, Clone, PartialEq)]
pub struct Validated {
    /// Its namespace.
    pub namespace: String,
    /// Its name, which its Deployment and most of what belongs to it share.
    pub name: String,
    /// How many pods it has, where it does not scale itself.
    pub replicas: i32,
    /// How it scales itself.
    pub scaling: Option<Scaling>,
    /// How an autoscaler of Kubernetes scales it.
    pub autoscaler: Option<Autoscaler>,
    /// How many tasks a pod runs at the same time.
    pub concurrency: u32,
    /// What runs its tasks.
    pub workers: Workers,
    /// The broker that all its queues are on.
    pub broker: Broker,
    /// The store that all its queues have.
    pub results: Option<Results>,
    /// Its queues, the most urgent first.
    pub queues: Vec<Queue>,
    /// In which order they are served.
    pub order: Order,
    /// The `TaskQueue` of the first of them: whoever knows it knows the pool's broker.
    pub first_task_queue: String,
    /// Its tasks by name.
    pub tasks: BTreeMap<String, Task>,
    /// Which forms of messages are read.
    pub accept: Accept,
    /// A hash of the certificates of those who may sign, once they have been looked at:
    /// [`with_certificates`](Self::with_certificates).
    pub certificates: Option<String>,
    /// By what those messages are signed that its tasks send.
    pub signing: Option<Signing>,
    /// Where messages go that its tasks send and that name no queue.
    pub routes: Vec<Route>,
    /// Events of tasks are sent from the start.
    pub events: bool,
    /// The limits of a task that has none of its own, in a queue that has none either.
    pub defaults: Limits,
    /// The pods, as the user wants them: the short form `image` is one with nothing else.
    pub template: PodTemplate,
    /// How long a pod that is told to stop may take.
    pub grace_seconds: u64,
}

/// What runs the tasks of a pool.
#[derive(Debug, Clone, PartialEq)]
pub enum Workers {
    /// Our worker, in this mode.
    Ours(petiole_contract::pool::Mode),
    /// The image's own.
    Celery(Celery),
}

/// Decides whether a pool can be built. `queues` are the `TaskQueue`s of its namespace that are there, by name.
pub fn validate(pool: &WorkerPool, queues: &BTreeMap<String, TaskQueue>) -> Result<Validated, Refusal> {
    let queues = queues::resolve(pool, queues)?;
    let first = queues.first().ok_or_else(|| {
        Refusal::new(
            reasons::TASK_QUEUE_NOT_FOUND,
            "the pool names no queue: write queues: [{taskQueue: NAME}]",
        )
    })?;
    let first_task_queue = first.name_any();
    let (broker, results) = (queues::one_broker(&queues)?, queues::one_store(&queues)?);
    let defaults =
        Limits { hard: worker_limit(pool.spec.time_limit), soft: pool.spec.soft_time_limit.map(seconds) };
    let queues = queues::each_once(pool, &queues, &defaults)?;
    let tasks = tasks(pool)?;
    let grace_seconds = grace_seconds(pool, &tasks, &queues, &defaults)?;
    Ok(Validated {
        namespace: pool.namespace().unwrap_or_default(),
        name: pool.name_any(),
        replicas: pool.spec.replicas,
        scaling: scale::spec::scaling(pool)?,
        autoscaler: scale::spec::autoscaler(pool)?,
        concurrency: pool.spec.concurrency,
        workers: workers(pool, &queues)?,
        broker,
        results,
        first_task_queue,
        queues,
        order: match pool.spec.queue_order {
            QueueOrder::Strict => Order::Strict,
            QueueOrder::Weighted => Order::Weighted,
        },
        tasks,
        accept: pool.spec.accept.clone(),
        certificates: None,
        signing: pool.spec.signing.clone(),
        routes: routes(pool)?,
        events: pool.spec.events,
        defaults,
        template: template(pool)?,
        grace_seconds,
    })
}

fn workers(pool: &WorkerPool, queues: &[Queue]) -> Result<Workers, Refusal> {
    match (pool.spec.mode, &pool.spec.serve) {
        (Mode::Exec, _) => Ok(Workers::Ours(petiole_contract::pool::Mode::Exec)),
        (Mode::Serve, Some(serve)) => {
            Ok(Workers::Ours(petiole_contract::pool::Mode::Serve { command: serve.command.clone() }))
        }
        (Mode::Serve, None) => Err(Refusal::new(
            reasons::TASK_REFUSED,
            "mode Serve needs serve.command: the program that takes one task after another",
        )),
        (Mode::Celery, _) => celery::celery(pool, queues).map(Workers::Celery),
    }
}

fn tasks(pool: &WorkerPool) -> Result<BTreeMap<String, Task>, Refusal> {
    pool.spec.tasks.iter().map(|task| Ok((task.name.clone(), self::task(pool.spec.mode, task)?))).collect()
}

fn task(mode: Mode, task: &task::Task) -> Result<Task, Refusal> {
    let command = match mode {
        Mode::Exec => command(task)
            .map_err(|why| Refusal::new(reasons::TASK_REFUSED, format!("task {}: {why}", task.name)))?,
        Mode::Serve | Mode::Celery => Vec::new(),
    };
    Ok(Task {
        command,
        result: match task.result.unwrap_or_default() {
            ResultForm::Json => exec::ResultForm::Json,
            ResultForm::Text => exec::ResultForm::Text,
            ResultForm::File => exec::ResultForm::File,
            ResultForm::None => exec::ResultForm::None,
        },
        limits: Limits {
            hard: task.time_limit.and_then(worker_limit),
            soft: task.soft_time_limit.map(seconds),
        },
        acks_early: task.acks == Acks::Early,
        track_started: task.track_started,
        ignore_result: task.ignore_result,
        retry: task.retry.as_ref().map(retry),
        rate_limit: task.rate_limit.map(|rate| rate.to_string()),
    })
}

fn retry(retry: &Retry) -> RetryPolicy {
    RetryPolicy {
        max: retry.max.finite(),
        delay: seconds(retry.delay),
        exponential: retry.backoff == Backoff::Exponential,
        most: seconds(retry.max_delay),
        jitter: retry.jitter,
        exit_codes: retry.on_exit_codes.iter().copied().map(i32::from).collect(),
        errors: retry.on_errors.clone(),
    }
}

/// A pattern that cannot be read would stop the workers.
fn routes(pool: &WorkerPool) -> Result<Vec<Route>, Refusal> {
    let route = |route: &worker_pool::Route| {
        if route.task.contains('*') {
            Pattern::read("glob", &route.task).map_err(|error| {
                Refusal::new(
                    reasons::ROUTE_REFUSED,
                    format!(
                        "routes[].task: {error}. Write * for any characters, ? for one, [ab] for one of these"
                    ),
                )
            })?;
        }
        Ok(Route { task: route.task.clone(), queue: route.queue.clone() })
    };
    pool.spec.routes.iter().map(route).collect()
}

fn command(task: &task::Task) -> Result<Vec<String>, String> {
    let command = task.command.as_deref().unwrap_or_default();
    for (index, argument) in command.iter().enumerate() {
        Template::parse(argument).map_err(|error| format!("command[{index}], {error}"))?;
    }
    let program = command.first().and_then(|program| Template::parse(program).ok()?.literal());
    match program.as_deref() {
        None if command.is_empty() => {
            Err("write a command: program and arguments, one element each".to_owned())
        }
        None => Err("command[0]: the program cannot come from a message: write its name or path".to_owned()),
        Some("") => Err("command[0]: the program is empty: write its name or path".to_owned()),
        Some(_) => Ok(command.to_vec()),
    }
}

fn worker_limit(limit: petiole_api::duration::TimeLimit) -> Option<f64> {
    limit.finite().map(seconds)
}

fn seconds(duration: Duration) -> f64 {
    duration.get().as_secs_f64()
}

/// As long as the longest task that can run here.
fn grace_seconds(
    pool: &WorkerPool,
    tasks: &BTreeMap<String, Task>,
    queues: &[Queue],
    defaults: &Limits,
) -> Result<u64, Refusal> {
    if let Some(grace) = pool.spec.drain.as_ref().and_then(|drain| drain.grace_period) {
        return Ok(grace.whole_seconds());
    }
    let unlimited = || {
        Refusal::new(
            reasons::TASK_REFUSED,
            "timeLimit none needs drain.gracePeriod: how long a pod that is told to stop may wait for its tasks",
        )
    };
    // Whatever a queue holds may have any name that the pool runs.
    let of_queues = || queues.iter().map(|queue| queue.limits.hard.or(defaults.hard));
    let of_task = |task: &Task| match task.limits.hard {
        Some(hard) => vec![Some(hard)],
        None => of_queues().collect(),
    };
    let unlisted = match pool.spec.mode {
        // A task that is not listed does not run.
        Mode::Exec => Vec::new(),
        // It runs by its queue's limits.
        Mode::Serve => of_queues().collect(),
        // A worker of Celery's has one limit for all queues.
        Mode::Celery => vec![defaults.hard],
    };
    let mut longest = std::time::Duration::ZERO;
    for hard in tasks.values().flat_map(of_task).chain(unlisted) {
        let hard =
            std::time::Duration::try_from_secs_f64(hard.ok_or_else(unlimited)?).map_err(|_| unlimited())?;
        longest = longest.max(hard);
    }
    Ok(longest.as_secs() + u64::from(longest.subsec_nanos() > 0) + GRACE_MARGIN_SECONDS)
}

fn template(pool: &WorkerPool) -> Result<PodTemplate, Refusal> {
    let refuse = |why: &str| Err(Refusal::new(reasons::TEMPLATE_REFUSED, why));
    let template = match (&pool.spec.template, &pool.spec.image) {
        (Some(template), _) => template.clone(),
        (None, Some(image)) => short_form(image),
        (None, None) => return refuse("write image, or a template whose container task has one"),
    };
    let Some(task) = template.spec.task() else {
        return refuse(
            "one container of the template must be named task: the one whose image the tasks run in",
        );
    };
    let named = |list: Option<&serde_json::Value>, key: &str, test: &dyn Fn(&str) -> bool| {
        let items = list.and_then(serde_json::Value::as_array);
        items.into_iter().flatten().any(|item| item[key].as_str().is_some_and(test))
    };
    if named(template.spec.rest.get("volumes"), "name", &|name| name.starts_with(paths::VOLUME_PREFIX)) {
        return refuse("volumes whose names start with petiole- are Petiole's own: choose another name");
    }
    if named(task.rest.get("volumeMounts"), "mountPath", &paths::is_ours) {
        return refuse("the container task cannot mount anything below /petiole: Petiole's runner is there");
    }
    if named(task.rest.get("env"), "name", &|name| name == petiole_contract::serve::SOCKET) {
        return refuse("PETIOLE_SOCKET is set by Petiole: leave it out of the container task's env");
    }
    if pool.spec.mode == Mode::Celery {
        celery::check(task)?;
    }
    Ok(template)
}

fn short_form(image: &str) -> PodTemplate {
    let task = TemplateContainer {
        name: names::TASK.to_owned(),
        image: Some(image.to_owned()),
        ..TemplateContainer::default()
    };
    PodTemplate {
        spec: TemplateSpec { containers: vec![task], ..TemplateSpec::default() },
        ..PodTemplate::default()
    }
}

#[cfg(test)]
mod tests;
