//! What a pool's pods are where the image runs its own worker: the user's template, and `celery worker` in it.

use petiole_api::names;
use serde_json::{Value, json};

use super::containers::{self, append};
use super::pod;
use crate::pool::paths;
use crate::pool::validate::{Celery, Validated};

/// The pod template of the pool's Deployment. Its pods are ready when the operator has heard their workers: a probe would
/// have to import the application each time.
pub(super) fn template(pool: &Validated, celery: &Celery) -> Value {
    let adopt = |task: &mut _| containers::adopt_celery(task, &celery.command, &arguments(pool));
    let mut spec = pod::users(pool, adopt);
    append(&mut spec, "readinessGates", [json!({ "conditionType": names::TAKES_TASKS })]);
    json!({ "metadata": pod::metadata(pool), "spec": pod::finished(pool, spec) })
}

/// What we set of `celery worker`. Of options that come twice it takes the last.
fn arguments(pool: &Validated) -> Vec<String> {
    let queues: Vec<&str> = pool.queues.iter().map(|queue| queue.name.as_str()).collect();
    let seconds = |name: &str, limit: Option<f64>| limit.map(|limit| format!("--{name}={limit}"));
    let mut arguments = vec![
        format!("--hostname={}", paths::NODE_NAME),
        format!("--queues={}", queues.join(",")),
        format!("--concurrency={}", pool.concurrency),
        // Each worker would read the heartbeats of all others, which only elections need.
        "--without-gossip".to_owned(),
    ];
    arguments.extend(seconds("time-limit", pool.defaults.hard));
    arguments.extend(seconds("soft-time-limit", pool.defaults.soft));
    if pool.events {
        arguments.push("--task-events".to_owned());
    }
    arguments
}
