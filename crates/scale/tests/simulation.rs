//! A pool and its queue over hours, a second at a time: load that comes and goes, a queue that is stuck, a broker that is
//! away. Pods take a while to start, and take tasks from then on.

#![allow(clippy::unwrap_used, reason = "a number that is no time fails its test")]

use std::time::Duration;

use jiff::Timestamp;
use petiole_scale::scaling::{Pause, Rules, Target};
use petiole_scale::{Decision, History, Reason, Scaling, Seen, Work, decide};

/// Seconds until a pod that was asked for takes tasks.
const STARTS: i64 = 4;

/// A pod is worth 30 s of work; down as a `HorizontalPodAutoscaler` does it unless it is told otherwise.
fn scaling() -> Scaling {
    Scaling {
        min: 0,
        max: 40,
        concurrency: 1,
        target: Target::Drain(Duration::from_secs(30)),
        up: Rules::default(),
        down: Rules { window: Duration::from_mins(5), ..Rules::default() },
        cool_down: Duration::from_mins(5),
        pause: Pause::No,
        fallback: None,
    }
}

/// A queue of tasks of one second each, and the pool that works on it.
struct World {
    scaling: Scaling,
    history: History,
    second: i64,
    /// When each pod begins to take tasks.
    pods: Vec<i64>,
    messages: u64,
    /// Whether tasks end.
    stuck: bool,
    /// When the broker could be asked last.
    known: Timestamp,
    decisions: Vec<Decision>,
}

impl World {
    fn new() -> Self {
        let now = Timestamp::UNIX_EPOCH;
        Self {
            scaling: scaling(),
            history: History::start(0, None, now),
            second: 0,
            pods: Vec::new(),
            messages: 0,
            stuck: false,
            known: now,
            decisions: Vec::new(),
        }
    }

    /// A second goes by, in which so many messages arrive. `away`: the broker says nothing of it.
    fn pass(&mut self, arrive: u64, away: bool) {
        self.second += 1;
        let now = Timestamp::from_second(self.second).unwrap();
        self.messages += arrive;
        let at_work = self.pods.iter().filter(|begins| **begins <= self.second).count() as u64;
        let reserved = at_work.min(self.messages);
        let seen = if away {
            Seen::Unknown { since: self.known }
        } else {
            self.known = now;
            let work = Work { ready: self.messages - reserved, reserved, ..Work::default() };
            Seen::Work { work, task_seconds: Some(if self.stuck { 3600.0 } else { 1.0 }) }
        };
        if !self.stuck {
            self.messages -= reserved;
        }
        let current = u32::try_from(self.pods.len()).unwrap();
        let decision = decide(&self.scaling, &self.history, &seen, current, now);
        self.history.note(&decision);
        self.pods.resize(decision.replicas as usize, self.second + STARTS);
        self.decisions.push(decision);
    }

    /// How often the number of pods began to fall or to rise.
    fn turns(&self) -> usize {
        let mut directions: Vec<bool> = Vec::new();
        for Decision { current, replicas, .. } in &self.decisions {
            if current != replicas && directions.last() != Some(&(replicas > current)) {
                directions.push(replicas > current);
            }
        }
        directions.len()
    }

    fn replicas(&self) -> u32 {
        self.decisions.last().unwrap().replicas
    }
}

/// Messages a second, of a load that rises and falls every 20 minutes.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small whole numbers"
)]
fn wave(second: i64) -> u64 {
    let part = (second % 1200) as f64 / 1200.0;
    (10.0 - 9.0 * (part * std::f64::consts::TAU).cos()).round() as u64
}

#[test]
fn load_that_rises_and_falls_is_followed_without_flapping() {
    let mut world = World::new();
    let mut longest = 0;
    // Six times.
    for second in 0..1200 * 6 {
        world.pass(wave(second), false);
        longest = longest.max(world.messages);
    }
    // Up once and down once in each.
    assert!(world.turns() <= 2 * 6 + 1, "{} turns", world.turns());
    // Twenty a second at the most: what waits is never worth much more than the 30 s.
    assert!(longest <= 20 * 45, "{longest} messages waited");
    let fewest = world.decisions[1200..].iter().map(|one| one.replicas).min().unwrap();
    let most = world.decisions.iter().map(|one| one.replicas).max().unwrap();
    assert!((1..=12).contains(&fewest) && (19..=30).contains(&most), "between {fewest} and {most} pods");
}

#[test]
fn a_stuck_queue_gets_a_place_for_each_task_and_no_more_and_keeps_them() {
    let mut world = World::new();
    world.stuck = true;
    world.pass(25, false);
    for _ in 0..4 * 3600 {
        world.pass(0, false);
    }
    assert_eq!((world.replicas(), world.turns()), (25, 1));
    // Whatever else comes, there is an end.
    world.pass(1000, false);
    for _ in 0..3600 {
        world.pass(0, false);
    }
    assert_eq!((world.replicas(), world.decisions.last().unwrap().reason), (40, Reason::TooManyReplicas));
    world.stuck = false;
    for _ in 0..3600 {
        world.pass(0, false);
    }
    assert_eq!((world.replicas(), world.turns()), (0, 2));
}

#[test]
fn a_broker_that_is_away_for_two_minutes_costs_no_pod_and_brings_none() {
    let mut world = World::new();
    for second in 0..600 {
        world.pass(wave(second), false);
    }
    let (before, turns) = (world.replicas(), world.turns());
    assert!(before > 10);
    for _ in 0..120 {
        world.pass(0, true);
        assert_eq!(
            (world.replicas(), world.decisions.last().unwrap().reason),
            (before, Reason::SignalUnknown)
        );
    }
    // It comes back as empty as one that has lost everything: only after the whole window does a pod go.
    for _ in 0..299 {
        world.pass(0, false);
        assert_eq!(world.replicas(), before);
    }
    for _ in 0..600 {
        world.pass(0, false);
    }
    assert_eq!((world.replicas(), world.turns()), (0, turns + 1));
}
