//! Pools whose images run their own `celery worker`: who takes tasks, and who answers no more.
//!
//! ```text
//!   sampler ──words──> [gate], [stuck] ──> pods
//!   stores ───pods────┘ └── pure ────┘
//! ```
//!
//! [`look`] looks at each such pool. [`gate`]: which pods are ready. [`stuck`]: which one is deleted. [`silent`]: pods of which
//! none was ever heard.

pub mod gate;
pub mod look;
pub mod silent;
pub mod stuck;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use petiole_api::names;

/// The pod's condition that says whether it takes tasks.
pub(super) fn takes_tasks(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == names::TAKES_TASKS)
}

/// Whether the pod is known to take tasks.
pub(super) fn is_heard(pod: &Pod) -> bool {
    takes_tasks(pod).is_some_and(|condition| condition.status == "True")
}

/// Since when the container of the tasks runs.
pub(super) fn runs_since(pod: &Pod) -> Option<Timestamp> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let task = containers.iter().find(|container| container.name == names::TASK)?;
    Some(task.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in crate::pool) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// A pod whose container has started at this second; with its condition, where it has one.
    pub(in crate::pool) fn pod(name: &str, started: i64, condition: Option<&str>) -> Pod {
        let conditions: Vec<_> = condition
            .map(|status| json!({ "type": names::TAKES_TASKS, "status": status }))
            .into_iter()
            .collect();
        let state = json!({ "running": { "startedAt": at(started).to_string() } });
        let container = json!({
            "name": "task", "ready": true, "restartCount": 0, "image": "a", "imageID": "", "state": state,
        });
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "photos", "uid": format!("uid-of-{name}") },
            "status": { "phase": "Running", "conditions": conditions, "containerStatuses": [container] },
        }))
        .unwrap()
    }
}
