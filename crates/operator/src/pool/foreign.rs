//! Autoscalers of Kubernetes that scale a pool in a way that cannot work. Pure.
//!
//! Each of them is named, and none is fought: what the operator is to write it writes, once each time that it was changed.

use std::sync::Arc;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;
use petiole_api::conditions::reasons;
use petiole_api::names;
use petiole_api::scaling::ScalingMode;
use petiole_api::{WorkerPool, scaling};

use super::observe::Live;
use crate::cluster::is_controlled_by;
use crate::refusal::Refusal;

/// The pool that an autoscaler is about, by the kind and the name of what it scales: a `WorkerPool`, or a Deployment, which
/// has its pool's name where it is one's.
pub(crate) fn scales(autoscaler: &HorizontalPodAutoscaler) -> Option<&str> {
    let target = &autoscaler.spec.as_ref()?.scale_target_ref;
    is_of_pool(target.api_version.as_deref(), &target.kind).then_some(&*target.name)
}

fn is_of_pool(api_version: Option<&str>, kind: &str) -> bool {
    let group = api_version.and_then(|version| version.split_once('/')).map(|(group, _)| group);
    matches!((group, kind), (Some("apps"), DEPLOYMENT) | (Some(names::GROUP), WORKER_POOL))
}

const DEPLOYMENT: &str = "Deployment";
const WORKER_POOL: &str = "WorkerPool";

/// What is to be said of the first autoscaler that scales the pool wrongly.
pub(super) fn scaler(pool: &WorkerPool, live: &Live, owner: &str) -> Option<Refusal> {
    let mode = pool.spec.scaling.as_ref().map_or(ScalingMode::Manual, |scaling| scaling.mode);
    let mut others: Vec<&Arc<HorizontalPodAutoscaler>> =
        live.autoscalers.iter().filter(|one| !is_controlled_by(&***one, Some(owner))).collect();
    others.sort_by_key(|one| one.name_any());
    others.into_iter().find_map(|other| said(pool, mode, other))
}

fn said(pool: &WorkerPool, mode: scaling::ScalingMode, other: &HorizontalPodAutoscaler) -> Option<Refusal> {
    let (pool, other_name) = (pool.name_any(), other.name_any());
    if scales(other) != Some(&pool) {
        return None;
    }
    let target = &other.spec.as_ref()?.scale_target_ref;
    let what_to_do = match (target.kind.as_str(), mode) {
        (DEPLOYMENT, _) => format!(
            "scales the Deployment {pool}, whose replicas are the operator's: let its scaleTargetRef name the WorkerPool \
             {pool} (apiVersion {}/{}, with scaling.mode: Manual), or delete it",
            names::GROUP,
            names::VERSION,
        ),
        (_, ScalingMode::Native) => {
            "cannot scale a pool that scales itself: delete it, or write scaling.mode: Manual".to_owned()
        }
        (_, ScalingMode::HorizontalPodAutoscaler) => {
            "scales the pool beside the one that the operator makes, and so neither does: delete it, or write \
             scaling.mode: Manual"
                .to_owned()
        }
        (_, ScalingMode::Manual) => return None,
    };
    let message = format!("the HorizontalPodAutoscaler {other_name} {what_to_do}");
    Some(Refusal::new(reasons::FOREIGN_SCALER, message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::pool_with;

    fn autoscaler(api_version: &str, kind: &str, owner: Option<&str>) -> Arc<HorizontalPodAutoscaler> {
        let owners: Vec<_> = owner
            .iter()
            .map(|uid| json!({ "apiVersion": "a", "kind": "b", "name": "c", "uid": uid, "controller": true }))
            .collect();
        let object = json!({
            "metadata": { "name": "theirs", "ownerReferences": owners },
            "spec": { "maxReplicas": 3,
                "scaleTargetRef": { "apiVersion": api_version, "kind": kind, "name": "resizer" } },
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn one_that_cannot_work_is_named_with_what_to_write() {
        let manual = json!({});
        let native = json!({ "scaling": { "maxReplicas": 3, "messagesPerReplica": 1 } });
        let kubernetes = json!({ "scaling": { "mode": "HorizontalPodAutoscaler", "maxReplicas": 3,
            "messagesPerReplica": 1 } });
        let deployment = ("apps/v1", "Deployment");
        let pool = ("petiole.dev/v1alpha1", "WorkerPool");
        for (spec, (api_version, kind), owner, says) in [
            (&manual, deployment, None, Some("name the WorkerPool resizer (apiVersion petiole.dev/v1alpha1")),
            (&native, deployment, None, Some("name the WorkerPool resizer")),
            (&manual, pool, None, None),
            (&native, pool, None, Some("cannot scale a pool that scales itself")),
            (&kubernetes, pool, None, Some("beside the one that the operator makes")),
            (&kubernetes, pool, Some("mine"), None),
            (&manual, ("example.com/v1", "Deployment"), None, None),
            (&manual, ("apps/v1", "StatefulSet"), None, None),
        ] {
            let live = Live { autoscalers: vec![autoscaler(api_version, kind, owner)], ..Live::default() };
            let found = scaler(&pool_with(spec.clone()), &live, "mine");
            assert_eq!(found.as_ref().map(|found| found.reason), says.map(|_| reasons::FOREIGN_SCALER));
            if let (Some(found), Some(says)) = (found, says) {
                assert!(found.message.contains("HorizontalPodAutoscaler theirs"), "{}", found.message);
                assert!(found.message.contains(says), "{}", found.message);
            }
        }
    }
}
