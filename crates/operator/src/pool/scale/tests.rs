#![allow(clippy::needless_pass_by_value, reason = "the helpers take literals")]

use std::time::Duration;

use jiff::Timestamp;
use petiole_api::WorkerPool;
use petiole_api::conditions::{Status, reasons};
use petiole_broker::{Depth, Load, Report};
use petiole_scale::scaling::{Policy, Select, Size, Target};
use petiole_scale::{Reason, Seen, Work};
use serde_json::{Value, json};

use super::decisions::{Before, Decisions, Latest};
use super::signal::{Capacities, Told, Unknown, work};
use super::*;
use crate::fixtures::{by_name, pool_with, queue, with};
use crate::pool::validate;
use crate::sampler::sample::{Problem, Sample};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn scaled(scaling: Value) -> WorkerPool {
    pool_with(json!({ "scaling": with(json!({ "maxReplicas": 10, "messagesPerReplica": 10 }), scaling) }))
}

fn named(name: &str, mut pool: WorkerPool) -> WorkerPool {
    pool.metadata.name = Some(name.to_owned());
    pool
}

fn holds(ready: u64, second: i64) -> Sample {
    let depth = Depth { ready, reserved: 1, unacked: Some(3), due: 2, scheduled: 5, ..Depth::default() };
    Sample { broker: Some(Ok((depth, at(second)))), ..Sample::default() }
}

fn report(incarnation: &str, load: Load) -> Report {
    Report { incarnation: incarnation.to_owned(), load, ..Report::default() }
}

#[test]
fn a_pool_that_says_little_has_the_defaults_of_kubernetes_autoscaler() {
    let scaling = spec::scaling(&scaled(json!({}))).unwrap().unwrap();
    assert_eq!((scaling.min, scaling.max, scaling.target), (0, 10, Target::Messages(10)));
    assert_eq!((scaling.up.window, scaling.down.window), (Duration::ZERO, Duration::from_mins(5)));
    assert_eq!(spec::scaling(&pool_with(json!({ "scaling": { "mode": "Manual" } }))), Ok(None));
    assert_eq!(spec::scaling(&pool_with(json!({}))), Ok(None));
}

#[test]
fn policies_are_taken_as_they_are_written() {
    let behavior = json!({ "scaleDown": { "stabilizationWindowSeconds": 60, "selectPolicy": "Min", "policies": [
        { "type": "Percent", "value": 10, "periodSeconds": 30 },
        { "type": "Pods", "value": 2, "periodSeconds": 60 },
    ] } });
    let scaling = spec::scaling(&scaled(json!({ "behavior": behavior }))).unwrap().unwrap();
    let policy = |size, seconds| Policy { size, period: Duration::from_secs(seconds) };
    assert_eq!(scaling.down.policies, [policy(Size::Percent(10), 30), policy(Size::Pods(2), 60)]);
    assert_eq!((scaling.down.select, scaling.down.window), (Select::Min, Duration::from_mins(1)));
}

#[test]
fn scaling_that_the_rules_would_have_refused_is_refused_here_too() {
    let no_max = pool_with(json!({ "scaling": { "drainSeconds": 1 } }));
    let both = scaled(json!({ "drainSeconds": 1 }));
    for pool in [no_max, both] {
        assert_eq!(spec::scaling(&pool).unwrap_err().reason, reasons::SCALING_REFUSED);
    }
}

#[test]
fn a_pool_over_several_queues_counts_them_all() {
    let two = json!({ "queues": [{ "taskQueue": "a" }, { "taskQueue": "b" }] });
    let pool = pool_with(with(two, json!({ "scaling": { "maxReplicas": 1, "messagesPerReplica": 1 } })));
    let alone = Capacities::of([&pool].into_iter());
    let sum = work(&pool, &alone, |queue| Some(holds(if queue.name == "a" { 3 } else { 4 }, 0)), at(1));
    assert_eq!(sum, Ok(Work { ready: 7, reserved: 2, unacked: 6, due: 4 }));
}

#[test]
fn pools_on_one_queue_split_it_by_what_they_can_run() {
    let large = scaled(json!({ "maxReplicas": 30 }));
    let by_hand = named("other", pool_with(json!({ "replicas": 5, "concurrency": 2 })));
    let both = Capacities::of([&large, &by_hand].into_iter());
    let part = work(&large, &both, |_| Some(holds(400, 0)), at(1)).unwrap();
    assert_eq!((part.ready, part.reserved), (300, 1));
}

#[test]
fn a_queue_that_was_not_read_or_not_of_late_is_unknown() {
    let pool = scaled(json!({}));
    let none = Capacities::default();
    let problem = Problem { reason: reasons::UNREACHABLE, message: "connection refused".to_owned() };
    let failed = Sample { broker: Some(Err(problem)), ..Sample::default() };
    for (sample, says) in [
        (None, "was not asked yet"),
        (Some(Sample::default()), "was not asked yet"),
        (Some(failed), "TaskQueue thumbnails: connection refused"),
        (Some(holds(1, 0)), "has not answered since"),
    ] {
        let (Unknown::NotYet(why) | Unknown::Now(why)) =
            work(&pool, &none, |_| sample.clone(), at(11)).unwrap_err();
        assert!(why.contains(says), "{why}");
    }
    assert!(work(&pool, &none, |_| Some(holds(1, 0)), at(10)).is_ok());
}

#[test]
fn how_long_tasks_take_is_what_the_workers_say() {
    let mut told = Told::remembered(Some(9.0));
    assert_eq!(told.task_seconds(), Some(9.0));
    let load = |ended, ended_ms| Load { ended, ended_ms, ..Load::default() };
    told.hear([report("a", load(99, 99_000)), report("b", load(0, 0))].iter(), at(0));
    // 99 of a second, and the one that was remembered.
    assert_eq!(told.task_seconds(), Some(1.08));
    // A worker that starts again counts anew; what is heard twice counts once.
    told.hear([report("a", load(99, 99_000)), report("c", load(1, 1000))].iter(), at(0));
    let seconds = told.task_seconds().unwrap();
    assert!((seconds - 109.0 / 101.0).abs() < 1e-9, "{seconds}");
    let long = Load { running: 2, running_ms: 100_000, ..load(1, 1000) };
    told.hear([report("c", long)].iter(), at(0));
    assert_eq!(told.task_seconds(), Some(50.0));
}

fn key() -> crate::pool::PoolKey {
    ("photos".to_owned(), "resizer".to_owned())
}

fn look(
    decisions: &Decisions,
    pool: &WorkerPool,
    work: Result<u64, &str>,
    before: u32,
    second: i64,
) -> (u32, bool) {
    let scaling = spec::scaling(pool).unwrap().unwrap();
    let work = work.map(|ready| Work { ready, ..Work::default() });
    let work = work.map_err(|why| Unknown::Now(why.to_owned()));
    let before = || Before { replicas: before, change: None, task_seconds: None };
    let nobody: Option<std::slice::Iter<'_, Report>> = None;
    let looked = decisions.look(&key(), &scaling, work, nobody, before, at(second));
    let (decision, differs) = looked.unwrap();
    (decision.replicas, differs)
}

#[test]
fn only_another_number_or_reason_wakes() {
    let (decisions, pool) = (Decisions::default(), scaled(json!({})));
    assert_eq!(look(&decisions, &pool, Ok(35), 0, 1), (4, true));
    assert_eq!(look(&decisions, &pool, Ok(36), 0, 2), (4, false));
    assert_eq!(look(&decisions, &pool, Ok(36), 0, 3), (4, false));
    assert_eq!(look(&decisions, &pool, Err("away"), 0, 4), (4, true));
    assert_eq!(decisions.latest(&key()).unwrap().unknown.as_deref(), Some("away"));
}

#[test]
fn after_a_break_what_runs_counts_as_right_again() {
    let (decisions, pool) = (Decisions::default(), scaled(json!({})));
    assert_eq!(look(&decisions, &pool, Ok(35), 0, 1).0, 4);
    // Another leader has gone up to 8 meanwhile.
    assert_eq!(look(&decisions, &pool, Ok(35), 8, 100).0, 8);
    assert_eq!(look(&decisions, &pool, Ok(35), 0, 110).0, 8);
}

#[test]
fn nothing_is_decided_before_the_broker_was_asked_but_not_for_ever() {
    let (decisions, pool) = (Decisions::default(), scaled(json!({})));
    let scaling = spec::scaling(&pool).unwrap().unwrap();
    let look = |work, second| {
        let before = || Before { replicas: 3, change: None, task_seconds: None };
        let nobody: Option<std::slice::Iter<'_, Report>> = None;
        let looked = decisions.look(&key(), &scaling, work, nobody, before, at(second));
        looked.map(|(decision, _)| decision.reason)
    };
    let not_yet = || Err(Unknown::NotYet("not asked".to_owned()));
    assert_eq!(look(not_yet(), 1), None);
    assert_eq!(look(not_yet(), 10), None);
    assert_eq!(decisions.latest(&key()), None);
    assert_eq!(look(not_yet(), 11), Some(Reason::SignalUnknown));
    assert_eq!(look(Ok(Work::default()), 12), Some(Reason::ScaleDownStabilized));
    // Its Secret was removed, and with it the way to its broker.
    assert_eq!(look(not_yet(), 13), Some(Reason::SignalUnknown));
}

#[test]
fn a_change_is_announced_once() {
    let (decisions, pool) = (Decisions::default(), scaled(json!({})));
    look(&decisions, &pool, Ok(35), 1, 1);
    assert_eq!(decisions.announce(&key(), 4), Some(1));
    assert_eq!(decisions.announce(&key(), 4), None);
    let latest = decisions.latest(&key()).unwrap();
    let (reason, note) = said::announcement(1, 4, &latest.decision);
    assert_eq!(reason, reasons::SCALED_OUT);
    assert_eq!(
        note,
        "1 -> 4 pods, DesiredWithinRange: ceil((ready 35 + reserved 0 + unacked 0 + due 0) / 10 messages a pod) = 4"
    );
}

#[test]
fn before_anything_is_decided_what_runs_stays() {
    let queues = by_name([queue("thumbnails")]);
    let pool = |scaling| validate::validate(&scaled(scaling), &queues).unwrap();
    let live: Deployment =
        serde_json::from_value(json!({ "spec": { "replicas": 7, "selector": {}, "template": {} } })).unwrap();
    let plain = pool(json!({ "minReplicas": 2 }));
    assert_eq!(replicas(&plain, None, before(Some(&live), None)), 7);
    assert_eq!(replicas(&plain, None, before(None, None)), 2);
    let of = |draining| WorkerPoolStatus {
        desired_replicas: Some(4),
        draining_replicas: draining,
        ..WorkerPoolStatus::default()
    };
    assert_eq!(before(Some(&live), Some(&of(0))), Some(7));
    assert_eq!(before(Some(&live), Some(&of(3))), Some(4), "the others are on their way out");
    let by_hand = validate::validate(&pool_with(json!({ "replicas": 3 })), &queues).unwrap();
    assert_eq!(replicas(&by_hand, None, before(Some(&live), None)), 3);
}

#[test]
fn a_condition_says_whether_the_pods_follow_the_work() {
    let paused = spec::scaling(&scaled(json!({ "pause": "In" }))).unwrap().unwrap();
    let plain = spec::scaling(&scaled(json!({}))).unwrap().unwrap();
    let latest = |reason, unknown: Option<&str>| Latest {
        decision: Decision {
            at: at(0),
            replicas: 1,
            current: 1,
            seen: Seen::Unknown { since: at(0) },
            wanted: None,
            recommended: None,
            reason,
            formula: String::new(),
        },
        unknown: unknown.map(str::to_owned),
        change: None,
    };
    let known = latest(Reason::DesiredWithinRange, None);
    for (scaling, latest, expected) in [
        (&plain, None, (Status::Unknown, reasons::NOT_ASKED_YET)),
        (&plain, Some(&known), (Status::True, reasons::SIGNAL_KNOWN)),
        (&paused, Some(&known), (Status::False, reasons::SCALING_PAUSED)),
        (
            &plain,
            Some(&latest(Reason::SignalUnknown, Some("away"))),
            (Status::False, reasons::SIGNAL_UNKNOWN),
        ),
        (&plain, Some(&latest(Reason::Fallback, Some("away"))), (Status::False, reasons::FALLBACK)),
    ] {
        let fact = said::active(scaling, latest);
        assert_eq!((fact.status, fact.reason), expected, "{}", fact.message);
    }
}
