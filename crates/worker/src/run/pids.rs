//! The processes' ids, as their container sees them: what the runner tells of those that it has started.

use super::attempt::State;
use super::{Attempt, Effects, Executor, Runs, Started};

impl Runs {
    /// The ids of the processes that there are, the oldest first.
    pub fn pids(&self) -> Vec<u32> {
        self.pids.values().copied().collect()
    }

    /// A process was started, and has this id. What of its attempts could not be said without it is said now.
    pub(super) fn runs_as(&mut self, process: u64, pid: u32, effects: &mut Effects) {
        self.pids.insert(process, pid);
        let attempts: Vec<Attempt> = match &self.executor {
            Executor::Exec(_) => vec![process],
            Executor::Serve(_) => self.held_by(process).collect(),
        };
        for run in attempts.iter().filter_map(|attempt| self.attempts.get(attempt)) {
            if matches!(run.state, State::Started { .. }) && run.work.plan.task.track_started {
                let (tag, work) = (run.tag, run.work.clone());
                effects.started.push(Started { tag, work, pid: Some(pid), begins: false });
            }
        }
    }
}
