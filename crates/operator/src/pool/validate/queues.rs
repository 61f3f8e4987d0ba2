//! The `TaskQueue`s of a pool: whether one worker can serve them all, and what it is told of each.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use petiole_api::conditions::reasons;
use petiole_api::connection::{Broker, Results};
use petiole_api::worker_pool::QueueRef;
use petiole_api::{TaskQueue, WorkerPool};
use petiole_contract::pool::{Limits, Queue};

use super::{retry, seconds, worker_limit};
use crate::refusal::Refusal;

/// The `TaskQueue`s that a pool names, in its order.
pub(super) fn resolve<'a>(
    pool: &WorkerPool,
    queues: &'a BTreeMap<String, TaskQueue>,
) -> Result<Vec<&'a TaskQueue>, Refusal> {
    let find = |queue: &QueueRef| {
        let name = &queue.task_queue;
        queues.get(name).ok_or_else(|| {
            Refusal::new(
                reasons::TASK_QUEUE_NOT_FOUND,
                format!(
                    "there is no TaskQueue {name} in this namespace: create it, or correct queues[].taskQueue"
                ),
            )
        })
    };
    pool.spec.queues.iter().map(find).collect()
}

/// Two queues are on one broker when a worker could serve both by one connection: same server, same credentials, same
/// prefix. Steps and visibility timeouts are each queue's own.
pub(super) fn one_broker(queues: &[&TaskQueue]) -> Result<Broker, Refusal> {
    same(queues, |queue| queue.spec.broker.connection()).map_err(|(one, other)| {
        Refusal::new(
            reasons::BROKERS_DIFFER,
            format!(
                "the TaskQueues {one} and {other} are on different brokers, or name different credentials or key \
                 prefixes: a pool has one broker; make a pool for each"
            ),
        )
    })?;
    Ok(queues.first().map(|queue| queue.spec.broker.clone()).unwrap_or_default())
}

pub(super) fn one_store(queues: &[&TaskQueue]) -> Result<Option<Results>, Refusal> {
    same(queues, |queue| &queue.spec.results).map_err(|(one, other)| {
        Refusal::new(
            reasons::RESULTS_DIFFER,
            format!(
                "the TaskQueues {one} and {other} differ in results, in where they are stored, for how long or \
                 whether they are extended: a pool has one result store; write the same for both, or make a pool for \
                 each"
            ),
        )
    })?;
    Ok(queues.first().and_then(|queue| queue.spec.results.clone()))
}

/// The names of two queues that differ in what `of` says of them.
fn same<'a, T: PartialEq>(
    queues: &[&'a TaskQueue],
    of: impl Fn(&'a TaskQueue) -> T,
) -> Result<(), (String, String)> {
    let Some((first, rest)) = queues.split_first() else { return Ok(()) };
    match rest.iter().find(|other| of(other) != of(first)) {
        Some(other) => Err((first.name_any(), other.name_any())),
        None => Ok(()),
    }
}

/// The queues as a worker is told of them, each with its weight in this pool.
pub(super) fn each_once(
    pool: &WorkerPool,
    queues: &[&TaskQueue],
    defaults: &Limits,
) -> Result<Vec<Queue>, Refusal> {
    let mut seen = BTreeSet::new();
    let queue = |(queue, entry): (&&TaskQueue, &QueueRef)| {
        let name = queue.queue();
        if !seen.insert(name.clone()) {
            return Err(Refusal::new(
                reasons::QUEUE_TWICE,
                format!(
                    "two of the TaskQueues are the same queue {name} on the broker: leave one of them out"
                ),
            ));
        }
        Ok(Queue {
            name,
            priority_steps: queue.spec.broker.redis.priority_steps.clone(),
            visibility_timeout: queue.spec.broker.redis.visibility_timeout.whole_seconds(),
            dead_letter: queue.dead_letter_queue(),
            limits: limits(queue, defaults),
            retry: queue.spec.retry.as_ref().map(retry),
            max_deliveries: Some(queue.spec.dead_letter.max_deliveries),
            weight: entry.weight,
        })
    };
    queues.iter().zip(&pool.spec.queues).map(queue).collect()
}

/// A queue's own limits, cut to the longest that any task of the pool may run.
fn limits(queue: &TaskQueue, most: &Limits) -> Limits {
    let hard = queue.spec.time_limit.and_then(worker_limit);
    Limits {
        hard: hard.map(|hard| most.hard.map_or(hard, |most| hard.min(most))),
        soft: queue.spec.soft_time_limit.map(seconds),
    }
}
