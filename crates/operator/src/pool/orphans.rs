//! What a pool no longer needs. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use petiole_api::names;

use super::build::Desired;
use super::observe::Live;
use crate::cluster::is_controlled_by;
use crate::stores::has_ended;

/// An object to remove, if it is still the one with this UID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Orphan {
    ConfigMap { name: String, uid: Option<String> },
    ServiceAccount { name: String, uid: Option<String> },
    Autoscaler { name: String, uid: Option<String> },
}

/// The autoscaler that is the pool's and no longer wanted. No pod needs it: it goes at once, so that nobody else writes what
/// the operator does.
pub(super) fn autoscaler(desired: &Desired, live: &Live, owner: &str) -> Option<Orphan> {
    let left = live.autoscaler.as_ref().filter(|one| is_controlled_by(&***one, Some(owner)));
    left.filter(|_| desired.autoscaler.is_none())
        .map(|one| Orphan::Autoscaler { name: one.name_any(), uid: one.uid() })
}

/// What is the pool's and neither wanted nor used: while pods are being replaced, the old ones need what they started
/// with, and more of them may yet start.
pub(super) fn orphans(desired: &Desired, live: &Live, deployment: &Deployment, owner: &str) -> Vec<Orphan> {
    if !is_rolled_out(deployment) {
        return Vec::new();
    }
    let Desired { service_account, config_map, budget: _, deployment: _, autoscaler: _ } = desired;
    let used: BTreeSet<&str> = live
        .pods
        .iter()
        .filter(|pod| !has_ended(pod))
        .filter_map(|pod| pod.annotations().get(names::CONFIG))
        .map(String::as_str)
        .chain(config_map.iter().map(|map| map.name.as_str()))
        .collect();
    let maps = live
        .config_maps
        .iter()
        .filter(|map| is_controlled_by(&***map, Some(owner)) && !used.contains(map.name_any().as_str()))
        .map(|map| Orphan::ConfigMap { name: map.name_any(), uid: map.uid() });
    let accounts = live
        .service_account
        .iter()
        .filter(|account| service_account.is_none() && is_controlled_by(&***account, Some(owner)))
        .map(|account| Orphan::ServiceAccount { name: account.name_any(), uid: account.uid() });
    maps.chain(accounts).collect()
}

/// Whether every pod is of the spec that the Deployment has.
pub(super) fn is_rolled_out(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    let replicas = status.replicas.unwrap_or_default();
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or_default() == replicas
}
