//! The image's own worker: how it is started, and when it counts as stuck.

use std::time::Duration;

use petiole_api::WorkerPool;
use petiole_api::conditions::reasons;
use petiole_api::template::TemplateContainer;
use petiole_contract::pool::Queue;

use crate::pool::paths;
use crate::refusal::Refusal;

/// The image's own worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Celery {
    /// How it is started, up to what we set.
    pub command: Vec<String>,
    /// After so long without a word it is stuck.
    pub silence: Option<Duration>,
}

pub(super) fn celery(pool: &WorkerPool, queues: &[Queue]) -> Result<Celery, Refusal> {
    if let Some(queue) = queues.iter().find(|queue| queue.name.contains(',')) {
        return Err(Refusal::new(
            reasons::TASK_REFUSED,
            format!(
                "celery worker cannot be told of the queue {}: its option -Q parts names at commas. Give the \
                 TaskQueue's queue another name",
                queue.name
            ),
        ));
    }
    let celery = pool.spec.celery.as_ref().ok_or_else(|| {
        Refusal::new(
            reasons::TASK_REFUSED,
            "mode Celery needs celery.app: the application that the image's celery worker runs",
        )
    })?;
    let mut command = celery.command.clone();
    command.extend(["-A", &celery.app, "worker"].map(str::to_owned));
    command.extend(celery.options.iter().cloned());
    Ok(Celery { command, silence: celery.silence.finite().map(petiole_api::duration::Duration::get) })
}

/// What the template cannot say of the container of the tasks, because we do.
pub(super) fn check(task: &TemplateContainer) -> Result<(), Refusal> {
    let env = task.rest.get("env").and_then(serde_json::Value::as_array);
    if env.into_iter().flatten().any(|one| one["name"] == paths::POD_NAME) {
        return Err(Refusal::new(
            reasons::TEMPLATE_REFUSED,
            "POD_NAME is set by Petiole: leave it out of the container task's env",
        ));
    }
    Ok(())
}
