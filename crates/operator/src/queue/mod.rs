//! `TaskQueue`s: the broker and the result store are watched, and what was seen stands in the status.
//!
//! ```text
//!   observe ──────> validate ──────> build ──────> apply ──────> status
//!   Secret keys     addresses,       what to       to the        conditions, figures,
//!                   or refusals      ask           sampler       events
//! ```
//!
//! One that is being deleted is looked after until it has gone; then [`leave`] sees to what it leaves behind.

mod apply;
mod build;
pub mod leave;
mod observe;
mod status;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use petiole_api::{TaskQueue, TaskQueueStatus};

use crate::cluster::{Cluster, ClusterError};
use crate::invalid::Invalid;
use crate::pace::{FIGURES, Pace};
use crate::sampler::{QueueKey, Sampler};
use crate::secrets::Secrets;

/// A `TaskQueue`, or an object that claims to be one.
pub type Guarded = DeserializeGuard<TaskQueue>;

/// What the steps need.
pub struct Context {
    /// The API server.
    pub cluster: Cluster,
    /// What asks the brokers.
    pub sampler: Sampler,
    /// What was read of Secrets.
    pub secrets: Secrets,
    /// When status is written.
    pub pace: Arc<Pace<QueueKey>>,
    /// Objects that cannot be read.
    pub invalid: Invalid,
}

/// Why a `TaskQueue` could not be looked after. It is tried again, ever more slowly.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// observe
    #[error("failed to observe the TaskQueue")]
    Observe(#[source] ClusterError),
    /// status
    #[error("failed to write the status of the TaskQueue")]
    Status(#[source] ClusterError),
}

/// The key of an object, for the sampler.
pub fn key(queue: &impl ResourceExt) -> QueueKey {
    QueueKey { namespace: queue.namespace().unwrap_or_default(), name: queue.name_any() }
}

/// The object of a key, for the controller.
pub fn object_ref(key: &QueueKey) -> ObjectRef<Guarded> {
    ObjectRef::new(&key.name).within(&key.namespace)
}

/// Looks after one `TaskQueue`. Every replica samples; the leader alone writes.
pub async fn reconcile(queue: Arc<Guarded>, context: Arc<Context>) -> Result<Action, QueueError> {
    let key = key(&*queue);
    let queue = match &queue.0 {
        Ok(queue) => queue,
        Err(invalid) => {
            context.sampler.forget(&key);
            let told =
                context.invalid.tell::<TaskQueue>(&context.cluster, invalid, &key.namespace, &key.name);
            told.await.map_err(QueueError::Status)?;
            return Ok(Action::await_change());
        }
    };
    // With the API server.
    let secrets = observe::observe(queue, &key, &context).await.map_err(QueueError::Observe)?;
    // Pure.
    let validated = validate::validate(queue, &secrets);
    let watch = build::build(&validated);
    // In this process only.
    let leaves = queue.meta().deletion_timestamp.is_some();
    let applied = apply::apply(&context.sampler, &key, watch, leaves);
    if !context.cluster.leads() {
        return Ok(Action::requeue(FIGURES));
    }
    // Pure, but for the write that it may ask for.
    let status = status::status(queue, &validated, &applied, Timestamp::now());
    let next = write(queue, &key, &status, &context).await?;
    Ok(Action::requeue(next))
}

/// Writes the status, if it is time. Says when to look again.
async fn write(
    queue: &TaskQueue,
    key: &QueueKey,
    status: &TaskQueueStatus,
    context: &Context,
) -> Result<Duration, QueueError> {
    let change = status::change(queue.status.as_ref(), status);
    let Some(wait) = context.pace.due(key, change) else { return Ok(FIGURES) };
    if !wait.is_zero() {
        return Ok(wait);
    }
    context.pace.turn(key).await;
    let written = context.cluster.write_status::<TaskQueue>(&key.namespace, &key.name, status);
    written.await.map_err(QueueError::Status)?;
    for news in status::news(queue.status.as_ref(), status) {
        context.cluster.tell(&queue.object_ref(&()), &news.reason, news.good, &news.message).await;
    }
    Ok(FIGURES)
}

#[cfg(test)]
mod tests;
