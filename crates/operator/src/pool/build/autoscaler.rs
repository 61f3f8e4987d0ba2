//! The `HorizontalPodAutoscaler` of a pool that Kubernetes scales: on the pool's `/scale`, by what its queues hold.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use petiole_api::names;
use petiole_scale::Scaling;
use petiole_scale::scaling::{Pause, Policy, Rules, Select, Size, Target};
use serde_json::{Value, json};

use super::Manifest;
use super::objects::manifest;
use crate::external::series;
use crate::pool::scale::autoscaler::Autoscaler;
use crate::pool::validate::Validated;

/// More than any pool has: a step of any size. Kubernetes would otherwise double.
const ANY: u32 = 10_000;

pub(super) fn autoscaler(pool: &Validated, owner: &OwnerReference, how: &Autoscaler) -> Manifest {
    let mut object = manifest("autoscaling/v2", "HorizontalPodAutoscaler", pool.name.clone(), pool, owner);
    let Autoscaler(Scaling { max, target, up, down, pause, .. }) = how;
    let (no_up, no_down) = match pause {
        Pause::No => (false, false),
        Pause::In => (false, true),
        Pause::Out => (true, false),
        Pause::Both => (true, true),
    };
    let each = match target {
        Target::Messages(each) => *each,
        // Neither is the schema's to accept here.
        Target::Drain(_) | Target::Any => 1,
    };
    object.body["spec"] = json!({
        "scaleTargetRef": {
            "apiVersion": format!("{}/{}", names::GROUP, names::VERSION),
            "kind": "WorkerPool",
            "name": pool.name,
        },
        "minReplicas": how.min(),
        "maxReplicas": max,
        "metrics": [{ "type": "External", "external": {
            "metric": {
                "name": series::POOL_WORK,
                "selector": { "matchLabels": { series::WORKER_POOL: pool.name } },
            },
            "target": { "type": "AverageValue", "averageValue": each.to_string() },
        } }],
        "behavior": { "scaleUp": rules(up, no_up), "scaleDown": rules(down, no_down) },
    });
    object
}

/// Everything is said: what a cluster's own defaults are is of no account.
fn rules(rules: &Rules, paused: bool) -> Value {
    let policy = |Policy { size, period }: &Policy| {
        let (kind, value) = match size {
            Size::Pods(pods) => ("Pods", pods),
            Size::Percent(percent) => ("Percent", percent),
        };
        json!({ "type": kind, "value": value, "periodSeconds": period.as_secs() })
    };
    let mut policies: Vec<Value> = rules.policies.iter().map(policy).collect();
    if policies.is_empty() {
        policies.push(json!({ "type": "Pods", "value": ANY, "periodSeconds": 1 }));
    }
    let select = match rules.select {
        _ if paused => "Disabled",
        Select::Max => "Max",
        Select::Min => "Min",
        Select::Disabled => "Disabled",
    };
    json!({
        "stabilizationWindowSeconds": rules.window.as_secs(),
        "selectPolicy": select,
        "policies": policies,
    })
}
