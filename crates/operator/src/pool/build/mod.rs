//! build: a validated pool → every object that it is made of. Pure.
//!
//! [`config`] is the file that its workers read, [`pod`] what its pods are, [`celery`] what they are where the image runs
//! its own worker, [`autoscaler`] what scales it where Kubernetes does, [`objects`] the rest.

mod autoscaler;
mod celery;
mod config;
mod containers;
mod objects;
mod pod;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::Value;

pub use self::config::config;
use super::validate::{Validated, Workers};
use crate::pool::paths;

/// The images that are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The worker, which also brings the runner.
    pub worker: String,
    /// When the kubelet pulls it: `IfNotPresent`, `Always` or `Never`.
    pub pull_policy: String,
}

/// Every object that a pool is made of, as it is sent to the API server.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The identity of its pods; none, where the template names one.
    pub service_account: Option<Manifest>,
    /// The file that its workers read, where they are ours. Its name holds a hash of it, and it never changes.
    pub config_map: Option<Manifest>,
    /// How many of its pods may be evicted at once.
    pub budget: Manifest,
    /// Its pods.
    pub deployment: Manifest,
    /// What sets the number of its pods, where Kubernetes does.
    pub autoscaler: Option<Manifest>,
}

/// An object, as it is sent to the API server.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// All of it.
    pub body: Value,
}

/// Everything that the pool is made of.
pub fn build(pool: &Validated, owner: &OwnerReference, images: &Images) -> Desired {
    let (config_map, pod) = match &pool.workers {
        Workers::Ours(mode) => {
            let file = config(pool, mode, &paths::in_worker, &paths::all_in_worker);
            let config_map = objects::config_map(pool, owner, &serde_json::json!(file).to_string());
            let pod = pod::template(pool, images, &config_map.name);
            (Some(config_map), pod)
        }
        Workers::Celery(celery) => (None, celery::template(pool, celery)),
    };
    Desired {
        service_account: pod::needs_service_account(pool).then(|| objects::service_account(pool, owner)),
        budget: objects::budget(pool, owner),
        deployment: objects::deployment(pool, owner, &pod),
        autoscaler: pool.autoscaler.as_ref().map(|how| autoscaler::autoscaler(pool, owner, how)),
        config_map,
    }
}

#[cfg(test)]
mod tests;
