//! Stopping: no more is taken, and what has not started goes back; what runs may end, or is killed and goes back, too.
//! When the lease is lost, everything is killed and forgotten. Resting is the beginning of stopping, and can be taken back.

use std::time::Instant;

use petiole_contract::control::ToRunner;

use super::deadlines::Deadlines;
use super::{Effects, Executor, Runs, Stopping};
use crate::outcome::Outcome;

impl Runs {
    /// Takes nothing more; gives back what has not started; lets the rest end.
    pub fn drain(&mut self, now: Instant, effects: &mut Effects) {
        if std::mem::replace(&mut self.stopping, Stopping::Draining) == Stopping::Draining {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        for attempt in self.take_unnoted().into_iter().chain(waiting) {
            self.end(attempt, Outcome::Returned, now, effects);
        }
        if let Executor::Serve(serve) = &mut self.executor {
            serve.drain(effects);
        }
    }

    /// Takes nothing more and gives back what has not begun; lets the rest end. All is kept ready to go on, and the broker is
    /// told of what runs as before: this may last as long as the longest task.
    pub fn rest(&mut self, now: Instant, effects: &mut Effects) {
        if self.stopping != Stopping::No {
            return;
        }
        self.stopping = Stopping::Resting;
        let waiting = std::mem::take(&mut self.waiting);
        for attempt in self.take_unnoted().into_iter().chain(waiting) {
            if self.attempts.get(&attempt).is_some_and(|run| run.goes_on) {
                self.waiting.push_back(attempt);
            } else {
                self.end(attempt, Outcome::Returned, now, effects);
            }
        }
    }

    /// Takes messages again.
    pub fn wake(&mut self) {
        if self.stopping == Stopping::Resting {
            self.stopping = Stopping::No;
        }
    }

    /// What runs may not even end: every process is killed, and its tasks go back. Nothing waits any more: this comes after
    /// [`Self::drain`].
    pub fn kill(&mut self, effects: &mut Effects) {
        if std::mem::replace(&mut self.killing, true) {
            return;
        }
        tracing::warn!(running = self.started, "stopping at once: running tasks are killed and go back");
        self.kill_processes(effects);
    }

    /// Works again after a drain: the runner's container was only restarted.
    pub fn resume(&mut self) {
        self.stopping = Stopping::No;
        self.killing = false;
    }

    /// The lease is lost: every process is killed, every attempt forgotten. Nothing of them is settled.
    pub fn abandon(&mut self, effects: &mut Effects) {
        self.attempts.clear();
        self.started = 0;
        self.waiting.clear();
        self.take_unnoted();
        self.deadlines = Deadlines::default();
        if let Executor::Serve(serve) = &mut self.executor {
            serve.abandon();
        }
        self.kill_processes(effects);
    }

    fn kill_processes(&self, effects: &mut Effects) {
        let runner = match &self.executor {
            Executor::Exec(exec) => exec.runner(),
            Executor::Serve(serve) => serve.runner(),
        };
        if let Some(runner) = runner {
            effects.send(runner, &ToRunner::KillAll {}, &[]);
        }
    }
}
