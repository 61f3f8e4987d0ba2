//! The pod template of a `WorkerPool`, as far as its schema goes: what Petiole has a say in is spelled out, the
//! rest is kept as it is written and checked by the API server when the operator applies it.
//!
//! It is not `k8s-openapi`'s type, which would drop the fields of a newer Kubernetes, and whose schema is larger
//! than all of ours.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A pod template whose container `task` holds the user's image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct PodTemplate {
    /// Labels and annotations of the pods.
    #[serde(default, skip_serializing_if = "TemplateMetadata::is_empty")]
    pub metadata: TemplateMetadata,
    /// The pods' spec, with a container named task. Petiole adds its own containers, volumes and restrictions to it.
    pub spec: TemplateSpec,
}

/// Labels and annotations of the pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels, beside Petiole's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    #[x_kube(validation = ("self.all(key, !key.startsWith('petiole.dev/'))",
        "labels that start with petiole.dev/ are Petiole's own: choose another name"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations, beside Petiole's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    #[x_kube(validation = ("self.all(key, !key.startsWith('petiole.dev/'))",
        "annotations that start with petiole.dev/ are Petiole's own: choose another name"))]
    pub annotations: BTreeMap<String, String>,
}

/// The pods' spec.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(self.hostPID) || !self.hostPID",
        "hostPID would show every process of the node to the task: leave it out"),
    validation = ("!has(self.shareProcessNamespace) || !self.shareProcessNamespace",
        "shareProcessNamespace would let the task read the worker's credentials: leave it out"),
    validation = ("!has(self.terminationGracePeriodSeconds)",
        "write drain.gracePeriod of the WorkerPool instead of terminationGracePeriodSeconds"),
    validation = ("!has(self.restartPolicy) || self.restartPolicy == 'Always'",
        "the pods of a pool are always restarted: leave restartPolicy out"),
    validation = ("!has(self.initContainers) || self.initContainers.all(container, !(container.name in \
                   ['worker', 'install-runner', 'task']))",
        "the names worker, install-runner and task are taken: choose another one for your init container")
)]
pub struct TemplateSpec {
    /// The containers. The one named task holds the image that tasks run in.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        validation = ("self.exists_one(container, container.name == 'task')",
            "one container must be named task: the one whose image the tasks run in"),
        validation = ("self.all(container, !(container.name in ['worker', 'install-runner']))",
            "the names worker and install-runner are taken: choose another one for your container"),
        validation = ("self.all(container, container.name != 'task' || (has(container.image) && container.image != ''))",
            "the container task needs an image"),
        validation = ("self.all(container, container.name != 'task' || (!has(container.command) && !has(container.args)))",
            "Petiole says what the container task runs: write the program into tasks[].command (mode Exec), \
             serve.command (mode Serve) or celery.command (mode Celery)")
    )]
    pub containers: Vec<TemplateContainer>,
    /// Init containers, run before Petiole's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub init_containers: Vec<TemplateContainer>,
    /// Refused: the task could see every process of its node.
    #[serde(rename = "hostPID", default, skip_serializing_if = "Option::is_none")]
    pub host_pid: Option<bool>,
    /// Refused: the task could read the worker's credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_process_namespace: Option<bool>,
    /// Refused: drain.gracePeriod of the WorkerPool says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<i64>,
    /// Always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub restart_policy: Option<String>,
    /// Everything else that a pod's spec has.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct TemplateContainer {
    /// Name of the container.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Image of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,
    /// Program of the container, other than task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(max = 131_072)))]
    pub command: Option<Vec<String>>,
    /// Arguments of the container, other than task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(max = 131_072)))]
    pub args: Option<Vec<String>>,
    /// Everything else that a container has.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl TemplateMetadata {
    fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }
}

impl TemplateSpec {
    /// The container that the tasks run in.
    pub fn task(&self) -> Option<&TemplateContainer> {
        self.containers.iter().find(|container| container.name == crate::names::TASK)
    }
}

fn labels(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    text_map(63)
}

/// An annotation may hold up to 256 KiB; what is longer than this is no annotation of a pod template.
fn annotations(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    text_map(16 * 1024)
}

fn text_map(max: u32) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": max },
    })
}
