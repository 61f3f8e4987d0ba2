//! The objects around the pods.

use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use petiole_api::names;
use serde_json::{Value, json};

use super::Manifest;
use crate::pool::paths;
use crate::pool::validate::Validated;

/// How many old `ReplicaSet`s stay. Undoing a roll-out is done on the `WorkerPool`; one is enough to see what changed.
const OLD_REPLICA_SETS: u32 = 1;

/// Characters of the hash in a ConfigMap's name: 40 bits, among the few files that one pool has at a time.
const HASH_LENGTH: usize = 10;

/// The labels of everything that belongs to a pool.
pub(super) fn labels(pool: &Validated) -> Value {
    json!({
        names::POOL: pool.name,
        names::APP_NAME: names::APP,
        names::APP_INSTANCE: pool.name,
        names::APP_COMPONENT: names::COMPONENT,
        names::MANAGED_BY: names::OPERATOR,
    })
}

/// The selector of the pool's pods. It can never be changed, so it holds nothing that could.
pub(super) fn selector(pool: &Validated) -> Value {
    json!({ "matchLabels": { names::POOL: pool.name } })
}

pub(super) fn manifest(
    api_version: &str,
    kind: &str,
    name: String,
    pool: &Validated,
    owner: &OwnerReference,
) -> Manifest {
    let body = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": pool.namespace,
            "labels": labels(pool),
            "ownerReferences": [owner],
        },
    });
    Manifest { name, body }
}

/// An identity without rights: neither the worker nor the tasks speak to the API server.
pub(super) fn service_account(pool: &Validated, owner: &OwnerReference) -> Manifest {
    let mut account = manifest("v1", "ServiceAccount", pool.name.clone(), pool, owner);
    account.body["automountServiceAccountToken"] = json!(false);
    account
}

/// The pool's file. It is immutable and named by its content: a pod keeps the one that it started with, and a
/// changed one rolls the pods.
pub(super) fn config_map(pool: &Validated, owner: &OwnerReference, file: &str) -> Manifest {
    let digest = ring::digest::digest(&ring::digest::SHA256, file.as_bytes());
    let mut name = format!("{}-", pool.name);
    for byte in &digest.as_ref()[..HASH_LENGTH / 2] {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    let mut map = manifest("v1", "ConfigMap", name, pool, owner);
    map.body["immutable"] = json!(true);
    map.body["data"] = json!({ paths::POOL_FILE: file });
    map
}

/// Evictions drain a few pods at a time. It protects the rate of work, not the tasks: those have the grace period.
pub(super) fn budget(pool: &Validated, owner: &OwnerReference) -> Manifest {
    let mut budget = manifest("policy/v1", "PodDisruptionBudget", pool.name.clone(), pool, owner);
    budget.body["spec"] = json!({
        "maxUnavailable": "25%",
        "selector": selector(pool),
        // A pod that takes no tasks holds up no node's drain.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    });
    budget
}

/// How many pods there are is set by [`scale`](crate::pool::scale).
pub(super) fn deployment(pool: &Validated, owner: &OwnerReference, pod: &Value) -> Manifest {
    let mut deployment = manifest("apps/v1", "Deployment", pool.name.clone(), pool, owner);
    deployment.body["spec"] = json!({
        "selector": selector(pool),
        "revisionHistoryLimit": OLD_REPLICA_SETS,
        // Pods of a spec that does not start never cost one of a spec that does.
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": 0 } },
        "template": pod,
    });
    deployment
}
