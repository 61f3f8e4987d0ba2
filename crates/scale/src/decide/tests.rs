use std::time::Duration;

use super::*;
use crate::scaling::{Fallback, Policy, Rules, Select, Size, Target};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One pod for each ten messages, 0 to 20 pods, down after five minutes, to zero after five minutes.
fn scaling() -> Scaling {
    Scaling {
        min: 0,
        max: 20,
        concurrency: 1,
        target: Target::Messages(10),
        up: Rules::default(),
        down: Rules { window: seconds(300), ..Rules::default() },
        cool_down: seconds(300),
        pause: Pause::No,
        fallback: None,
    }
}

fn ready(ready: u64) -> Seen {
    Seen::Work { work: Work { ready, ..Work::default() }, task_seconds: None }
}

/// A pool that is looked at, as the operator does it.
struct Pool {
    scaling: Scaling,
    history: History,
    replicas: u32,
}

impl Pool {
    fn new(scaling: Scaling, replicas: u32) -> Self {
        Self { scaling, history: History::start(replicas, None, at(0)), replicas }
    }

    fn look(&mut self, seen: Seen, second: i64) -> (u32, Reason) {
        let decision = decide(&self.scaling, &self.history, &seen, self.replicas, at(second));
        self.history.note(&decision);
        self.replicas = decision.replicas;
        (decision.replicas, decision.reason)
    }
}

#[test]
fn a_burst_is_followed_at_once_and_left_after_the_window() {
    let mut pool = Pool::new(scaling(), 0);
    assert_eq!(pool.look(ready(100), 1), (10, Reason::DesiredWithinRange));
    assert_eq!(pool.look(ready(20), 2), (10, Reason::ScaleDownStabilized));
    assert_eq!(pool.look(ready(20), 300), (10, Reason::ScaleDownStabilized));
    assert_eq!(pool.look(ready(20), 301), (2, Reason::DesiredWithinRange));
}

#[test]
fn the_last_pod_stays_until_it_has_cooled_down() {
    let mut pool = Pool::new(Scaling { down: Rules::default(), ..scaling() }, 0);
    assert_eq!(pool.look(ready(1), 1), (1, Reason::DesiredWithinRange));
    assert_eq!(pool.look(ready(0), 2), (1, Reason::CoolingDown));
    assert_eq!(pool.look(ready(0), 300), (1, Reason::CoolingDown));
    assert_eq!(pool.look(ready(0), 301), (0, Reason::DesiredWithinRange));
    assert_eq!(pool.look(ready(0), 302), (0, Reason::DesiredWithinRange));
}

#[test]
fn limits_hold_at_once_also_when_they_have_just_changed() {
    let mut pool = Pool::new(scaling(), 0);
    assert_eq!(pool.look(ready(10_000), 1), (20, Reason::TooManyReplicas));
    pool.scaling.max = 5;
    assert_eq!(pool.look(ready(10_000), 2), (5, Reason::TooManyReplicas));
    pool.scaling.max = 30;
    pool.scaling.min = 25;
    assert_eq!(pool.look(ready(0), 3), (25, Reason::TooFewReplicas));
}

#[test]
fn a_fresh_look_after_a_restart_moves_nothing_of_itself() {
    // Before, ten pods stayed because there was much to do four minutes ago.
    let mut pool = Pool::new(scaling(), 10);
    assert_eq!(pool.look(ready(20), 1), (10, Reason::ScaleDownStabilized));
    assert_eq!(pool.look(ready(0), 299), (10, Reason::ScaleDownStabilized));
    // Nor does it follow a rise that the window holds back.
    let up = Rules { window: seconds(60), ..Rules::default() };
    let mut pool = Pool::new(Scaling { up, ..scaling() }, 3);
    assert_eq!(pool.look(ready(100), 1), (3, Reason::ScaleUpStabilized));
    assert_eq!(pool.look(ready(100), 59), (3, Reason::ScaleUpStabilized));
    assert_eq!(pool.look(ready(100), 60), (10, Reason::DesiredWithinRange));
}

#[test]
fn unknown_is_not_zero() {
    let unknown = Seen::Unknown { since: at(10) };
    let mut pool = Pool::new(scaling(), 7);
    assert_eq!(pool.look(unknown, 3600), (7, Reason::SignalUnknown));
    let fallback = Some(Fallback { replicas: 12, after: seconds(60) });
    let mut pool = Pool::new(Scaling { fallback, ..scaling() }, 7);
    assert_eq!(pool.look(unknown, 69), (7, Reason::SignalUnknown));
    assert_eq!(pool.look(unknown, 70), (12, Reason::Fallback));
    assert_eq!(pool.look(ready(0), 71), (12, Reason::ScaleDownStabilized));
}

#[test]
fn an_outage_is_no_time_without_work() {
    let mut pool = Pool::new(scaling(), 0);
    assert_eq!(pool.look(ready(50), 1), (5, Reason::DesiredWithinRange));
    assert_eq!(pool.look(Seen::Unknown { since: at(1) }, 1000), (5, Reason::SignalUnknown));
    // The broker is back, and as empty as one that has only just been started.
    assert_eq!(pool.look(ready(0), 1001), (5, Reason::ScaleDownStabilized));
    assert_eq!(pool.look(ready(0), 1299), (5, Reason::ScaleDownStabilized));
    assert_eq!(pool.look(ready(0), 1300), (0, Reason::DesiredWithinRange));
}

#[test]
fn a_pause_holds_in_its_direction_whatever_else_holds() {
    let paused = |pause| Pool::new(Scaling { pause, down: Rules::default(), ..scaling() }, 5);
    assert_eq!(paused(Pause::In).look(ready(10), 1), (5, Reason::Paused));
    assert_eq!(paused(Pause::In).look(ready(90), 1), (9, Reason::DesiredWithinRange));
    assert_eq!(paused(Pause::Out).look(ready(90), 1), (5, Reason::Paused));
    assert_eq!(paused(Pause::Out).look(ready(10), 1), (1, Reason::DesiredWithinRange));
    let mut both = paused(Pause::Both);
    both.scaling.max = 2;
    assert_eq!(both.look(ready(90), 1), (5, Reason::Paused));
}

#[test]
fn steps_go_as_far_as_their_policies_let_them() {
    let policy = |size| Rules {
        window: Duration::ZERO,
        policies: vec![Policy { size, period: seconds(60) }],
        select: Select::Max,
    };
    let (up, down) = (policy(Size::Pods(4)), policy(Size::Percent(50)));
    let mut pool = Pool::new(Scaling { up, down, cool_down: Duration::ZERO, ..scaling() }, 0);
    assert_eq!(pool.look(ready(200), 1), (4, Reason::ScaleUpLimit));
    assert_eq!(pool.look(ready(200), 2), (4, Reason::ScaleUpLimit));
    assert_eq!(pool.look(ready(200), 61), (8, Reason::ScaleUpLimit));
    assert_eq!(pool.look(ready(0), 122), (4, Reason::ScaleDownLimit));
    assert_eq!(pool.look(ready(0), 182), (2, Reason::ScaleDownLimit));
}

#[test]
fn the_arithmetic_can_be_read() {
    let history = History::start(0, None, at(0));
    let decision = decide(&scaling(), &history, &ready(700), 0, at(1));
    assert_eq!(
        decision.formula,
        "ceil((ready 700 + reserved 0 + unacked 0 + due 0) / 10 messages a pod) = 70; at most max: 20"
    );
    assert_eq!((decision.wanted, decision.recommended), (Some(70), Some(20)));
}
