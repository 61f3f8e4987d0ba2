//! What this worker holds, for those who ask.

use std::time::{Duration, Instant};

use super::attempt::State;
use super::{Attempt, Runs};
use crate::work::Work;

/// An attempt that has not ended.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// Its name in frames.
    pub attempt: Attempt,
    /// What it does.
    pub work: &'a Work,
    /// For how long it has run, where it has started.
    pub running: Option<Duration>,
    /// The process that runs it, as its container sees it.
    pub pid: Option<u32>,
}

impl Runs {
    /// All attempts, the oldest first.
    pub fn held(&self, now: Instant) -> Vec<Held<'_>> {
        let held = self.attempts.iter().map(|(attempt, run)| {
            let started = matches!(run.state, State::Started { .. });
            let running = started.then(|| now.duration_since(run.since));
            let pid = run.process().filter(|_| started).and_then(|process| self.pids.get(&process).copied());
            Held { attempt: *attempt, work: &run.work, running, pid }
        });
        let mut held: Vec<_> = held.collect();
        held.sort_unstable_by_key(|held| held.attempt);
        held
    }

    /// Whether [`super::Effects::begun`] says which tasks have started.
    pub fn tell_starts(&mut self, on: bool) {
        self.tells_starts = on;
    }
}
