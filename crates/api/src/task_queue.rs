//! `TaskQueue`: a queue on a broker, and where the results of its tasks go.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, ResourceExt};
use serde::{Deserialize, Serialize};

use crate::connection::{Broker, Results};
use crate::duration::{Duration, TimeLimit};
use crate::retry::Retry;

/// A queue of Celery tasks: which broker holds it, what it is called there, and where results go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema, CustomResource)]
#[kube(
    group = "petiole.dev",
    version = "v1alpha1",
    kind = "TaskQueue",
    plural = "taskqueues",
    shortname = "tq",
    category = "petiole",
    namespaced,
    status = "TaskQueueStatus",
    derive = "PartialEq",
    doc = "A queue of Celery tasks: which broker holds it, what it is called there, and where the results of its \
           tasks go. WorkerPools in the same namespace run its tasks.",
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.ready",
        description = "Messages that wait for a worker"),
    printcolumn(name = "Reserved", type_ = "integer", json_path = ".status.reserved",
        description = "Messages that workers hold"),
    printcolumn(name = "Scheduled", type_ = "integer", json_path = ".status.scheduled",
        description = "Messages that wait for their time"),
    printcolumn(name = "Dead", type_ = "integer", json_path = ".status.dead",
        description = "Messages that cannot be tried again"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".status.consumers",
        description = "Workers of Petiole that take from it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether its broker and result store are reachable"),
    printcolumn(name = "Reason", type_ = "string", priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is or is not ready"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = ("size(self.metadata.name) <= 52", "choose a name of at most 52 characters"),
    validation = ("!has(self.spec.deadLetter.queue) || self.spec.deadLetter.queue != \
        (has(self.spec.queue) ? self.spec.queue : self.metadata.name)",
        "deadLetter.queue is the queue itself: choose another name, or leave it out for QUEUE.dead")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(self.softTimeLimit) || !has(self.timeLimit) || self.timeLimit == 'none' || \
        duration(self.softTimeLimit) < duration(self.timeLimit)",
        "softTimeLimit must be shorter than timeLimit: a task is asked to end before it is killed")
)]
pub struct TaskQueueSpec {
    /// Name of the queue on the broker, as Celery's clients send to it (`celery` where they say nothing). Default:
    /// the object's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = ("!self.matches('[[:cntrl:]]')", "write the name without control characters"))]
    pub queue: Option<String>,
    /// The broker that holds the queue.
    pub broker: Broker,
    /// The store that results are written to, as Celery's `result_backend`. Without it none are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Results>,
    /// Where messages go that cannot be tried again: unknown tasks, messages that cannot be read, tasks that have taken
    /// their worker down too often.
    #[serde(default)]
    pub dead_letter: DeadLetter,
    /// A task of this queue that runs longer than this is killed, unless the pool's entry for it says otherwise; `none`
    /// for no limit. A message that asks for more gets this. The pool's own timeLimit stays the longest that any of its
    /// tasks may run. Default: the pool's timeLimit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<TimeLimit>,
    /// A task of this queue that runs longer than this is asked to end (Celery's `soft_time_limit`), unless its
    /// message or the pool's entry for it says otherwise. Default: the pool's softTimeLimit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_time_limit: Option<Duration>,
    /// When the tasks of this queue are tried again, and how often, unless the pool's entry for them says otherwise. Default:
    /// 3 times, each after 3 minutes, as in Celery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// Where messages go that cannot be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Name of the queue on the same broker. Default: the queue's name with `.dead` at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = ("!self.matches('[[:cntrl:]]')", "write the name without control characters"))]
    pub queue: Option<String>,
    /// A message goes there once so many workers were lost while its task ran: killed, out of memory, on a node that went
    /// away. Only those count: a delivery whose task had not started does not, nor does one that a pod gives back when it is
    /// told to stop.
    #[serde(default = "DeadLetter::default_max_deliveries")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_deliveries: u32,
}

/// What the operator saw last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskQueueStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Messages that wait for a worker, over all priorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<i64>,
    /// Messages that Petiole's workers hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<i64>,
    /// Messages that Celery's own workers hold: an estimate, which may be some ten seconds old and older where they hold very
    /// many. Absent while it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unacked: Option<i64>,
    /// Messages that wait for their time (Celery's `eta` and `countdown`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<i64>,
    /// Messages in the dead-letter queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<i64>,
    /// Petiole's workers that take from the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumers: Option<i64>,
    /// When these figures were read. They are read every second, and written here when they have changed: at once when
    /// there is work where there was none, or none any more, otherwise at most every 15 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sample_time: Option<Time>,
    /// `Ready`, `BrokerReachable`, `ResultsReachable`, `BrokerSafe`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

impl DeadLetter {
    /// Enough that nodes which go away one after the other do not condemn a task: with four lost workers it still runs
    /// again. Few enough that one which takes its worker down each time costs a pool five restarts and no more. Celery
    /// has no such count on Redis (`reject_on_worker_lost` tries for ever); the count of managed queues is mostly 3 to 10.
    const MAX_DELIVERIES: u32 = 5;

    fn default_max_deliveries() -> u32 {
        Self::MAX_DELIVERIES
    }
}

impl Default for DeadLetter {
    fn default() -> Self {
        Self { queue: None, max_deliveries: Self::MAX_DELIVERIES }
    }
}

impl TaskQueue {
    /// The queue's name on the broker.
    pub fn queue(&self) -> String {
        self.spec.queue.clone().unwrap_or_else(|| self.name_any())
    }

    /// The dead-letter queue's name on the broker.
    pub fn dead_letter_queue(&self) -> String {
        self.spec.dead_letter.queue.clone().unwrap_or_else(|| format!("{}.dead", self.queue()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_says_nothing_has_the_object_s_name() {
        let mut queue = TaskQueue::new("images", TaskQueueSpec::default());
        assert_eq!(
            (queue.queue(), queue.dead_letter_queue()),
            ("images".to_owned(), "images.dead".to_owned())
        );
        queue.spec.queue = Some("celery".to_owned());
        assert_eq!(queue.dead_letter_queue(), "celery.dead");
        queue.spec.dead_letter.queue = Some("graveyard".to_owned());
        assert_eq!(queue.dead_letter_queue(), "graveyard");
    }
}
