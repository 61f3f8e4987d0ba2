//! A pool whose image runs its own worker.

use serde_json::json;

use super::{BROKER, RESULTS, shop_queue, words};
use crate::celery::Celery;
use crate::duration::{Duration, TimeLimit};
use crate::scaling::Scaling;
use crate::task_queue::TaskQueue;
use crate::template::{PodTemplate, TemplateContainer, TemplateSpec};
use crate::worker_pool::{Mode, QueueRef, WorkerPool, WorkerPoolSpec};

/// A queue of Celery's own workers.
pub fn invoices_queue() -> TaskQueue {
    TaskQueue::new("invoices", shop_queue())
}

/// A pool of mode `Celery`.
pub fn invoices_pool() -> WorkerPool {
    let more = json!({
        "env": [
            { "name": "CELERY_BROKER_URL", "value": BROKER },
            { "name": "CELERY_RESULT_BACKEND", "value": RESULTS },
        ],
        "resources": { "requests": { "cpu": "250m", "memory": "256Mi" } },
    });
    let container = TemplateContainer {
        name: "task".to_owned(),
        image: Some("registry.example/invoices:1".to_owned()),
        rest: more.as_object().cloned().unwrap_or_default(),
        ..Default::default()
    };
    WorkerPool::new(
        "invoices",
        WorkerPoolSpec {
            queues: vec![QueueRef::new("invoices")],
            scaling: Some(Scaling {
                min_replicas: 1,
                max_replicas: Some(10),
                messages_per_replica: Some(20),
                ..Default::default()
            }),
            concurrency: 4,
            mode: Mode::Celery,
            template: Some(PodTemplate {
                spec: TemplateSpec { containers: vec![container], ..Default::default() },
                ..Default::default()
            }),
            celery: Some(Celery {
                options: words(&["--loglevel=INFO", "--max-tasks-per-child=100"]),
                ..Celery::new("invoices.celery:app")
            }),
            time_limit: Duration::from_secs(600).map_or(TimeLimit::HOUR, TimeLimit::After),
            ..Default::default()
        },
    )
}
