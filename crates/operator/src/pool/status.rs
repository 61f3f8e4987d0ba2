//! status: what was applied or refused, and how its pods are → the status of a pool. Pure.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use petiole_api::conditions::{self, DEGRADED, Fact, PROGRESSING, READY, SCALING_ACTIVE, Status, reasons};
use petiole_api::worker_pool::Mode;
use petiole_api::{WorkerPool, WorkerPoolStatus, names};

use super::apply::Applied;
use super::celery;
use super::foreign;
use super::observe::Live;
use super::orphans::is_rolled_out;
use super::scale::decisions::Latest;
use super::scale::{autoscaler, said, spec, wanted_of};
use crate::news::{self, News};
use crate::pace::Change;
use crate::refusal::Refusal;

/// Why a container waits that does not start by itself.
const FAILING: [&str; 8] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// What is known beside the outcome.
pub(super) struct Known<'a> {
    /// What the pool is made of.
    pub(super) live: &'a Live,
    /// How many pods it should have, where it scales itself.
    pub(super) latest: Option<&'a Latest>,
    /// The worker's image.
    pub(super) worker_image: &'a str,
    /// Whether the operator tells autoscalers of Kubernetes how much there is to do.
    pub(super) tells_autoscalers: bool,
}

/// The status, as it is known now.
pub(super) fn status(
    pool: &WorkerPool,
    outcome: &Result<Applied, Refusal>,
    known: &Known<'_>,
    now: Timestamp,
) -> WorkerPoolStatus {
    let Known { live, latest: decided, worker_image, tells_autoscalers } = *known;
    let before = pool.status.clone().unwrap_or_default();
    let deployment = match outcome {
        Ok(applied) => Some(&applied.deployment),
        // What ran before still runs.
        Err(_) => live.deployment.as_deref(),
    };
    let scaling = spec::scaling(pool).ok().flatten();
    // What is decided of others is whether there are pods at all.
    let latest = decided.filter(|_| scaling.is_some());
    let by_kubernetes = spec::autoscaler(pool).ok().flatten().map(|autoscaler| {
        let seen =
            autoscaler::Seen { told: tells_autoscalers, live: live.autoscaler.as_deref(), latest: decided };
        autoscaler.active(pool.spec.replicas, &seen)
    });
    let owner = pool.meta().uid.as_deref().unwrap_or_default();
    let foreign = foreign::scaler(pool, live, owner).map(|foreign| bad(foreign.reason, foreign.message));
    let also = silent(pool, live, now).or(foreign);
    let wanted = match outcome {
        Ok(applied) => applied.replicas,
        Err(_) if scaling.is_some() => deployment.and_then(wanted_of).unwrap_or_default(),
        Err(_) => pool.spec.replicas,
    };
    let stood = conditions::find(&before.conditions, SCALING_ACTIVE).cloned();
    let stood = stood.filter(|_| scaling.is_some() && latest.is_none());
    let counts = deployment.and_then(|deployment| deployment.status.as_ref());
    let generation = pool.meta().generation;
    WorkerPoolStatus {
        observed_generation: generation,
        desired_replicas: Some(wanted),
        replicas: counts.and_then(|counts| counts.replicas).unwrap_or_default(),
        ready_replicas: counts.and_then(|counts| counts.ready_replicas).unwrap_or_default(),
        draining_replicas: outcome.as_ref().map_or(0, |applied| applied.draining),
        selector: Some(format!("{}={}", names::POOL, pool.name_any())),
        worker_image: match outcome {
            Ok(_) => (pool.spec.mode != Mode::Celery).then(|| worker_image.to_owned()),
            Err(_) => before.worker_image,
        },
        // Who has only just begun to lead has decided nothing yet: what was said before stands.
        last_decision: scaling
            .as_ref()
            .and_then(|_| latest.map(|latest| said::decision(&latest.decision)).or(before.last_decision)),
        last_scaled: latest.and_then(said::scaled).or(before.last_scaled),
        conditions: conditions::keep(
            &before.conditions,
            facts(wanted, outcome.as_ref().err(), deployment, live, also)
                .into_iter()
                .chain(by_kubernetes)
                .chain(scaling.as_ref().filter(|_| stood.is_none()).map(|one| said::active(one, latest)))
                .collect(),
            generation,
            now,
        )
        .into_iter()
        .chain(stood)
        .collect(),
    }
}

fn facts(
    wanted: i32,
    refusal: Option<&Refusal>,
    deployment: Option<&Deployment>,
    live: &Live,
    also: Option<Finding>,
) -> Vec<Fact> {
    let degraded = match refusal {
        Some(refusal) => bad(refusal.reason, refusal.message.clone()),
        None => pods_refused(deployment).or_else(|| pods_failing(live)).or(also).unwrap_or_else(|| {
            (Status::False, reasons::AS_WANTED, "the pods are as they are wanted".to_owned())
        }),
    };
    let progressing = progressing(wanted, deployment);
    let ready = ready(wanted, refusal, &degraded, deployment);
    let fact = |kind, (status, reason, message)| Fact { kind, status, reason, message };
    vec![fact(READY, ready), fact(PROGRESSING, progressing), fact(DEGRADED, degraded)]
}

type Finding = (Status, &'static str, String);

fn bad(reason: &'static str, message: String) -> Finding {
    (Status::True, reason, message)
}

/// The API server does not make the pods: Pod Security, a quota, a webhook.
fn pods_refused(deployment: Option<&Deployment>) -> Option<Finding> {
    let conditions = deployment?.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|one| one.type_ == "ReplicaFailure" && one.status == "True")?;
    let says = failure.message.as_deref().unwrap_or_default();
    Some(bad(reasons::PODS_REFUSED, format!("the API server refuses the pods: {says}")))
}

/// A container waits for what does not come by itself.
fn pods_failing(live: &Live) -> Option<Finding> {
    live.pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).find_map(|pod| pod_failing(pod))
}

fn pod_failing(pod: &Pod) -> Option<Finding> {
    let status = pod.status.as_ref()?;
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten()).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().filter(|reason| FAILING.contains(reason))?;
        let says = waiting.message.as_deref().unwrap_or_default();
        let message = format!("container {} of pod {}: {reason}: {says}", container.name, pod.name_any());
        Some(bad(reasons::PODS_FAILING, message))
    })
}

/// The workers are the image's own, and none is heard.
fn silent(pool: &WorkerPool, live: &Live, now: Timestamp) -> Option<Finding> {
    let queue = pool.spec.queues.first().filter(|_| pool.spec.mode == Mode::Celery)?;
    celery::silent::silent(&live.pods, &queue.task_queue, now)
        .map(|message| bad(reasons::WORKERS_SILENT, message))
}

fn progressing(wanted: i32, deployment: Option<&Deployment>) -> Finding {
    let settled = || (Status::False, reasons::SETTLED, "nothing is under way".to_owned());
    let Some(deployment) = deployment else { return settled() };
    let DeploymentStatus { replicas, updated_replicas, ready_replicas, .. } =
        deployment.status.clone().unwrap_or_default();
    let (replicas, updated) = (replicas.unwrap_or_default(), updated_replicas.unwrap_or_default());
    if !is_rolled_out(deployment) {
        let message = format!("{updated} of {replicas} pods are of the current spec");
        return (Status::True, reasons::ROLLING_OUT, message);
    }
    let ready = ready_replicas.unwrap_or_default();
    if replicas != wanted || ready != wanted {
        return (Status::True, reasons::SCALING, format!("{ready} of {wanted} pods take tasks"));
    }
    settled()
}

fn ready(
    wanted: i32,
    refusal: Option<&Refusal>,
    degraded: &Finding,
    deployment: Option<&Deployment>,
) -> Finding {
    if let Some(refusal) = refusal {
        return (Status::False, refusal.reason, refusal.message.clone());
    }
    let ready =
        deployment.and_then(|deployment| deployment.status.as_ref()?.ready_replicas).unwrap_or_default();
    let current = deployment.is_some_and(|deployment| {
        let observed = deployment.status.as_ref().and_then(|status| status.observed_generation);
        observed >= deployment.metadata.generation
    });
    match degraded {
        // Fewer pods than wanted, and a reason for it.
        (Status::True, reason, message) if ready < wanted => (Status::False, reason, message.clone()),
        _ if wanted == 0 => (Status::True, reasons::NO_PODS_WANTED, "no pods are wanted".to_owned()),
        _ if current && ready >= wanted => {
            (Status::True, reasons::PODS_READY, format!("{ready} of {wanted} pods take tasks"))
        }
        _ => (Status::False, reasons::PODS_NOT_READY, format!("{ready} of {wanted} pods take tasks")),
    }
}

/// What a write of `new` would change.
pub(super) fn change(old: Option<&WorkerPoolStatus>, new: &WorkerPoolStatus) -> Change {
    let Some(old) = old else { return Change::State };
    if old.observed_generation != new.observed_generation || news::differ(&old.conditions, &new.conditions) {
        return Change::State;
    }
    let of_scaling = said::change(old, new);
    let same_decision = WorkerPoolStatus { last_decision: old.last_decision.clone(), ..new.clone() };
    match of_scaling {
        Change::None if *old != same_decision => Change::Figures,
        other => other,
    }
}

/// What is worth an event.
pub(super) fn news(old: Option<&WorkerPoolStatus>, new: &WorkerPoolStatus) -> Vec<News> {
    let old = old.map_or(&[][..], |old| &old.conditions);
    let mut all = news::news(old, &new.conditions, &[DEGRADED], Status::False);
    all.extend(news::news(old, &new.conditions, &[SCALING_ACTIVE], Status::True));
    all
}

#[cfg(test)]
mod tests;
