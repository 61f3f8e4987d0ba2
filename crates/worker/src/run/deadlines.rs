//! When the limits of started attempts pass, and what is done then.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::attempt::State;
use super::{Attempt, Effects, Executor, Runs};
use crate::work::Limits;

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Limit {
    /// The task is asked to end.
    Soft,
    /// It is killed.
    Hard,
}

/// The deadlines, the nearest first.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeSet<(Instant, Attempt, Limit)>);

impl Deadlines {
    /// The attempt has started at `since`.
    pub(super) fn set(&mut self, attempt: Attempt, limits: Limits, since: Instant) {
        for (limit, at) in instants(limits, since) {
            self.0.insert((at, attempt, limit));
        }
    }

    /// The attempt that started at `since` has ended.
    pub(super) fn clear(&mut self, attempt: Attempt, limits: Limits, since: Instant) {
        for (limit, at) in instants(limits, since) {
            self.0.remove(&(at, attempt, limit));
        }
    }

    /// Takes out one that has passed.
    pub(super) fn passed(&mut self, now: Instant) -> Option<(Attempt, Limit)> {
        let first = self.0.first()?;
        if first.0 > now {
            return None;
        }
        self.0.pop_first().map(|(_, attempt, limit)| (attempt, limit))
    }

    /// The nearest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _, _)| *at)
    }
}

fn instants(limits: Limits, since: Instant) -> impl Iterator<Item = (Limit, Instant)> {
    let at = move |seconds: f64| {
        // A limit that no clock can reach is none.
        Duration::try_from_secs_f64(seconds).ok().and_then(|limit| since.checked_add(limit))
    };
    let soft = limits.soft.and_then(at).map(|instant| (Limit::Soft, instant));
    let hard = limits.hard.and_then(at).map(|instant| (Limit::Hard, instant));
    soft.into_iter().chain(hard)
}

impl Runs {
    /// Whether [`Self::tick`] may have something to do soon, or something else that only time brings.
    pub fn depend_on_time(&self) -> bool {
        let lacking = match &self.executor {
            Executor::Exec(_) => false,
            Executor::Serve(serve) => serve.lacks_handlers(),
        };
        lacking || !self.attempts.is_empty()
    }

    /// When [`Self::tick`] has something to do at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// A limit has passed: the attempt is asked to end, or killed.
    pub(super) fn limit(&mut self, attempt: Attempt, limit: Limit, effects: &mut Effects) {
        let Some(run) = self.attempts.get_mut(&attempt) else { return };
        let State::Started { process, soft, hard } = &mut run.state else { return };
        let process = *process;
        match limit {
            Limit::Soft => *soft = true,
            Limit::Hard => *hard = true,
        }
        match &mut self.executor {
            Executor::Exec(exec) => exec.limit(process, limit, effects),
            Executor::Serve(serve) => serve.limit(process, attempt, limit, effects),
        }
    }
}
