//! The names that we put into a cluster.
//!
//! Labels follow Kubernetes' [recommended labels](https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/).

/// The API group of our resources.
pub const GROUP: &str = "petiole.dev";
/// The version of our resources.
pub const VERSION: &str = "v1alpha1";
/// `kubectl get petiole` lists all of our resources.
pub const CATEGORY: &str = "petiole";

/// Who owns the fields that the operator applies.
pub const FIELD_MANAGER: &str = "petiole-operator";
/// Who writes the status of our resources. Apart from [`FIELD_MANAGER`], so that neither gives up the other's fields.
pub const STATUS_MANAGER: &str = "petiole-operator-status";

/// Label: the `WorkerPool` that an object belongs to. Alone in the Deployment's selector, since a selector can never
/// be changed.
pub const POOL: &str = "petiole.dev/pool";
/// Recommended label: what the object belongs to.
pub const APP_NAME: &str = "app.kubernetes.io/name";
/// Recommended label: which one.
pub const APP_INSTANCE: &str = "app.kubernetes.io/instance";
/// Recommended label: what part it plays.
pub const APP_COMPONENT: &str = "app.kubernetes.io/component";
/// Recommended label: who made it.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Value of [`MANAGED_BY`].
pub const OPERATOR: &str = "petiole-operator";
/// Value of [`APP_NAME`] for all that a pool is made of.
pub const APP: &str = "petiole";
/// Value of [`APP_COMPONENT`] for all that a pool is made of.
pub const COMPONENT: &str = "worker-pool";

/// Annotation of a pod: the ConfigMap that its worker started with, which must stay as long as the pod does.
pub const CONFIG: &str = "petiole.dev/config";
/// Annotation of a pod: a `TaskQueue` that is on its broker, so that its end can be told there when its pool is gone.
pub const TASK_QUEUE: &str = "petiole.dev/task-queue";
/// Annotation of a pod: a hash of the certificates that its worker started with, so that new ones replace the pod.
pub const CERTIFICATES: &str = "petiole.dev/certificates";
/// Condition of a pod (a readiness gate) whose image runs its own worker: it is heard on its broker, and takes tasks.
pub const TAKES_TASKS: &str = "petiole.dev/TakesTasks";
/// Annotation that a `ReplicaSet` knows: of pods that are otherwise alike, those with the lowest go first when there are to be
/// fewer.
pub const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Value of [`POD_DELETION_COST`] on pods that are to go: below what others have, which is 0 where nobody says otherwise.
pub const GOES_FIRST: &str = "-1000";
/// Annotation that kubectl knows: the container whose logs are meant when none is named.
pub const KUBECTL_DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The container that runs the user's image.
pub const TASK: &str = "task";
/// The sidecar that talks to the broker.
pub const WORKER: &str = "worker";
/// The init container that puts the runner where [`TASK`] finds it.
pub const INSTALL: &str = "install-runner";

/// The longest name of an object of ours. The controllers of Kubernetes append up to 11 characters to it
/// (`-` and a hash), and a label's value, which the result becomes, holds 63.
pub const MAX_NAME: usize = 52;
