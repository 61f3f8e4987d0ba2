//! scale: how many pods a pool has. Its arithmetic is the crate `petiole-scale`'s.
//!
//! ```text
//!   sampler ──each second──> look ──signal──> decide ──> decisions ──wakes──> build ──> [scale] ──> apply ──> status
//!   stores ─────────────────┘                                  └──────────────────────────┘
//! ```
//!
//! - [`spec`]: what the user asked for. [`signal`]: what there is to do, and how long tasks take.
//! - [`decisions`]: what was decided last, and the history that it came from. [`look`] makes them.
//! - [`autoscaler`]: where an autoscaler of Kubernetes says how many pods there are.
//! - [`said`]: what is said of it in status and conditions. [`marks`]: which pods go first.
//!
//! The leader decides, and nobody else. It knows nothing when it begins: what runs then counts as what was right, so that
//! a restart or another leader moves no pod by itself.

pub mod autoscaler;
pub mod decisions;
pub mod look;
mod marks;
pub mod said;
pub mod signal;
pub mod spec;

use k8s_openapi::api::apps::v1::Deployment;
use petiole_scale::Decision;
use serde_json::json;

pub(super) use self::marks::{Mark, marks};
use super::build::Desired;
use super::validate::Validated;

/// How many pods there should be: as the spec says, or as was decided. Before anything was decided what runs stays. Pure.
pub(super) fn replicas(pool: &Validated, decision: Option<&Decision>, live: Option<&Deployment>) -> i32 {
    if let Some(autoscaler) = &pool.autoscaler {
        return autoscaler.replicas(pool.replicas, decision.is_some(), live.and_then(wanted_of));
    }
    let Some(scaling) = &pool.scaling else { return pool.replicas };
    let decided = decision.map(|decision| count(decision.replicas));
    decided.or_else(|| wanted_of(live?)).unwrap_or(count(scaling.min))
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
