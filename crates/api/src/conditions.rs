//! The conditions of our resources: their types, their reasons, and how a list of them is kept.
//!
//! By the [API conventions](https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties):
//! types are adjectives or past participles, reasons are CamelCase and stable, `lastTransitionTime` moves only when
//! the status does. The reasons of events are the reasons of the conditions that they announce, but for a few that
//! stand here too.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// `TaskQueue`: its broker and its result store are reachable. `WorkerPool`: all pods that are wanted take tasks.
pub const READY: &str = "Ready";

/// `TaskQueue`: the broker answers.
pub const BROKER_REACHABLE: &str = "BrokerReachable";
/// `TaskQueue`: the result store answers. Absent where there is none.
pub const RESULTS_REACHABLE: &str = "ResultsReachable";
/// `TaskQueue`: no setting of the broker puts work at risk.
pub const BROKER_SAFE: &str = "BrokerSafe";

/// `WorkerPool`: its pods are being replaced or added.
pub const PROGRESSING: &str = "Progressing";
/// `WorkerPool`: what its spec asks for cannot be done; what ran before still runs.
pub const DEGRADED: &str = "Degraded";

/// `WorkerPool`: the number of its pods follows what there is to do. Absent where `replicas` says how many.
pub const SCALING_ACTIVE: &str = "ScalingActive";

/// Why a condition is as it is.
pub mod reasons {
    /// It answers.
    pub const REACHABLE: &str = "Reachable";
    /// It does not answer, or not as it should.
    pub const UNREACHABLE: &str = "Unreachable";
    /// It was not asked yet.
    pub const NOT_ASKED_YET: &str = "NotAskedYet";
    /// It answers that it will not: a wrong password, no right, no memory left.
    pub const REFUSED: &str = "Refused";
    /// A Secret that the object names is not there.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// A Secret that the object names lacks the key.
    pub const SECRET_KEY_NOT_FOUND: &str = "SecretKeyNotFound";
    /// The operator may not read a Secret that the object names.
    pub const SECRET_FORBIDDEN: &str = "SecretForbidden";
    /// The address, or what a Secret holds for it, cannot be used.
    pub const ADDRESS_REFUSED: &str = "AddressRefused";
    /// Nothing is at risk.
    pub const SAFE: &str = "Safe";
    /// Messages that Celery workers hold are delivered again while their task may still run.
    pub const VISIBILITY_TIMEOUT_BELOW_TIME_LIMIT: &str = "VisibilityTimeoutBelowTimeLimit";

    /// A `TaskQueue` has gone, and its parked messages could not be put back. Of an event only.
    pub const PARKED_MESSAGES_LEFT: &str = "ParkedMessagesLeft";

    /// A container in which tasks run was killed for want of memory. Of an event only.
    pub const TASK_OOM_KILLED: &str = "TaskOOMKilled";
    /// A worker was killed for want of memory. Of an event only.
    pub const WORKER_OOM_KILLED: &str = "WorkerOOMKilled";

    /// The object cannot be read as what it says it is.
    pub const INVALID_OBJECT: &str = "InvalidObject";
    /// A `TaskQueue` that a pool names is not there.
    pub const TASK_QUEUE_NOT_FOUND: &str = "TaskQueueNotFound";
    /// The queues of a pool are on more than one broker.
    pub const BROKERS_DIFFER: &str = "BrokersDiffer";
    /// The queues of a pool store their results in more than one place.
    pub const RESULTS_DIFFER: &str = "ResultsDiffer";
    /// Two queues of a pool have one name on the broker.
    pub const QUEUE_TWICE: &str = "QueueTwice";
    /// A task's command or limits cannot be used.
    pub const TASK_REFUSED: &str = "TaskRefused";
    /// How a pool is to be scaled cannot be used.
    pub const SCALING_REFUSED: &str = "ScalingRefused";
    /// A pattern of a pool's routes cannot be used.
    pub const ROUTE_REFUSED: &str = "RouteRefused";
    /// What a Secret holds for the certificates of those who may sign messages cannot be used.
    pub const CERTIFICATES_REFUSED: &str = "CertificatesRefused";
    /// The pod template cannot be used.
    pub const TEMPLATE_REFUSED: &str = "TemplateRefused";
    /// An object that the pool needs is there already and belongs to someone else.
    pub const NAME_TAKEN: &str = "NameTaken";

    /// All pods that are wanted take tasks.
    pub const PODS_READY: &str = "PodsReady";
    /// No pods are wanted.
    pub const NO_PODS_WANTED: &str = "NoPodsWanted";
    /// Some pods that are wanted do not take tasks yet.
    pub const PODS_NOT_READY: &str = "PodsNotReady";
    /// The API server refuses to make the pods.
    pub const PODS_REFUSED: &str = "PodsRefused";
    /// The pods run, and none of their workers is heard on the broker.
    pub const WORKERS_SILENT: &str = "WorkersSilent";
    /// A worker is heard on its broker. Of a condition of its pod.
    pub const HEARD: &str = "Heard";
    /// A worker takes no more tasks, and has none left. Of a condition of its pod.
    pub const DRAINED: &str = "Drained";
    /// A pod was deleted, because its worker answers no more. Of an event only.
    pub const WORKER_STUCK: &str = "WorkerStuck";
    /// A container of the pods does not start, or ends again and again.
    pub const PODS_FAILING: &str = "PodsFailing";
    /// Pods are being replaced by ones of a new spec.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// Pods are being added or removed.
    pub const SCALING: &str = "Scaling";
    /// Nothing is under way.
    pub const SETTLED: &str = "Settled";
    /// How much there is to do is known.
    pub const SIGNAL_KNOWN: &str = "SignalKnown";
    /// How much there is to do is not known.
    pub const SIGNAL_UNKNOWN: &str = "SignalUnknown";
    /// It has not been known for so long that the fallback counts.
    pub const FALLBACK: &str = "Fallback";
    /// The spec says that it stands still.
    pub const SCALING_PAUSED: &str = "ScalingPaused";
    /// The pool wants a `HorizontalPodAutoscaler`, and nobody tells it how much there is to do.
    pub const EXTERNAL_METRICS_DISABLED: &str = "ExternalMetricsDisabled";
    /// A `HorizontalPodAutoscaler` that is not this pool's scales it in a way that cannot work.
    pub const FOREIGN_SCALER: &str = "ForeignScaler";
    /// Pods were added. Of an event only.
    pub const SCALED_OUT: &str = "ScaledOut";
    /// Pods were taken away. Of an event only.
    pub const SCALED_IN: &str = "ScaledIn";
    /// What the spec asks for is done.
    pub const AS_WANTED: &str = "AsWanted";
}

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

impl Status {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Status {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// The API refuses longer messages.
const MAX_MESSAGE: usize = 32_768;
/// What fits a screen.
const SHORT_MESSAGE: usize = 1024;
const _: () = assert!(SHORT_MESSAGE <= MAX_MESSAGE);

/// A condition before it has its times: what is the case now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Its type, such as [`READY`].
    pub kind: &'static str,
    /// Whether it holds.
    pub status: Status,
    /// One of [`reasons`].
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// The conditions that state `facts`, and nothing else: one that is no longer stated is gone.
///
/// `lastTransitionTime` is `previous`' where the status has not changed, and `now` where it has.
pub fn keep(
    previous: &[Condition],
    facts: Vec<Fact>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |fact: Fact| {
        let status = fact.status.as_str();
        let since = previous
            .iter()
            .find(|before| before.type_ == fact.kind && before.status == status)
            .map_or(Time(now), |before| before.last_transition_time.clone());
        let mut message = fact.message;
        if message.len() > SHORT_MESSAGE {
            message.truncate(message.floor_char_boundary(SHORT_MESSAGE));
            message.push('…');
        }
        Condition {
            type_: fact.kind.to_owned(),
            status: status.to_owned(),
            reason: fact.reason.to_owned(),
            message,
            last_transition_time: since,
            observed_generation: generation,
        }
    };
    facts.into_iter().map(condition).collect()
}

/// The condition of this type.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: Status, reason: &'static str) -> Vec<Fact> {
        vec![Fact { kind: READY, status, reason, message: String::new() }]
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_does() {
        let [first, second, third] = [1, 2, 3].map(|second| Timestamp::from_second(second).unwrap());
        let no = keep(&[], ready(Status::False, reasons::PODS_NOT_READY), Some(1), first);
        let still_no = keep(&no, ready(Status::False, reasons::PODS_REFUSED), Some(2), second);
        assert_eq!(still_no[0].last_transition_time, Time(first));
        assert_eq!(still_no[0].reason, reasons::PODS_REFUSED);
        let yes = keep(&still_no, ready(Status::True, reasons::PODS_READY), Some(2), third);
        assert_eq!(yes[0].last_transition_time, Time(third));
    }

    #[test]
    fn a_condition_that_is_no_longer_stated_is_gone() {
        let now = Timestamp::from_second(1).unwrap();
        let before = keep(&[], ready(Status::True, reasons::PODS_READY), None, now);
        assert!(keep(&before, Vec::new(), None, now).is_empty());
    }

    #[test]
    fn a_message_too_long_to_read_is_cut_between_characters() {
        let fact = Fact {
            kind: READY,
            status: Status::False,
            reason: reasons::UNREACHABLE,
            message: "é".repeat(2000),
        };
        let kept = keep(&[], vec![fact], None, Timestamp::UNIX_EPOCH);
        assert_eq!(kept[0].message.chars().count(), SHORT_MESSAGE / 2 + 1);
    }
}
