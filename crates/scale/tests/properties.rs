//! What holds whatever comes.

#![allow(clippy::unwrap_used, reason = "a number that is no time fails its test")]

use std::time::Duration;

use jiff::Timestamp;
use petiole_scale::runtime::{Running, Runtime};
use petiole_scale::scaling::{Fallback, Pause, Policy, Rules, Select, Size, Target};
use petiole_scale::{History, Reason, Scaling, Seen, Work, decide};
use proptest::prelude::*;

/// What was seen of the work, and how many seconds a task takes.
type Glance = Option<(u64, Option<f64>)>;
/// A glance, and how many seconds lie before it.
type Look = (i64, Glance);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn rules() -> impl Strategy<Value = Rules> {
    let size = prop_oneof![(1_u32..20).prop_map(Size::Pods), (1_u32..200).prop_map(Size::Percent)];
    let policy =
        (size, 1_u64..120).prop_map(|(size, period)| Policy { size, period: Duration::from_secs(period) });
    let select = prop_oneof![3 => Just(Select::Max), 3 => Just(Select::Min), 1 => Just(Select::Disabled)];
    (0_u64..120, prop::collection::vec(policy, 0..3), select).prop_map(|(window, policies, select)| Rules {
        window: Duration::from_secs(window),
        policies,
        select,
    })
}

fn scaling() -> impl Strategy<Value = Scaling> {
    let target = prop_oneof![
        (1_u32..100).prop_map(Target::Messages),
        (1_u64..600).prop_map(|seconds| Target::Drain(Duration::from_secs(seconds))),
    ];
    let fallback = prop::option::of(
        (0_u32..200, 0_u64..60)
            .prop_map(|(replicas, after)| Fallback { replicas, after: Duration::from_secs(after) }),
    );
    let limits = (0_u32..50, 0_u32..50).prop_map(|(min, more)| (min, (min + more).max(1)));
    (limits, 1_u32..10, target, rules(), rules(), 0_u64..120, fallback).prop_map(
        |((min, max), concurrency, target, up, down, cool_down, fallback)| Scaling {
            min,
            max,
            concurrency,
            target,
            up,
            down,
            cool_down: Duration::from_secs(cool_down),
            pause: Pause::No,
            fallback,
        },
    )
}

fn pause() -> impl Strategy<Value = Pause> {
    prop_oneof![Just(Pause::No), Just(Pause::In), Just(Pause::Out), Just(Pause::Both)]
}

/// Nothing is known in one look of eight.
fn seen() -> impl Strategy<Value = Glance> {
    let work = (prop_oneof![1 => Just(0), 3 => 0_u64..2000], prop::option::of(0.0..4000.0));
    prop_oneof![1 => Just(None), 7 => work.prop_map(Some)]
}

fn looks() -> impl Strategy<Value = Vec<Look>> {
    prop::collection::vec((1_i64..15, seen()), 1..60)
}

fn as_seen(seen: Glance, unknown_since: Timestamp) -> Seen {
    match seen {
        Some((ready, task_seconds)) => Seen::Work { work: Work { ready, ..Work::default() }, task_seconds },
        None => Seen::Unknown { since: unknown_since },
    }
}

/// All looks in order: what was decided, and the history that they leave.
fn run(scaling: &Scaling, replicas: u32, looks: &[Look]) -> (Vec<petiole_scale::Decision>, History) {
    let (mut now, mut current, mut known) = (1_000_000, replicas, at(1_000_000));
    let mut history = History::start(replicas, None, at(now));
    let mut decisions = Vec::new();
    for (after, seen) in looks {
        now += after;
        if seen.is_some() {
            known = at(now);
        }
        let decision = decide(scaling, &history, &as_seen(*seen, known), current, at(now));
        history.note(&decision);
        current = decision.replicas;
        decisions.push(decision);
    }
    (decisions, history)
}

proptest! {
    #[test]
    fn what_is_decided_is_within_the_limits(scaling in scaling(), replicas in 0_u32..200, looks in looks()) {
        for decision in run(&scaling, replicas, &looks).0 {
            prop_assert!((scaling.min..=scaling.max).contains(&decision.replicas), "{decision:?}");
        }
    }

    #[test]
    fn more_work_never_leads_to_fewer_pods(
        scaling in scaling(),
        pause in pause(),
        replicas in 0_u32..60,
        looks in looks(),
        work in 0_u64..2000,
        more in 1_u64..2000,
        task_seconds in prop::option::of(0.0..4000.0),
    ) {
        let scaling = Scaling { pause, ..scaling };
        let (decisions, history) = run(&scaling, replicas, &looks);
        let last = decisions.last().unwrap();
        let now = last.at + Duration::from_secs(1);
        let decide = |ready| {
            let seen = Seen::Work { work: Work { ready, ..Work::default() }, task_seconds };
            decide(&scaling, &history, &seen, last.replicas, now)
        };
        let (less, more) = (decide(work), decide(work + more));
        prop_assert!(less.replicas <= more.replicas, "{less:?} {more:?}");
    }

    /// By a plain list of all that was recommended.
    #[test]
    fn within_a_window_no_pod_goes_that_was_recommended_and_none_comes_that_was_not(
        scaling in scaling(),
        replicas in 0_u32..50,
        looks in looks(),
    ) {
        let replicas = scaling.within_limits(replicas);
        let (decisions, _) = run(&scaling, replicas, &looks);
        let mut recommended = vec![(at(1_000_000), replicas)];
        for decision in decisions {
            recommended.push((decision.at, decision.recommended.unwrap_or(decision.replicas)));
            if decision.recommended.is_none() {
                continue;
            }
            let recent = |window: Duration| {
                let from = decision.at - window;
                recommended.iter().filter(move |(at, _)| *at > from || *at == decision.at).map(|(_, replicas)| *replicas)
            };
            if decision.replicas < decision.current {
                let highest = recent(scaling.down.window).max().unwrap();
                prop_assert!(decision.replicas >= highest, "{decision:?}, recommended {highest}");
            }
            if decision.replicas > decision.current {
                let lowest = recent(scaling.up.window).min().unwrap();
                prop_assert!(decision.replicas <= lowest, "{decision:?}, recommended {lowest}");
            }
        }
    }

    #[test]
    fn the_same_history_has_the_same_answer(scaling in scaling(), replicas in 0_u32..60, looks in looks()) {
        prop_assert_eq!(run(&scaling, replicas, &looks), run(&scaling, replicas, &looks));
    }

    #[test]
    fn what_nobody_knows_moves_no_pod_but_to_the_fallback(
        scaling in scaling(),
        replicas in 0_u32..60,
        looks in looks(),
    ) {
        let replicas = scaling.within_limits(replicas);
        for decision in run(&scaling, replicas, &looks).0.iter().filter(|one| one.recommended.is_none()) {
            match decision.reason {
                Reason::SignalUnknown => prop_assert_eq!(decision.replicas, decision.current),
                reason => {
                    prop_assert_eq!(reason, Reason::Fallback);
                    let fallback = scaling.fallback.unwrap().replicas;
                    prop_assert_eq!(decision.replicas, scaling.within_limits(fallback));
                }
            }
        }
    }

    #[test]
    fn a_pause_moves_nothing_in_its_direction(
        scaling in scaling(),
        pause in pause(),
        replicas in 0_u32..60,
        looks in looks(),
    ) {
        for decision in run(&Scaling { pause, ..scaling }, replicas, &looks).0 {
            let (before, after) = (decision.current, decision.replicas);
            prop_assert!(!matches!(pause, Pause::In | Pause::Both) || after >= before, "{decision:?}");
            prop_assert!(!matches!(pause, Pause::Out | Pause::Both) || after <= before, "{decision:?}");
        }
    }

    /// There are never more places than tasks, however long they take, and always one for the first.
    #[test]
    fn a_drain_target_is_sane_at_no_workers_and_no_throughput_and_for_long_tasks(
        within in 1_u32..7200,
        concurrency in 1_u32..10,
        ready in 0_u32..10_000,
        task_seconds in prop::option::of(0.0..86_400.0),
    ) {
        let target = Target::Drain(Duration::from_secs(within.into()));
        let scaling = Scaling {
            min: 0, max: u32::MAX, concurrency, target, up: Rules::default(), down: Rules::default(),
            cool_down: Duration::ZERO, pause: Pause::No, fallback: None,
        };
        let history = History::start(0, None, at(0));
        let decision = decide(&scaling, &history, &as_seen(Some((ready.into(), task_seconds)), at(0)), 0, at(1));
        let places = u64::from(decision.replicas) * u64::from(concurrency);
        prop_assert!(places < u64::from(ready) + u64::from(concurrency), "{decision:?}");
        prop_assert_eq!(decision.replicas > 0, ready > 0);
        if let Some(seconds) = task_seconds.filter(|seconds| *seconds < 1.0e-3 * f64::from(within)) {
            // Short tasks are done in time, with less than a pod to spare.
            let needed = f64::from(ready) * seconds / (f64::from(within) * f64::from(concurrency));
            prop_assert!(f64::from(decision.replicas) < needed + 1.0 || decision.replicas == 1);
        }
    }

    #[test]
    fn a_task_takes_as_long_as_those_that_have_ended(
        batches in prop::collection::vec((1_u32..100, 0_u32..100_000, 1_i64..600), 1..50),
    ) {
        let mut runtime = Runtime::default();
        let (mut now, mut least, mut most) = (0, f64::MAX, 0.0_f64);
        for (ended, milliseconds, after) in batches {
            now += after;
            runtime.add(ended.into(), Duration::from_millis(milliseconds.into()), at(now));
            let mean = f64::from(milliseconds) / 1000.0 / f64::from(ended);
            (least, most) = (least.min(mean), most.max(mean));
            let seconds = runtime.task_seconds(Running::default()).unwrap();
            prop_assert!((least - 1e-6..=most + 1e-6).contains(&seconds), "{seconds} of {least}..{most}");
        }
    }
}
