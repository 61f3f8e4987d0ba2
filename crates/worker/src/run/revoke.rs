//! What a revocation means for the attempts that it meets.
//!
//! ```text
//!   waiting            ends
//!   given, not started called back, and ends when it comes back
//!   started            goes on; with `terminate` its process gets the signal, and its end is the revocation's
//! ```

use std::collections::HashMap;
use std::time::Instant;

use petiole_contract::control::ToRunner;
use petiole_protocol::message::Message;

use super::attempt::{Revoked, State};
use super::{Attempt, Effects, Executor, Runs};
use crate::outcome::Outcome;

impl Runs {
    /// Attempts of tasks that are revoked do not start any more.
    pub fn revoke(&mut self, is_revoked: impl Fn(&Message) -> bool, now: Instant, effects: &mut Effects) {
        let (mut waiting, mut given) = (Vec::new(), HashMap::<u64, Vec<Attempt>>::new());
        for (attempt, run) in &mut self.attempts {
            if run.revoked.is_some() || !is_revoked(&run.work.message) {
                continue;
            }
            match run.state {
                State::Started { .. } => continue,
                State::Waiting => waiting.push(*attempt),
                State::Given { process } => given.entry(process).or_default().push(*attempt),
            }
            run.revoked = Some(Revoked::Drop);
        }
        // Where they stand in line they are passed over: nobody has an attempt of that number any more.
        for attempt in waiting {
            self.end(attempt, Outcome::Returned, now, effects);
        }
        if let Executor::Serve(serve) = &mut self.executor {
            for (process, attempts) in given {
                serve.recall(process, attempts, effects);
            }
        }
    }

    /// Ends attempts by a signal: those that run now, and those that were given away and start in this moment.
    pub fn terminate(&mut self, attempts: &[Attempt], signal: i32, effects: &mut Effects) {
        for attempt in attempts {
            if let Some(run) = self.attempts.get_mut(attempt) {
                run.revoked = Some(Revoked::Terminate(signal));
                self.terminate_started(*attempt, effects);
            }
        }
    }

    /// Signals the process of an attempt that has started, if it is to be ended.
    pub(super) fn terminate_started(&self, attempt: Attempt, effects: &mut Effects) {
        let Some(run) = self.attempts.get(&attempt) else { return };
        let (Some(Revoked::Terminate(signal)), State::Started { process, .. }) = (run.revoked, run.state)
        else {
            return;
        };
        let runner = match &self.executor {
            Executor::Exec(exec) => exec.runner(),
            Executor::Serve(serve) => serve.runner(),
        };
        if let Some(runner) = runner {
            effects.send(runner, &ToRunner::Signal { process, signal }, &[]);
        }
    }
}
