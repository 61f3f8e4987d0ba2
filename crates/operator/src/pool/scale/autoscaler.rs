//! Where an autoscaler of Kubernetes says how many pods there are. Pure.
//!
//! It writes the pool's `replicas` through `/scale`, by what the operator tells it of the queues. It does nothing while there
//! are no pods, and most clusters' cannot take the last one away. So the operator writes the same field in these two
//! moments, and in no other: 0 -> 1 when there is something to do, 1 -> 0 when there was nothing for long enough.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use petiole_api::conditions::{Fact, SCALING_ACTIVE, Status, reasons};
use petiole_scale::scaling::{Pause, Rules, Target};
use petiole_scale::{Decision, Scaling};

use super::decisions::Latest;
use super::{count, said};

/// How an autoscaler of Kubernetes scales a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Autoscaler(pub Scaling);

/// What is known of a pool's autoscaler.
#[derive(Debug, Clone, Copy)]
pub(in crate::pool) struct Seen<'a> {
    /// Whether this operator tells autoscalers how much there is to do.
    pub(in crate::pool) told: bool,
    /// The autoscaler, once it is there.
    pub(in crate::pool) live: Option<&'a HorizontalPodAutoscaler>,
    /// Whether there should be pods at all.
    pub(in crate::pool) latest: Option<&'a Latest>,
}

impl Autoscaler {
    /// Whether there should be pods at all: one or none. More is not decided here, so there is no window, and the pause is
    /// looked at when it is written.
    pub(super) fn activation(&self) -> Scaling {
        let Self(Scaling { min, concurrency, cool_down, .. }) = self;
        Scaling {
            min: *min.min(&1),
            max: 1,
            concurrency: *concurrency,
            target: Target::Any,
            up: Rules::default(),
            down: Rules::default(),
            cool_down: *cool_down,
            pause: Pause::No,
            fallback: None,
        }
    }

    /// The fewest pods that the autoscaler itself can be asked for.
    pub fn min(&self) -> u32 {
        self.0.min.max(1)
    }

    /// How many pods there are to be. Before it was decided whether there are to be any what runs stays, and a pool that is
    /// new begins with as few as it may.
    pub(super) fn replicas(&self, written: i32, decided: bool, live: Option<i32>) -> i32 {
        if decided { written } else { live.unwrap_or(written.min(count(self.0.min))) }
    }

    /// What the operator is to write into the pool's `replicas`, where they are the operator's to write.
    pub(in crate::pool) fn write(&self, written: i32, decision: Option<&Decision>) -> Option<i32> {
        let wanted = count(decision?.replicas).min(1);
        let paused = match self.0.pause {
            Pause::No => false,
            Pause::In => wanted == 0,
            Pause::Out => wanted == 1,
            Pause::Both => true,
        };
        let ours = matches!((written, wanted), (0, 1) | (1, 0));
        (ours && !paused).then_some(wanted)
    }

    /// The event of such a write: its reason and its text.
    pub(in crate::pool) fn announcement(
        &self,
        written: i32,
        to: i32,
        decision: &Decision,
    ) -> (&'static str, String) {
        let before = u32::try_from(written).unwrap_or_default();
        let (reason, note) = said::announcement(before, to, decision);
        let cool_down = self.0.cool_down;
        (reason, if to == 0 { format!("{note}; for {cool_down:?} at least") } else { note })
    }

    /// Whether the number of pods follows what there is to do.
    pub(in crate::pool) fn active(&self, replicas: i32, seen: &Seen<'_>) -> Fact {
        let fact = |status, reason, message| Fact { kind: SCALING_ACTIVE, status, reason, message };
        if !seen.told {
            return fact(
                Status::False,
                reasons::EXTERNAL_METRICS_DISABLED,
                "this operator does not tell the HorizontalPodAutoscaler how much there is to do: install it with \
                 externalMetrics.enabled=true, or write scaling.mode: Native"
                    .to_owned(),
            );
        }
        if self.0.pause != Pause::No {
            return said::active(&self.0, seen.latest);
        }
        let condition = seen.live.and_then(|live| {
            let conditions = live.status.as_ref()?.conditions.as_ref()?;
            conditions.iter().find(|condition| condition.type_ == SCALING_ACTIVE)
        });
        match condition {
            // It stands still while there are no pods, and says so: then the operator looks.
            _ if replicas == 0 => said::active(&self.0, seen.latest),
            None => fact(
                Status::Unknown,
                reasons::NOT_ASKED_YET,
                "the HorizontalPodAutoscaler has decided nothing yet".to_owned(),
            ),
            Some(condition) if condition.status == Status::True.as_str() => fact(
                Status::True,
                reasons::SIGNAL_KNOWN,
                "the HorizontalPodAutoscaler sets the number of pods by what there is to do".to_owned(),
            ),
            Some(condition) => {
                let (why, says) = (condition.reason.as_deref(), condition.message.as_deref());
                let message = format!(
                    "the HorizontalPodAutoscaler says: {}: {}",
                    why.unwrap_or_default(),
                    says.unwrap_or_default()
                );
                fact(Status::False, reasons::SIGNAL_UNKNOWN, message)
            }
        }
    }
}

/// Gives an autoscaler, whose kind counts no generations, one that stands for its spec: its status moves all the time, and
/// is nobody's change of it.
pub(crate) fn stamp(autoscaler: &mut HorizontalPodAutoscaler) {
    let spec = serde_json::to_vec(&autoscaler.spec).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &spec);
    let begin = digest.as_ref().first_chunk().copied().unwrap_or_default();
    autoscaler.metadata.generation = Some(i64::from_be_bytes(begin));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use petiole_api::conditions::{Status, reasons};
    use petiole_scale::{Reason, Work};
    use serde_json::json;

    use super::super::spec;
    use super::*;
    use crate::fixtures::{pool_with, with};

    fn autoscaler(more: serde_json::Value) -> Autoscaler {
        let scaling = json!({ "mode": "HorizontalPodAutoscaler", "maxReplicas": 9, "messagesPerReplica": 5 });
        let pool = pool_with(json!({ "scaling": with(scaling, more) }));
        assert_eq!(spec::scaling(&pool), Ok(None));
        spec::autoscaler(&pool).unwrap().unwrap()
    }

    fn decided(replicas: u32) -> Decision {
        Decision {
            at: Timestamp::UNIX_EPOCH,
            replicas,
            current: replicas,
            seen: petiole_scale::Seen::Work { work: Work::default(), task_seconds: None },
            wanted: Some(replicas),
            recommended: Some(replicas),
            reason: Reason::DesiredWithinRange,
            formula: String::new(),
        }
    }

    #[test]
    fn the_operator_writes_the_first_pod_and_the_last_and_nothing_else() {
        let plain = autoscaler(json!({}));
        let written = |replicas, wanted| plain.write(replicas, Some(&decided(wanted)));
        assert_eq!((written(0, 1), written(1, 0)), (Some(1), Some(0)));
        for (replicas, wanted) in [(0, 0), (1, 1), (2, 0), (7, 1)] {
            assert_eq!(written(replicas, wanted), None, "{replicas} {wanted}");
        }
        assert_eq!(plain.write(0, None), None, "nobody knows");
    }

    #[test]
    fn a_pause_holds_the_first_and_the_last_pod_too() {
        for (pause, first, last) in [("In", Some(1), None), ("Out", None, Some(0)), ("Both", None, None)] {
            let paused = autoscaler(json!({ "pause": pause }));
            assert_eq!(paused.write(0, Some(&decided(1))), first, "{pause}");
            assert_eq!(paused.write(1, Some(&decided(0))), last, "{pause}");
        }
    }

    #[test]
    fn a_pool_that_never_has_none_is_brought_back_from_none() {
        let activation = autoscaler(json!({ "minReplicas": 3 })).activation();
        assert_eq!((activation.min, activation.max), (1, 1));
        let activation = autoscaler(json!({ "coolDownSeconds": 7 })).activation();
        assert_eq!((activation.min, activation.max, activation.cool_down), (0, 1, Duration::from_secs(7)));
    }

    #[test]
    fn a_new_pool_begins_with_as_few_pods_as_it_may_have() {
        assert_eq!(autoscaler(json!({})).replicas(1, false, None), 0);
        assert_eq!(autoscaler(json!({ "minReplicas": 3 })).replicas(1, false, None), 1);
        assert_eq!(autoscaler(json!({})).replicas(7, false, Some(6)), 6);
        assert_eq!(autoscaler(json!({})).replicas(7, true, Some(6)), 7);
    }

    #[test]
    fn the_condition_says_what_the_autoscaler_says() {
        let live = |status: &str| -> HorizontalPodAutoscaler {
            let condition = json!({ "type": "ScalingActive", "status": status, "reason": "FailedGetExternalMetric",
                "message": "no metrics" });
            serde_json::from_value(json!({
                "metadata": {},
                "spec": { "maxReplicas": 1, "scaleTargetRef": { "kind": "WorkerPool", "name": "resizer" } },
                "status": { "desiredReplicas": 1, "conditions": [condition] },
            }))
            .unwrap()
        };
        let (works, fails) = (live("True"), live("False"));
        let plain = autoscaler(json!({}));
        let paused = autoscaler(json!({ "pause": "In" }));
        let latest = Latest { decision: decided(0), unknown: None, change: None };
        let seen = |told, live| Seen { told, live, latest: Some(&latest) };
        for (autoscaler, replicas, seen, expected) in [
            (&plain, 3, seen(true, Some(&works)), (Status::True, reasons::SIGNAL_KNOWN)),
            (&plain, 3, seen(true, Some(&fails)), (Status::False, reasons::SIGNAL_UNKNOWN)),
            (&plain, 0, seen(true, Some(&fails)), (Status::True, reasons::SIGNAL_KNOWN)),
            (&plain, 3, seen(true, None), (Status::Unknown, reasons::NOT_ASKED_YET)),
            (&paused, 3, seen(true, Some(&works)), (Status::False, reasons::SCALING_PAUSED)),
            (&plain, 3, seen(false, Some(&works)), (Status::False, reasons::EXTERNAL_METRICS_DISABLED)),
        ] {
            let fact = autoscaler.active(replicas, &seen);
            assert_eq!((fact.status, fact.reason), expected, "{}", fact.message);
        }
        assert!(
            plain
                .active(3, &seen(true, Some(&fails)))
                .message
                .ends_with("FailedGetExternalMetric: no metrics")
        );
    }
}
