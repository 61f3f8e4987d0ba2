//! What the end of a process means for the attempts that it had, and what becomes of those that it gives back.

use std::time::Instant;

use super::attempt::{Note, Run, State};
use super::{Attempt, Effects, Executor, Runs};
use crate::outcome::Outcome;

impl Runs {
    /// The process of an attempt is gone.
    pub(super) fn lose(
        &mut self,
        attempt: Attempt,
        why: &str,
        excused: bool,
        now: Instant,
        effects: &mut Effects,
    ) {
        let Some(run) = self.attempts.get(&attempt) else { return };
        match run.state {
            State::Waiting => {}
            State::Given { .. } => self.wait_again(attempt),
            State::Started { .. } if excused => self.end(attempt, Outcome::Returned, now, effects),
            State::Started { hard: true, .. } => {
                let limit = run.work.limits.hard.unwrap_or_default();
                self.end(attempt, Outcome::HardTimeLimit(limit), now, effects);
            }
            // Another attempt's hard limit, or its revocation, killed the handler that this one shared with it.
            State::Started { process, .. } if self.killed(process) => {
                self.end(attempt, Outcome::Returned, now, effects);
            }
            State::Started { .. } => self.end(attempt, Outcome::WorkerLost(why.to_owned()), now, effects),
        }
    }

    /// Only what was given and has not started may wait again: anything else would run twice.
    pub(super) fn wait_again(&mut self, attempt: Attempt) {
        let Some(run) = self.attempts.get_mut(&attempt) else { return };
        let State::Given { process } = run.state else { return };
        if let Executor::Serve(serve) = &mut self.executor {
            serve.came_back(process);
        }
        run.state = State::Waiting;
        if run.note == Note::Written {
            run.note = Note::Needed;
        }
        self.waiting.push_front(attempt);
    }

    pub(super) fn held_by(&self, process: u64) -> impl Iterator<Item = Attempt> {
        let mut attempts: Vec<Attempt> = self
            .attempts
            .iter()
            .filter(|(_, run)| run.process() == Some(process))
            .map(|(id, _)| *id)
            .collect();
        // Those that were killed come last, so that their siblings still see why.
        attempts.sort_by_key(|id| self.attempts.get(id).is_some_and(Run::was_killed));
        attempts.into_iter()
    }

    fn killed(&self, process: u64) -> bool {
        self.attempts.values().any(|run| run.was_killed() && run.process() == Some(process))
    }
}
