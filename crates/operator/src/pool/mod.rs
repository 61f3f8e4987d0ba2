//! `WorkerPool`s: each becomes a Deployment and what it needs.
//!
//! ```text
//!   observe ──────> validate ──────> build ──────> scale ──────> apply ──────────> status
//!   from the        what is to be    every         how many       what differs,     conditions, figures,
//!   stores, and     built, or why    object        pods           then orphans      events
//!   one Secret      not
//! ```
//!
//! [`paths`] is where things stand in a pod. [`memory`] is why a second look at an unchanged pool makes no call.
//! [`kills`] finds what is worth an event though no condition changes with it, [`foreign`] who else scales the pool.
//! [`celery`] looks after pods whose image runs its own worker.

mod apply;
pub mod build;
pub mod celery;
pub(crate) mod foreign;
pub mod kills;
pub mod memory;
mod observe;
mod orphans;
pub mod paths;
pub mod scale;
mod status;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use petiole_api::conditions::reasons;
use petiole_api::worker_pool::Mode;
use petiole_api::{WorkerPool, WorkerPoolStatus};
use petiole_broker::Report;
use petiole_process::log::Chain;

use self::apply::{NotApplied, Target};
use self::build::Images;
use self::kills::Kills;
use self::memory::Memory;
use self::scale::autoscaler::Autoscaler;
use self::scale::decisions::{Decisions, Latest};
use self::scale::drain::{self, Seen};
use self::scale::drains::Drains;
use crate::cluster::{Cluster, ClusterError};
use crate::invalid::Invalid;
use crate::pace::Pace;
use crate::refusal::Refusal;
use crate::sampler::{QueueKey, Sampler};
use crate::secrets::{AGE_REFUSED, Secrets};
use crate::stores::Stores;
use crate::synced::Synced;

/// After this an unchanged pool is looked at again, in case something went by unseen: a watch that begins anew does not
/// name what was removed meanwhile.
const REPAIR: Duration = Duration::from_mins(5);
/// While pods drain, their pool is looked at so often.
const DRAINING: Duration = Duration::from_secs(1);
/// After this a name that was taken is tried again.
const NAME_TAKEN_AGAIN: Duration = Duration::from_mins(1);

/// A `WorkerPool`, or an object that claims to be one.
pub type Guarded = DeserializeGuard<WorkerPool>;

/// A pool, by its namespace and name.
pub type PoolKey = (String, String);

/// What the steps need.
pub struct Context {
    /// The API server.
    pub cluster: Cluster,
    /// What is watched.
    pub stores: Stores,
    /// Whether all of it was listed once.
    pub synced: Synced,
    /// The images that are ours.
    pub images: Images,
    /// What was applied last.
    pub memory: Arc<Memory>,
    /// What was read of Secrets.
    pub secrets: Arc<Secrets>,
    /// What is known of the brokers, and of what the workers hold.
    pub sampler: Sampler,
    /// How many pods those pools should have that scale themselves.
    pub decisions: Arc<Decisions>,
    /// The drains that are under way.
    pub drains: Arc<Drains>,
    /// Whether this operator tells autoscalers of Kubernetes how much there is to do.
    pub tells_autoscalers: bool,
    /// Which kills were told of.
    pub kills: Arc<Kills>,
    /// When status is written.
    pub pace: Arc<Pace<PoolKey>>,
    /// Objects that cannot be read.
    pub invalid: Invalid,
}

/// Why a pool could not be looked after. It is tried again, ever more slowly.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// observe
    #[error("failed to observe the WorkerPool")]
    Observe(#[source] ClusterError),
    /// apply
    #[error("failed to apply what the WorkerPool is made of")]
    Apply(#[source] ClusterError),
    /// The first pod, or the last one, of a pool that an autoscaler of Kubernetes scales.
    #[error("failed to scale the WorkerPool")]
    Scale(#[source] ClusterError),
    /// status
    #[error("failed to write the status of the WorkerPool")]
    Status(#[source] ClusterError),
}

/// The object of a key, for the controller and its store.
pub fn object_ref((namespace, name): &PoolKey) -> ObjectRef<Guarded> {
    ObjectRef::new(name).within(namespace)
}

/// Looks after one pool. Only the leader does: everything here ends in a write.
pub async fn reconcile(pool: Arc<Guarded>, context: Arc<Context>) -> Result<Action, PoolError> {
    // Half of what there is would look like pods that nobody needs any more.
    if !context.cluster.leads() || !context.synced.get() {
        return Ok(Action::await_change());
    }
    let key = (pool.namespace().unwrap_or_default(), pool.name_any());
    let pool = match &pool.0 {
        Ok(pool) => pool,
        Err(invalid) => {
            let told = context.invalid.tell::<WorkerPool>(&context.cluster, invalid, &key.0, &key.1);
            told.await.map_err(PoolError::Status)?;
            return Ok(Action::await_change());
        }
    };
    // What belongs to it goes with it, by its owner references.
    let Some(owner) = pool.controller_owner_ref(&()).filter(|_| pool.meta().deletion_timestamp.is_none())
    else {
        return Ok(Action::await_change());
    };
    // From the stores; with the API server where a Secret is named.
    let observed = observe::observe(pool, &context).await.map_err(PoolError::Observe)?;
    for kill in context.kills.news(&key, kills::kills(&observed.live.pods, Timestamp::now())) {
        let name = format!("{}.{}", key.1, kill.id);
        let about = pool.object_ref(&());
        context.cluster.warn_once(&about, kill.pod, name, kill.reason, &kill.note).await;
    }
    // Pure, but for what apply sends.
    let validated = validate::validate(pool, &observed.queues)
        .and_then(|validated| validated.with_certificates(observed.certificates.as_ref()));
    let latest = context.decisions.latest(&key);
    if let (Ok(Some(autoscaler)), true) = (scale::spec::autoscaler(pool), context.tells_autoscalers) {
        activate(pool, &key, &autoscaler, latest.as_ref(), &context).await?;
    }
    let outcome = match validated {
        Ok(validated) => {
            let latest = latest.as_ref();
            apply(&key, &validated, &owner, &observed.live, pool.status.as_ref(), latest, &context).await?
        }
        Err(refusal) => Err(refusal),
    };
    if let (Ok(applied), Some(latest)) = (&outcome, &latest)
        && matches!(scale::spec::scaling(pool), Ok(Some(_)))
        && let Some(before) = context.decisions.announce(&key, applied.replicas)
    {
        let (reason, note) = scale::said::announcement(before, applied.replicas, &latest.decision);
        context.cluster.tell(&pool.object_ref(&()), reason, true, &note).await;
    }
    // Pure, but for the write that it may ask for.
    let known = status::Known {
        live: &observed.live,
        latest: latest.as_ref(),
        worker_image: &context.images.worker,
        tells_autoscalers: context.tells_autoscalers,
    };
    let status = status::status(pool, &outcome, &known, Timestamp::now());
    let change = status::change(pool.status.as_ref(), &status);
    if let Some(wait) = context.pace.due(&key, change) {
        if !wait.is_zero() {
            return Ok(Action::requeue(wait.min(again(pool, &outcome, &observed.live))));
        }
        context.pace.turn(&key).await;
        let written = context.cluster.write_status::<WorkerPool>(&key.0, &key.1, &status);
        written.await.map_err(PoolError::Status)?;
        for news in status::news(pool.status.as_ref(), &status) {
            context.cluster.tell(&pool.object_ref(&()), &news.reason, news.good, &news.message).await;
        }
    }
    Ok(match outcome {
        // What is in the way is not watched: it is not ours.
        Err(refusal) if refusal.reason == reasons::NAME_TAKEN => Action::requeue(NAME_TAKEN_AGAIN),
        // Nor are Secrets.
        Err(_) if observed.certificates.is_some() => Action::requeue(AGE_REFUSED),
        _ => Action::requeue(again(pool, &outcome, &observed.live)),
    })
}

/// When a pool is looked at again in any case.
fn again(pool: &WorkerPool, outcome: &Result<apply::Applied, Refusal>, live: &observe::Live) -> Duration {
    match outcome {
        Ok(applied) if applied.drain_goes_on => DRAINING,
        _ if pool.spec.mode == Mode::Celery => {
            celery::silent::due(&live.pods, Timestamp::now()).map_or(REPAIR, |due| due.min(REPAIR))
        }
        _ => REPAIR,
    }
}

/// Writes the pool's `replicas` where there is to be the first pod, or no pod any more. What follows from it is done when the
/// pool comes by with it.
async fn activate(
    pool: &WorkerPool,
    key: &PoolKey,
    autoscaler: &Autoscaler,
    latest: Option<&Latest>,
    context: &Context,
) -> Result<(), PoolError> {
    let (written, Some(latest)) = (pool.spec.replicas, latest) else { return Ok(()) };
    let Some(to) = autoscaler.write(written, Some(&latest.decision)) else { return Ok(()) };
    let scaled = context.cluster.scale::<WorkerPool>(&key.0, &key.1, pool.resource_version(), to).await;
    if scaled.map_err(PoolError::Scale)? {
        let (reason, note) = autoscaler.announcement(written, to, &latest.decision);
        context.cluster.tell(&pool.object_ref(&()), reason, true, &note).await;
    }
    Ok(())
}

async fn apply(
    key: &PoolKey,
    pool: &validate::Validated,
    owner: &OwnerReference,
    live: &observe::Live,
    status: Option<&WorkerPoolStatus>,
    latest: Option<&Latest>,
    context: &Context,
) -> Result<Result<apply::Applied, Refusal>, PoolError> {
    let mut desired = build::build(pool, owner, &context.images);
    let decision = latest.map(|latest| &latest.decision);
    let deployment = live.deployment.as_deref();
    let wanted = scale::replicas(pool, decision, scale::before(deployment, status));
    let queue = QueueKey { namespace: key.0.clone(), name: pool.first_task_queue.clone() };
    let reports = context.sampler.loads(&queue).map(|reports| of_pool(key, &reports));
    let plan = context.drains.look(
        key,
        &Seen {
            pods: &live.pods,
            reports: reports.as_deref(),
            wanted,
            insists: scale::insists(pool, decision),
            number: deployment.and_then(scale::wanted_of),
            grace: SignedDuration::from_secs(pool.grace_seconds.try_into().unwrap_or(i64::MAX)),
            now: Timestamp::now(),
        },
    );
    if !plan.wishes.is_empty()
        && let Err(error) = context.sampler.wish(&queue, &plan.wishes, drain::LASTS).await
    {
        // That the broker cannot be asked is said with its queues; the next look tries again.
        tracing::debug!(error = %Chain(&error), "workers could not be told what to do");
    }
    scale::scale(&mut desired, plan.replicas);
    let target = Target {
        cluster: &context.cluster,
        memory: &context.memory,
        pool: key,
        owner: &owner.uid,
        tells_autoscalers: context.tells_autoscalers,
    };
    match apply::apply(&target, &desired, &plan.marks, live).await {
        Ok(deployment) => Ok(Ok(apply::Applied {
            deployment,
            replicas: wanted,
            draining: plan.draining,
            drain_goes_on: plan.goes_on,
        })),
        Err(NotApplied::Refused(refusal)) => Ok(Err(refusal)),
        Err(NotApplied::Failed(error)) => Err(PoolError::Apply(error)),
    }
}

/// What the workers of a pool say.
fn of_pool(key: &PoolKey, reports: &[Report]) -> Vec<Report> {
    let of_pool = |report: &&Report| (&report.namespace, &report.pool) == (&key.0, &key.1);
    reports.iter().filter(of_pool).cloned().collect()
}

#[cfg(test)]
mod tests;
