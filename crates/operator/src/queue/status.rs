//! status: what is known of a `TaskQueue` → its status. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use petiole_api::conditions::{self, Fact, READY, Status, reasons};
use petiole_api::{TaskQueue, TaskQueueStatus};
use petiole_broker::{Depth, Hazard};

use super::apply::Applied;
use super::validate::Validated;
use crate::news::{self, News};
use crate::pace::Change;
use crate::refusal::Refusal;
use crate::sampler::address::Address;
use crate::sampler::sample::{Problem, Sample};

/// The status, as it is known now.
pub(super) fn status(
    queue: &TaskQueue,
    validated: &Validated,
    Applied { sample }: &Applied,
    now: Timestamp,
) -> TaskQueueStatus {
    let before = queue.status.clone().unwrap_or_default();
    let status = TaskQueueStatus {
        observed_generation: queue.meta().generation,
        conditions: conditions::keep(
            &before.conditions,
            facts(validated, sample),
            queue.meta().generation,
            now,
        ),
        ..before
    };
    match &sample.broker {
        Some(Ok((depth, at))) => with_figures(status, depth, *at),
        // Unknown is not zero: the figures that were read last stand, with the time when that was.
        _ => status,
    }
}

fn with_figures(status: TaskQueueStatus, depth: &Depth, at: Timestamp) -> TaskQueueStatus {
    let figure = |figure: u64| Some(i64::try_from(figure).unwrap_or(i64::MAX));
    let Depth { ready, reserved, unacked, scheduled, due: _, dead, consumers } = *depth;
    TaskQueueStatus {
        ready: figure(ready),
        reserved: figure(reserved),
        unacked: unacked.and_then(figure),
        scheduled: figure(scheduled),
        dead: figure(dead),
        consumers: figure(consumers),
        last_sample_time: Some(Time(at)),
        ..status
    }
}

fn facts(validated: &Validated, sample: &Sample) -> Vec<Fact> {
    let broker = reachable(
        conditions::BROKER_REACHABLE,
        "the broker",
        &validated.broker,
        sample.broker.as_ref().map(|answer| answer.as_ref().map(|_| ())),
    );
    let results = validated.results.as_ref().map(|results| {
        let answer = sample.results.as_ref().map(|answer| answer.as_ref().map(|&()| ()));
        reachable(conditions::RESULTS_REACHABLE, "the result store", results, answer)
    });
    let ready = ready(&broker, results.as_ref());
    let seen = sample.hazards.as_ref();
    let safe = safe(validated.hazards.iter().chain(seen.into_iter().flatten()), seen.is_some());
    [Some(ready), Some(broker), results, Some(safe)].into_iter().flatten().collect()
}

fn reachable(
    kind: &'static str,
    who: &str,
    address: &Result<Address, Refusal>,
    answer: Option<Result<(), &Problem>>,
) -> Fact {
    let (status, reason, message) = match (address, answer) {
        (Err(refusal), _) => (Status::False, refusal.reason, refusal.message.clone()),
        (Ok(_), None) => (Status::Unknown, reasons::NOT_ASKED_YET, format!("{who} was not asked yet")),
        (Ok(_), Some(Ok(()))) => (Status::True, reasons::REACHABLE, format!("{who} answers")),
        (Ok(_), Some(Err(problem))) => (Status::False, problem.reason, problem.message.clone()),
    };
    Fact { kind, status, reason, message }
}

/// As the worse of the two says.
fn ready(broker: &Fact, results: Option<&Fact>) -> Fact {
    let parts = || [Some(broker), results].into_iter().flatten();
    let worst = parts()
        .find(|fact| fact.status == Status::False)
        .or_else(|| parts().find(|fact| fact.status == Status::Unknown))
        .unwrap_or(broker);
    Fact { kind: READY, ..worst.clone() }
}

fn safe<'a>(hazards: impl Iterator<Item = &'a Hazard>, asked: bool) -> Fact {
    let hazards: Vec<&Hazard> = hazards.collect();
    let (status, reason, message) = match hazards.first() {
        Some(first) => {
            let messages: Vec<&str> = hazards.iter().map(|hazard| hazard.message.as_str()).collect();
            (Status::False, first.reason, messages.join(". "))
        }
        None if asked => {
            (Status::True, reasons::SAFE, "no setting of the broker puts work at risk".to_owned())
        }
        None => {
            (Status::Unknown, reasons::NOT_ASKED_YET, "the broker did not tell its settings yet".to_owned())
        }
    };
    Fact { kind: conditions::BROKER_SAFE, status, reason, message }
}

/// Whether there is work.
fn is_busy(status: &TaskQueueStatus) -> bool {
    [status.ready, status.reserved, status.unacked, status.scheduled]
        .into_iter()
        .flatten()
        .any(|figure| figure > 0)
}

/// What a write of `new` would change. That figures were read again is no change.
pub(super) fn change(old: Option<&TaskQueueStatus>, new: &TaskQueueStatus) -> Change {
    let Some(old) = old else { return Change::State };
    if old.observed_generation != new.observed_generation
        || news::differ(&old.conditions, &new.conditions)
        || is_busy(old) != is_busy(new)
    {
        return Change::State;
    }
    let same_time = TaskQueueStatus { last_sample_time: old.last_sample_time.clone(), ..new.clone() };
    if *old == same_time { Change::None } else { Change::Figures }
}

/// What is worth an event.
pub(super) fn news(old: Option<&TaskQueueStatus>, new: &TaskQueueStatus) -> Vec<News> {
    let old = old.map_or(&[][..], |old| &old.conditions);
    let kinds = [conditions::BROKER_REACHABLE, conditions::RESULTS_REACHABLE, conditions::BROKER_SAFE];
    news::news(old, &new.conditions, &kinds, Status::True)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::queue_with;
    use crate::queue::validate::validate;
    use crate::secrets::Values;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn with_store() -> TaskQueue {
        queue_with("a", json!({ "results": { "url": "redis://redis/1" } }))
    }

    fn seen(broker: Option<Result<u64, &'static str>>, results: Option<Result<(), &'static str>>) -> Sample {
        let problem = |reason: &'static str| Problem { reason, message: "connection refused".to_owned() };
        let depth = |ready| (Depth { ready, ..Depth::default() }, time(7));
        Sample {
            broker: broker.map(|answer| answer.map(depth).map_err(problem)),
            results: results.map(|answer| answer.map_err(problem)),
            counted: None,
            hazards: Some(Vec::new()),
        }
    }

    fn next(queue: &TaskQueue, sample: Sample) -> TaskQueueStatus {
        status(queue, &validate(queue, &Values::new()), &Applied { sample }, time(9))
    }

    fn condition<'a>(status: &'a TaskQueueStatus, kind: &str) -> (&'a str, &'a str) {
        let condition = conditions::find(&status.conditions, kind).unwrap();
        (&condition.status, &condition.reason)
    }

    #[test]
    fn a_queue_is_ready_when_broker_and_store_answer() {
        let queue = with_store();
        let both = next(&queue, seen(Some(Ok(3)), Some(Ok(()))));
        assert_eq!(condition(&both, READY), ("True", "Reachable"));
        assert_eq!((both.ready, both.last_sample_time), (Some(3), Some(Time(time(7)))));
        let one = next(&queue, seen(Some(Ok(3)), Some(Err(reasons::UNREACHABLE))));
        assert_eq!(condition(&one, READY), ("False", "Unreachable"));
        assert_eq!(condition(&one, conditions::BROKER_REACHABLE), ("True", "Reachable"));
        let early = next(&queue, Sample::default());
        assert_eq!(condition(&early, READY), ("Unknown", "NotAskedYet"));
    }

    #[test]
    fn figures_that_cannot_be_read_stand_as_they_were() {
        let mut queue = with_store();
        queue.status = Some(next(&queue, seen(Some(Ok(3)), Some(Ok(())))));
        let down = next(&queue, seen(Some(Err(reasons::UNREACHABLE)), None));
        assert_eq!((down.ready, down.last_sample_time), (Some(3), Some(Time(time(7)))));
    }

    #[test]
    fn only_a_change_of_state_is_written_at_once() {
        let mut queue = with_store();
        let first = next(&queue, seen(Some(Ok(3)), Some(Ok(()))));
        assert_eq!(change(None, &first), Change::State);
        queue.status = Some(first.clone());
        assert_eq!(change(Some(&first), &next(&queue, seen(Some(Ok(3)), Some(Ok(()))))), Change::None);
        assert_eq!(change(Some(&first), &next(&queue, seen(Some(Ok(4)), Some(Ok(()))))), Change::Figures);
        let down = next(&queue, seen(Some(Err(reasons::UNREACHABLE)), Some(Ok(()))));
        assert_eq!(change(Some(&first), &down), Change::State);
    }

    #[test]
    fn that_work_comes_or_has_gone_is_written_at_once() {
        let queue = with_store();
        let seen = |depth: Depth| Sample { broker: Some(Ok((depth, time(7)))), ..seen(None, Some(Ok(()))) };
        let empty = next(&queue, seen(Depth { dead: 1, consumers: 1, ..Depth::default() }));
        for busy in [
            Depth { ready: 1, ..Depth::default() },
            Depth { reserved: 1, ..Depth::default() },
            Depth { scheduled: 1, ..Depth::default() },
        ] {
            let busy = next(&queue, seen(busy));
            assert_eq!(change(Some(&empty), &busy), Change::State);
            assert_eq!(change(Some(&busy), &empty), Change::State);
        }
        let none = next(&queue, seen(Depth::default()));
        assert_eq!(change(Some(&empty), &none), Change::Figures);
    }

    #[test]
    fn an_outage_and_its_end_are_news_and_the_first_success_is_none() {
        let mut queue = with_store();
        let up = || seen(Some(Ok(3)), Some(Ok(())));
        let first = next(&queue, up());
        assert!(news(None, &first).is_empty());
        queue.status = Some(first.clone());
        let down = next(&queue, seen(Some(Err(reasons::UNREACHABLE)), Some(Ok(()))));
        let [bad] = &news(Some(&first), &down)[..] else { panic!("one piece of news") };
        assert_eq!((bad.reason.as_str(), bad.good), ("Unreachable", false));
        queue.status = Some(down.clone());
        let [good] = &news(Some(&down), &next(&queue, up()))[..] else { panic!("one piece of news") };
        assert_eq!((good.reason.as_str(), good.good), ("Reachable", true));
    }

    #[test]
    fn hazards_of_spec_and_broker_stand_together() {
        let queue = queue_with("a", json!({ "timeLimit": "2h" }));
        let hazard = Hazard { reason: "EvictsKeys", message: "evicts".to_owned() };
        let status = next(&queue, Sample { hazards: Some(vec![hazard]), ..seen(Some(Ok(0)), None) });
        assert_eq!(condition(&status, conditions::BROKER_SAFE), ("False", "VisibilityTimeoutBelowTimeLimit"));
        let safe = conditions::find(&status.conditions, conditions::BROKER_SAFE).unwrap();
        assert!(safe.message.contains("second time") && safe.message.contains("evicts"), "{}", safe.message);
    }
}
