//! scale: how many pods a pool has. Its arithmetic is the crate `petiole-scale`'s.
//!
//! ```text
//!   sampler ──each second──> look ──signal──> decide ──> decisions ──wakes──> build ──> [scale] ──> apply ──> status
//!   stores ─────────────────┘                                  └─────wanted──> drain ──┘
//!                                                                               └──wishes──> workers
//! ```
//!
//! - [`spec`]: what the user asked for. [`signal`]: what there is to do, and how long tasks take.
//! - [`decisions`]: what was decided last, and the history that it came from. [`look`] makes them.
//! - [`autoscaler`]: where an autoscaler of Kubernetes says how many pods there are.
//! - [`said`]: what is said of it in status and conditions.
//! - [`drain`]: who is to drain, and how many pods may go by now; [`drains`] are those under way. [`choice`]: in which order
//!   pods go. [`marks`]: how a `ReplicaSet` knows.
//!
//! The leader decides, and nobody else. It knows nothing when it begins: what runs then counts as what was right, so that
//! a restart or another leader moves no pod by itself.

pub mod autoscaler;
mod choice;
pub mod decisions;
pub(super) mod drain;
pub mod drains;
pub mod look;
mod marks;
pub mod said;
pub mod signal;
pub mod spec;

use k8s_openapi::api::apps::v1::Deployment;
use petiole_api::WorkerPoolStatus;
use petiole_scale::{Decision, Reason};
use serde_json::json;

pub(super) use self::marks::Mark;
use super::build::Desired;
use super::validate::Validated;

/// How many pods there should be: as the spec says, or as was decided. Before anything was decided, as many as before.
/// Pure.
pub(super) fn replicas(pool: &Validated, decision: Option<&Decision>, before: Option<i32>) -> i32 {
    if let Some(autoscaler) = &pool.autoscaler {
        return autoscaler.replicas(pool.replicas, decision.is_some(), before);
    }
    let Some(scaling) = &pool.scaling else { return pool.replicas };
    let decided = decision.map(|decision| count(decision.replicas));
    decided.or(before).unwrap_or(count(scaling.min))
}

/// Whether that holds even when nobody knows what the pods do: somebody has said so. Pure.
pub(super) fn insists(pool: &Validated, decision: Option<&Decision>) -> bool {
    pool.scaling.is_none() || decision.is_some_and(|decision| decision.reason == Reason::Fallback)
}

/// How many pods another leader, or an earlier life of this one, has wanted: as many as the Deployment wants, and fewer
/// where it was to follow some that drain. Pure.
pub(super) fn before(deployment: Option<&Deployment>, status: Option<&WorkerPoolStatus>) -> Option<i32> {
    let number = wanted_of(deployment?)?;
    let drains = status.filter(|status| status.draining_replicas > 0);
    Some(drains.and_then(|status| status.desired_replicas).map_or(number, |desired| desired.min(number)))
}

/// So many the Deployment is to have. Pure.
pub(super) fn scale(desired: &mut Desired, replicas: i32) {
    desired.deployment.body["spec"]["replicas"] = json!(replicas);
}

/// How many pods a Deployment wants.
pub fn wanted_of(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}

/// As Kubernetes counts.
pub(super) fn count(replicas: u32) -> i32 {
    i32::try_from(replicas).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
