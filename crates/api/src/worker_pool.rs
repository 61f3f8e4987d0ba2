//! `WorkerPool`: workers that run the tasks of some queues.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::accept::Accept;
use crate::celery::Celery;
use crate::duration::{Duration, TimeLimit};
use crate::scaling::{Decision, Scaled, Scaling};
use crate::signing::Signing;
use crate::task::Task;
use crate::template::PodTemplate;

/// Workers that run the tasks of some queues in containers of one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema, CustomResource)]
#[kube(
    group = "petiole.dev",
    version = "v1alpha1",
    kind = "WorkerPool",
    plural = "workerpools",
    shortname = "wp",
    category = "petiole",
    namespaced,
    status = "WorkerPoolStatus",
    derive = "PartialEq",
    doc = "Workers that run the tasks of some TaskQueues. Each of its pods holds a container of your image, in which \
           the tasks run, and a worker beside it that talks to the broker.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", description = "How its tasks run"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desiredReplicas", description = "Pods wanted"),
    printcolumn(name = "Pods", type_ = "integer", json_path = ".status.readyReplicas", description = "Pods that take tasks"),
    printcolumn(name = "Draining", type_ = "integer", priority = 1, json_path = ".status.drainingReplicas"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether all pods that are wanted take tasks"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is or is not ready"),
    printcolumn(name = "Image", type_ = "string", priority = 1, json_path = ".spec.image", description = "Image that the tasks run in"),
    printcolumn(name = "Worker", type_ = "string", priority = 1, json_path = ".status.workerImage",
        description = "Image of Petiole's worker"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = ("size(self.metadata.name) <= 52", "choose a name of at most 52 characters")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("has(self.image) != has(self.template)",
        "write exactly one of image (the short form) and template (a pod template whose container task has the image)"),
    validation = ("self.mode != 'Exec' || size(self.tasks) > 0",
        "mode Exec needs tasks: write each Celery task by its name, with the command that runs it"),
    validation = ("self.mode != 'Exec' || self.tasks.all(task, has(task.command))",
        "mode Exec needs tasks[].command: program and arguments, one element each, such as [resize, $(args[0])]. \
         The image's own ENTRYPOINT is not used"),
    validation = ("self.mode == 'Serve' || !has(self.serve)",
        "serve belongs to mode Serve: write mode: Serve, or leave serve out"),
    validation = ("self.mode != 'Serve' || has(self.serve)",
        "mode Serve needs serve.command: the program that takes one task after another"),
    validation = ("self.mode != 'Serve' || self.tasks.all(task, !has(task.command) && !has(task.result))",
        "in mode Serve the handler of serve.command runs every task: leave tasks[].command and tasks[].result out"),
    validation = ("self.mode != 'Serve' || self.tasks.all(task, !has(task.retry) || !has(task.retry.onExitCodes))",
        "in mode Serve a task has no exit code of its own: leave tasks[].retry.onExitCodes out, and write the errors \
         that are tried again into tasks[].retry.onErrors"),
    validation = ("(self.mode == 'Celery') == has(self.celery)",
        "mode Celery and celery belong together: write mode: Celery with celery.app, the application that the image's \
         celery worker runs, or neither"),
    validation = ("self.mode != 'Celery' || (size(self.tasks) == 0 && (!has(self.routes) || size(self.routes) == 0))",
        "in mode Celery the application has the tasks, with their limits, retries and routes: leave tasks and routes out"),
    validation = ("self.mode != 'Celery' || (self.accept.content == ['json'] && !has(self.accept.certificatesFrom) && \
        !self.accept.onlySigned && !has(self.signing))",
        "in mode Celery the application says what it accepts and by what it signs (accept_content, security_key): leave \
         accept and signing out"),
    validation = ("self.mode != 'Celery' || self.queueOrder == 'Strict'",
        "in mode Celery the worker takes from its queues in turn (queue_order_strategy of the application's \
         broker_transport_options): leave queueOrder and queues[].weight out"),
    validation = ("self.mode != 'Celery' || !has(self.scaling) || self.scaling.mode != 'HorizontalPodAutoscaler'",
        "in mode Celery the operator that leads alone hears what the workers hold, and an autoscaler would not be told of \
         it: write scaling.mode: Native"),
    validation = ("self.mode in ['Serve', 'Celery'] || !('pickle' in self.accept.content)",
        "pickle needs mode Serve, and a handler that takes it: leave pickle out of accept.content, or write mode: Serve"),
    validation = ("self.queueOrder == 'Weighted' || self.queues.all(queue, queue.weight == 1)",
        "queues[].weight counts with queueOrder: Weighted alone: write that, or leave weight out"),
    validation = ("self.timeLimit != 'none' || (has(self.drain) && has(self.drain.gracePeriod))",
        "timeLimit none needs drain.gracePeriod: how long a pod that is told to stop may wait for its tasks"),
    validation = ("!has(self.scaling) || self.scaling.mode != 'Native' || self.replicas == 1",
        "scaling sets the number of pods: leave replicas out (or write its default, 1). To set it yourself write \
         scaling.mode: Manual"),
    validation = ("!has(self.softTimeLimit) || self.timeLimit == 'none' || \
        duration(self.softTimeLimit) < duration(self.timeLimit)",
        "softTimeLimit must be shorter than timeLimit: a task is asked to end before it is killed"),
    validation = ("self.timeLimit == 'none' || self.tasks.all(task, !has(task.timeLimit) || (task.timeLimit != 'none' \
        && duration(task.timeLimit) <= duration(self.timeLimit)))",
        "tasks[].timeLimit must not be longer than the pool's timeLimit: raise that one, it is the longest that any \
         task may run")
)]
pub struct WorkerPoolSpec {
    /// How many pods run. `kubectl scale` and a `HorizontalPodAutoscaler` write it. Where the operator sets the number of
    /// pods (scaling.mode Native), it is left out, and so neither of these two can write it.
    #[serde(default = "WorkerPoolSpec::default_replicas")]
    #[schemars(range(min = 0, max = 10_000))]
    pub replicas: i32,
    /// How many pods run by how much there is to do. Without it replicas says how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// The queues whose tasks run here. Which of them is served next, queueOrder says. They must be on one broker and store
    /// their results in one place.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = ("self.all(queue, self.exists_one(other, other.taskQueue == queue.taskQueue))",
            "write each TaskQueue once")
    )]
    pub queues: Vec<QueueRef>,
    /// In which order the queues are served. Strict: the first one first, and a later one while those before it are empty;
    /// messages of a high priority come before others of all queues. Weighted: each gets its share while it has work, so
    /// that none starves, and priorities count within a queue.
    #[serde(default)]
    pub queue_order: QueueOrder,
    /// How many tasks a pod runs at the same time.
    #[serde(default = "WorkerPoolSpec::default_concurrency")]
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: u32,
    /// How tasks run. Exec: each task is a process of its own in the container. Serve: long-lived handlers in it take
    /// one task after another, for the highest rate. Celery: the image runs its own `celery worker`, which Petiole scales,
    /// drains and watches.
    #[serde(default)]
    pub mode: Mode,
    /// Image that the tasks run in: the short form of a template that has nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// Pod template whose container named task holds the image that the tasks run in, where an image alone does not
    /// say enough: resources, environment, volumes, node selectors, more containers. Fields that Kubernetes does not
    /// know are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplate>,
    /// The handlers of mode Serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serve: Option<Serve>,
    /// The image's own worker, in mode Celery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub celery: Option<Celery>,
    /// The Celery tasks that run here, by name. In mode Exec a task that is not here is unknown: its message goes to
    /// the dead-letter queue. In mode Serve it runs by the pool's defaults.
    #[serde(default)]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub tasks: Vec<Task>,
    /// Which forms of messages are read (Celery's `accept_content`). A message of any other form goes to the dead-letter
    /// queue.
    #[serde(default)]
    pub accept: Accept,
    /// By what those messages are signed that tasks of this pool send when they end: callbacks, errbacks, the next step of a
    /// chain, the tasks of a group, a chord's body; and answers to signed requests of remote control. Without it they are not
    /// signed, and no pool takes them that demands signatures. Who may send this pool messages that are not signed has what
    /// follows them signed all the same: let it take signed ones alone (accept.onlySigned).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
    /// Where messages go that tasks of this pool send when they end (callbacks, errbacks, the next step of a chain, a
    /// chord's body) and that name no queue, as Celery's `task_routes`. An entry with the task's very name counts before
    /// patterns, and of patterns the first that fits. Without one a message goes to the queue of the task that sends it. A
    /// task that is tried again stays in its queue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub routes: Vec<Route>,
    /// Whether the workers send events of tasks from the start (Celery's `worker_send_task_events`), for Flower and
    /// `celery events`. Otherwise they do so once somebody asks for it (`celery control enable_events`).
    #[serde(default)]
    pub events: bool,
    /// The longest that any task may run; then it is killed. A message that asks for more gets this. `none` for no
    /// limit, which needs drain.gracePeriod.
    #[serde(default = "WorkerPoolSpec::default_time_limit")]
    pub time_limit: TimeLimit,
    /// A task that runs longer than this is asked to end by SIGTERM (Celery's `soft_time_limit`), unless its message,
    /// its entry in tasks or its TaskQueue says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_time_limit: Option<Duration>,
    /// How a pod that is told to stop treats the tasks that run in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
}

/// A queue of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct QueueRef {
    /// Name of a TaskQueue in the pool's namespace.
    #[schemars(length(min = 1, max = 52))]
    pub task_queue: String,
    /// Its share where queueOrder is Weighted: while all have work, a queue of weight 3 has three tasks started for each
    /// one of a queue of weight 1.
    #[serde(default = "QueueRef::default_weight")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: u32,
}

/// In which order queues are served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum QueueOrder {
    /// A later one while those before it are empty.
    #[default]
    Strict,
    /// Each by its share.
    Weighted,
}

/// Where messages of a task go that name no queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Name of the Celery task, or a pattern with `*` for any characters, such as `reports.*`.
    #[schemars(length(min = 1, max = 255))]
    pub task: String,
    /// Name of the queue on the broker; its TaskQueue may be another pool's.
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = ("!self.matches('[[:cntrl:]]')", "write the name without control characters"))]
    pub queue: String,
}

/// How tasks run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Mode {
    /// Each task is a process of its own.
    #[default]
    Exec,
    /// Long-lived handlers take one task after another.
    Serve,
    /// The image runs its own `celery worker`.
    Celery,
}

/// The handlers of mode Serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Serve {
    /// Program and arguments of a handler, one element each, never through a shell. As many handlers run as
    /// concurrency says.
    #[schemars(length(min = 1, max = 64), inner(length(max = 4096)))]
    pub command: Vec<String>,
}

/// How a pod that is told to stop treats its tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Drain {
    /// How long a pod that is told to stop waits for the tasks that run in it. What has not ended by then is killed and
    /// goes back to its queue. Default: the pool's timeLimit and half a minute, so that every task can end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<Duration>,
}

/// What the operator saw last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pods that are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Pods that there are.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that take tasks.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Pods that are to go, take no more tasks, and finish those that run.
    #[serde(default)]
    pub draining_replicas: i32,
    /// Selector of the pods, for `/scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Image of Petiole's worker and runner in these pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_image: Option<String>,
    /// How many pods there should be, and why. Absent where replicas says how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<Decision>,
    /// The last time that scaling has changed the number of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scaled: Option<Scaled>,
    /// `Ready`, `Progressing`, `Degraded`, and where the operator sets the number of pods `ScalingActive`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

impl QueueRef {
    /// A TaskQueue by its name, of weight 1.
    pub fn new(task_queue: impl Into<String>) -> Self {
        Self { task_queue: task_queue.into(), weight: Self::default_weight() }
    }

    fn default_weight() -> u32 {
        1
    }
}

impl WorkerPoolSpec {
    fn default_replicas() -> i32 {
        1
    }

    fn default_concurrency() -> u32 {
        1
    }

    fn default_time_limit() -> TimeLimit {
        TimeLimit::HOUR
    }
}

impl Default for WorkerPoolSpec {
    fn default() -> Self {
        Self {
            replicas: Self::default_replicas(),
            scaling: None,
            queues: Vec::new(),
            queue_order: QueueOrder::default(),
            concurrency: Self::default_concurrency(),
            mode: Mode::default(),
            image: None,
            template: None,
            serve: None,
            celery: None,
            tasks: Vec::new(),
            accept: Accept::default(),
            signing: None,
            routes: Vec::new(),
            events: false,
            time_limit: Self::default_time_limit(),
            soft_time_limit: None,
            drain: None,
        }
    }
}
