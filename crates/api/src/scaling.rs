//! How many pods a pool has, by how much there is to do.
//!
//! Fields have the names of Kubernetes' `HorizontalPodAutoscaler` (`autoscaling/v2`) where they mean the same, so times
//! are whole seconds here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many pods a pool has, by how much there is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("self.mode == 'Manual' || has(self.maxReplicas)",
        "write maxReplicas: the most pods that may run"),
    validation = ("!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
        "maxReplicas must not be below minReplicas: raise maxReplicas, or lower minReplicas"),
    validation = ("self.mode != 'Native' || has(self.messagesPerReplica) != has(self.drainSeconds)",
        "write exactly one of messagesPerReplica (a pod for each so many messages) and drainSeconds (all of them done \
         within this time)"),
    validation = ("self.mode != 'HorizontalPodAutoscaler' || (has(self.messagesPerReplica) && !has(self.drainSeconds))",
        "mode HorizontalPodAutoscaler needs messagesPerReplica (a pod for each so many messages), and no drainSeconds: an \
         autoscaler of Kubernetes does not know how long tasks take. Write messagesPerReplica, or mode: Native"),
    validation = ("self.mode != 'HorizontalPodAutoscaler' || !has(self.fallback)",
        "mode HorizontalPodAutoscaler has no fallback: it leaves the pods as they are while nobody knows how much there is to \
         do. Leave fallback out, or write mode: Native"),
    validation = ("!has(self.fallback) || !has(self.maxReplicas) || (self.minReplicas <= self.fallback.replicas && \
        self.fallback.replicas <= self.maxReplicas)",
        "fallback.replicas must lie between minReplicas and maxReplicas"),
    validation = ("self.mode != 'Manual' || (!has(self.maxReplicas) && !has(self.messagesPerReplica) && \
        !has(self.drainSeconds) && !has(self.behavior) && !has(self.pause) && !has(self.fallback) && \
        self.minReplicas == 0 && self.coolDownSeconds == 300)",
        "in mode Manual replicas alone counts: leave the rest of scaling out. To hold a pool that scales itself as it is, \
         write mode: Native and pause: Both")
)]
pub struct Scaling {
    /// Native: the operator sets the number of pods by what its queues hold. `HorizontalPodAutoscaler`: Kubernetes' own
    /// does, which the operator makes, and which writes replicas; the operator tells it what the queues hold, and starts
    /// the first pod and ends the last one. Manual: it is what replicas says.
    #[serde(default)]
    pub mode: ScalingMode,
    /// The fewest pods. With 0 there are none while there is nothing to do.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub min_replicas: u32,
    /// The most pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_replicas: Option<u32>,
    /// A pod is wanted for each so many messages of the pool's queues: those that wait, over all priorities, those that
    /// workers hold, and those whose time comes within a quarter of a minute. Where several pools take from a queue, each
    /// counts its part: by its maxReplicas times its concurrency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub messages_per_replica: Option<u32>,
    /// So many pods are wanted that these messages are done within this time, by how long the pool's tasks take; but never
    /// more than their tasks can fill. While nobody knows yet how long they take, one pod finds out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub drain_seconds: Option<u32>,
    /// How far and how soon the number of pods changes, as in a `HorizontalPodAutoscaler`. Without policies a step is of any
    /// size, in each mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
    /// The last pod goes only when there has been nothing to do for so long.
    #[serde(default = "Scaling::default_cool_down")]
    #[schemars(range(min = 0, max = 86_400))]
    pub cool_down_seconds: u32,
    /// What stands still, for the time being. In: no pod goes. Out: no pod comes. Both: neither. It counts before
    /// minReplicas and maxReplicas; a `HorizontalPodAutoscaler` keeps to these all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// What is done when the broker cannot be asked. Without it the pods stay as they are: unknown is not zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// Who sets the number of pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ScalingMode {
    /// The operator.
    #[default]
    Native,
    /// A `HorizontalPodAutoscaler` that the operator makes.
    HorizontalPodAutoscaler,
    /// Whoever writes `replicas`.
    Manual,
}

/// What stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Pause {
    /// No pod goes.
    In,
    /// No pod comes.
    Out,
    /// No pod comes or goes.
    Both,
}

/// How far and how soon the number of pods changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Behavior {
    /// When there are to be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<Rules>,
    /// When there are to be fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<Rules>,
}

/// How far and how soon the number of pods changes in one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Rules {
    /// Of all that was right in this time, what changes least is done. Default: 0 for scaleUp, 300 for scaleDown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<u32>,
    /// Which of the policies counts. Max: the one that allows the largest change. Min: the smallest. Disabled: no change.
    #[serde(default)]
    pub select_policy: SelectPolicy,
    /// How many pods may come or go in a time. Without any, all at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub policies: Vec<Policy>,
}

/// Which of several policies counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum SelectPolicy {
    /// The one that allows the largest change.
    #[default]
    Max,
    /// The one that allows the smallest change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// How many pods may come or go in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Policy {
    /// Pods: as many as value says. Percent: so many of each hundred that there were when the time began.
    pub r#type: PolicyType,
    /// How many.
    #[schemars(range(min = 1, max = 10_000))]
    pub value: u32,
    /// In which time.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: u32,
}

/// What a policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum PolicyType {
    /// Pods.
    Pods,
    /// Of each hundred pods.
    Percent,
}

/// What is done when the broker cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Fallback {
    /// So many pods are wanted.
    #[schemars(range(min = 0, max = 10_000))]
    pub replicas: u32,
    /// After so long without an answer. Until then the pods stay as they are.
    #[serde(default = "Fallback::default_after")]
    #[schemars(range(min = 1, max = 86_400))]
    pub after_seconds: u32,
}

/// How many pods there should be, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Decision {
    /// When it was made. A decision is made each second; it is written here when its number or its reason is another one,
    /// and every five minutes.
    pub time: Time,
    /// So many pods there should be.
    pub replicas: i32,
    /// So many there were to be before.
    pub from: i32,
    /// What has decided: `DesiredWithinRange` (the work alone), `TooFewReplicas` (minReplicas), `TooManyReplicas`
    /// (maxReplicas), `ScaleUpStabilized`, `ScaleDownStabilized` (a window), `ScaleUpLimit`, `ScaleDownLimit` (policies),
    /// `CoolingDown`, `Paused`, `SignalUnknown`, `Fallback`.
    pub reason: String,
    /// The arithmetic from the work to the decision, with its numbers.
    pub formula: String,
    /// Messages that waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<i64>,
    /// Messages that Petiole's workers held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<i64>,
    /// Messages that Celery's own workers held, as an estimate; 0 before they were counted once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unacked: Option<i64>,
    /// Messages whose time was about to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<i64>,
    /// How long a task took, as far as anybody knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_milliseconds: Option<i64>,
}

/// A change of the number of pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Scaled {
    /// When it was.
    pub time: Time,
    /// From so many.
    pub from: i32,
    /// To so many.
    pub to: i32,
}

impl Scaling {
    /// As long as Kubernetes' autoscaler and KEDA wait by default.
    const COOL_DOWN: u32 = 300;

    fn default_cool_down() -> u32 {
        Self::COOL_DOWN
    }
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            mode: ScalingMode::default(),
            min_replicas: 0,
            max_replicas: None,
            messages_per_replica: None,
            drain_seconds: None,
            behavior: None,
            cool_down_seconds: Self::default_cool_down(),
            pause: None,
            fallback: None,
        }
    }
}

impl Fallback {
    /// Longer than a failover of Sentinel or of a managed Redis takes.
    const AFTER: u32 = 60;

    fn default_after() -> u32 {
        Self::AFTER
    }
}
