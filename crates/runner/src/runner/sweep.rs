//! Collecting what has ended, and what it has left behind.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Runner, is_started};
use crate::orphans;

/// Between two looks at an orphan that is about to become another program.
const AGAIN: Duration = Duration::from_millis(2);

impl Runner {
    /// Collects what has ended.
    pub(super) fn reap(&mut self, now: Instant) {
        for running in self.processes.values_mut() {
            running.reap(now);
        }
        orphans::reap(|pid| is_started(&self.processes, pid));
        self.sweep(now);
    }

    /// Kills the orphans that no running process owns. While nobody can say whose one is, no process that has ended is taken
    /// for one of which nothing is left.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.sweeps = None;
        let Some(reports) = &self.reports else { return };
        let runs = |process: &u64| self.processes.get(process).is_some_and(|running| !running.has_ended());
        let any = self.processes.keys().any(&runs);
        let mut escaped = BTreeSet::new();
        for orphan in orphans::find(|pid| is_started(&self.processes, pid), reports.folder()) {
            let belongs = orphan.loading || orphan.owner.as_ref().map_or(any, &runs);
            if !belongs || self.killing() {
                orphan.kill();
                escaped.extend(orphan.owner);
            } else if orphan.loading {
                self.sweeps = Some(now + AGAIN);
            }
        }
        for (process, running) in &mut self.processes {
            running.escaped = escaped.contains(process) || (self.sweeps.is_some() && running.has_ended());
        }
    }
}
