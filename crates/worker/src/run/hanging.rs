//! Runs that hang: what was given ahead to the same handler is called back, so that it runs elsewhere.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::attempt::State;
use super::{Attempt, Effects, Executor, Runs, Stopping};

/// A run that has gone on for so long blocks what was given ahead to the same handler; that is called back.
const STUCK: Duration = Duration::from_millis(250);

/// Between two looks for such runs.
const LOOK: Duration = Duration::from_millis(100);

impl Runs {
    /// Calls back what was given ahead to handlers whose run hangs.
    pub(super) fn call_back(&mut self, now: Instant, effects: &mut Effects) {
        let Executor::Serve(serve) = &mut self.executor else { return };
        // All attempts are looked at, so not after each batch of frames.
        if self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
            return;
        }
        self.looked = Some(now);
        let mut given: HashMap<u64, (bool, Vec<Attempt>)> = HashMap::new();
        for (attempt, run) in &self.attempts {
            match run.state {
                State::Waiting => {}
                State::Given { process } => given.entry(process).or_default().1.push(*attempt),
                State::Started { process, .. } => {
                    let elapsed = now.duration_since(run.since);
                    if elapsed >= STUCK {
                        self.window.stuck(elapsed);
                        given.entry(process).or_default().0 = true;
                    }
                }
            }
        }
        for (process, (stuck, attempts)) in given {
            if (stuck || self.stopping != Stopping::No) && !attempts.is_empty() {
                serve.recall(process, attempts, effects);
            }
        }
    }
}
