//! Step 3, run: which task runs where, until when.
//!
//! ```text
//!              take               give                 started
//!   admitted ───────> waiting ──────────────> given ─────────────> started ───> ended
//!                        ^                      │ recalled, handler gone
//!                        └──────────────────────┘
//! ```
//!
//! A state machine without a clock and without a socket: frames and `now` go in, [`Effects`] come out. Only a
//! started attempt is the victim of a death; one that merely waited, or was given and not started, waits again.
//!
//! - `note`: which attempts the broker is told of, some of them before they begin.
//! - `heard`: what the runner and the handlers say. [`held`]: what there is, and in which processes (`pids`). `revoke`:
//!   what a revocation means for it.
//! - [`exec`]: a process per task. [`serve`]: long-lived handlers. [`window`]: how much to hold ahead.

mod asked;
mod attempt;
mod deadlines;
pub mod effects;
pub mod exec;
mod hanging;
mod heard;
pub mod held;
mod lost;
mod note;
mod pids;
mod revoke;
pub mod serve;
mod stop;
#[cfg(test)]
mod tests;
mod window;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use petiole_broker::Tag;
use petiole_contract::pool::Mode;

use self::attempt::{Note, Run, State};
use self::deadlines::Deadlines;
pub use self::effects::{Effects, Ended, Progress, Revoked, Started};
use self::exec::Exec;
use self::note::Unnoted;
use self::serve::Serve;
use self::window::Window;
use crate::outcome::Outcome;
use crate::work::Work;

/// Names a connection on the worker's socket.
pub type Peer = u64;

/// Names an attempt in frames. Not the tag: tags begin anew with each incarnation, and a late frame must not meet
/// another attempt of the same number.
pub type Attempt = u64;

/// A message that has waited here for so long goes back to its queue: another worker may be idle.
const PATIENCE: Duration = Duration::from_secs(1);

/// Messages are fetched in batches of at least this many while tasks are quick: below it, the cost of a batch shows.
const BATCH: usize = 16;

/// The attempts of this worker.
#[derive(Debug)]
pub struct Runs {
    executor: Executor,
    /// The ids of the processes that run, by their numbers.
    pids: BTreeMap<u64, u32>,
    attempts: HashMap<Attempt, Run>,
    /// How many of the attempts have started.
    started: usize,
    /// How many have ever, of which the broker did not know before.
    starts: u64,
    unnoted: Unnoted,
    waiting: VecDeque<Attempt>,
    deadlines: Deadlines,
    window: Window,
    next: Attempt,
    concurrency: usize,
    stopping: Stopping,
    /// See [`Self::kill`].
    killing: bool,
    tells_starts: bool,
    /// When [`Self::call_back`] last looked.
    looked: Option<Instant>,
}

/// Whether anything more is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    /// It is.
    No,
    /// Nothing, until it is called back: see [`Runs::rest`].
    Resting,
    /// Nothing: see [`Runs::drain`].
    Draining,
}

#[derive(Debug)]
enum Executor {
    Exec(Exec),
    Serve(Serve),
}

impl Runs {
    /// Nothing runs yet.
    pub fn new(mode: &Mode, concurrency: u32) -> Self {
        let concurrency = concurrency.max(1) as usize;
        let executor = match mode {
            Mode::Exec => Executor::Exec(Exec::new(concurrency)),
            Mode::Serve { command } => Executor::Serve(Serve::new(command.clone(), concurrency)),
        };
        Self {
            executor,
            pids: BTreeMap::new(),
            attempts: HashMap::new(),
            started: 0,
            starts: 0,
            unnoted: Unnoted::default(),
            waiting: VecDeque::new(),
            deadlines: Deadlines::default(),
            window: Window::default(),
            next: 1,
            concurrency,
            stopping: Stopping::No,
            killing: false,
            tells_starts: false,
            looked: None,
        }
    }

    /// Lets so many tasks run at a time from now on. What runs ends by itself.
    pub fn resize(&mut self, concurrency: u32, now: Instant, effects: &mut Effects) {
        self.concurrency = concurrency.max(1) as usize;
        match &mut self.executor {
            Executor::Exec(exec) => exec.resize(self.concurrency),
            Executor::Serve(serve) => {
                serve.resize(self.concurrency, self.stopping == Stopping::Draining, now, effects);
            }
        }
        self.give(now, effects);
    }

    /// How many messages to fetch now.
    pub fn wants(&self) -> usize {
        if self.stopping != Stopping::No || !self.ready() {
            return 0;
        }
        let ahead = self.window.ahead(self.concurrency);
        let wants = (self.concurrency + ahead + self.aside()).saturating_sub(self.attempts.len());
        let worth_a_batch = wants >= BATCH || ahead < BATCH;
        if worth_a_batch { wants } else { 0 }
    }

    /// Whether a task that is taken now can start.
    pub fn ready(&self) -> bool {
        match &self.executor {
            Executor::Exec(exec) => exec.ready(),
            Executor::Serve(serve) => serve.ready(),
        }
    }

    /// What the executor waits for, when it is not ready.
    pub fn missing(&self) -> &'static str {
        match &self.executor {
            Executor::Exec(_) => "the runner is not connected",
            Executor::Serve(serve) => serve.missing(),
        }
    }

    /// Nothing is held any more.
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// How many attempts there are, and how many of them have started.
    pub fn count(&self) -> (usize, usize) {
        (self.attempts.len(), self.started)
    }

    /// Takes admitted work.
    pub fn take(&mut self, tag: Tag, work: Box<Work>, now: Instant, effects: &mut Effects) {
        let note = if work.message.redelivered { Note::Needed } else { Note::Later };
        self.take_as(note, tag, work, now, effects);
    }

    /// The same of work of which the broker knows already that it begins.
    pub fn take_noted(&mut self, tag: Tag, work: Box<Work>, now: Instant, effects: &mut Effects) {
        self.take_as(Note::Written, tag, work, now, effects);
    }

    fn take_as(&mut self, note: Note, tag: Tag, work: Box<Work>, now: Instant, effects: &mut Effects) {
        let attempt = self.next;
        self.next += 1;
        let run = Run {
            tag,
            work,
            state: State::Waiting,
            since: now,
            revoked: None,
            note,
            goes_on: false,
            adds: Vec::new(),
            wrong: None,
        };
        self.attempts.insert(attempt, run);
        self.waiting.push_back(attempt);
        self.give(now, effects);
    }

    /// A runner has connected.
    pub fn runner_connected(&mut self, peer: Peer, now: Instant, effects: &mut Effects) {
        self.pids.clear();
        match &mut self.executor {
            Executor::Exec(exec) => exec.connected(peer),
            Executor::Serve(serve) => serve.connected(peer, now, effects),
        }
        self.give(now, effects);
    }

    /// A handler has said hello. `false` when it is none of ours.
    pub fn handler_connected(
        &mut self,
        peer: Peer,
        hello: &petiole_contract::serve::Hello,
        now: Instant,
        effects: &mut Effects,
    ) -> bool {
        let Executor::Serve(serve) = &mut self.executor else { return false };
        let known = serve.handler_connected(peer, hello, effects);
        self.give(now, effects);
        known
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, peer: Peer, excused: bool, now: Instant, effects: &mut Effects) {
        let runner_gone = match &mut self.executor {
            Executor::Exec(exec) => exec.disconnected(peer),
            Executor::Serve(serve) => serve.disconnected(peer, effects),
        };
        if runner_gone {
            self.pids.clear();
            let attempts: Vec<Attempt> = self.attempts.keys().copied().collect();
            for attempt in attempts {
                self.lose(attempt, "the task's container has ended", excused, now, effects);
            }
            self.give(now, effects);
        }
    }

    /// Hands out what waits. Called once after a batch of frames, so that a batch of runs leaves by one write.
    pub fn give(&mut self, now: Instant, effects: &mut Effects) {
        self.next_chance();
        while let Some(attempt) = self.waiting.front().copied() {
            if self.keeps_places() {
                return;
            }
            let Some(run) = self.attempts.get_mut(&attempt) else {
                self.waiting.pop_front();
                continue;
            };
            // One that its handler has given back.
            let may_not_begin = self.stopping == Stopping::Resting && !run.goes_on;
            if run.revoked.is_some() || may_not_begin {
                self.waiting.pop_front();
                self.end(attempt, Outcome::Returned, now, effects);
                continue;
            }
            if run.note == Note::Needed {
                if self.note_first(attempt, now, effects) {
                    continue;
                }
                return;
            }
            match &mut self.executor {
                Executor::Exec(exec) => {
                    if !exec.free() {
                        return;
                    }
                    self.waiting.pop_front();
                    match exec.start(attempt, &run.work, effects) {
                        Ok(()) => {
                            run.state = State::Given { process: attempt };
                            self.started(attempt, now, effects);
                        }
                        Err(exception) => self.end(attempt, Outcome::Failure(exception), now, effects),
                    }
                }
                Executor::Serve(serve) => {
                    let Some(given) = serve.give(attempt, &run.work, effects) else { return };
                    self.waiting.pop_front();
                    match given {
                        Ok(process) => run.state = State::Given { process },
                        Err(exception) => self.end(attempt, Outcome::Failure(exception), now, effects),
                    }
                }
            }
        }
    }

    /// Time has passed: limits, runs that hang, messages that have waited for too long.
    pub fn tick(&mut self, now: Instant, effects: &mut Effects) {
        while let Some((attempt, limit)) = self.deadlines.passed(now) {
            self.limit(attempt, limit, effects);
        }
        self.call_back(now, effects);
        if let Executor::Serve(serve) = &mut self.executor {
            serve.tick(now, self.stopping == Stopping::Draining, effects);
        }
        self.lose_patience(now, effects);
        while let Some(attempt) = self.waiting.front().copied() {
            match self.attempts.get(&attempt) {
                Some(run) if now.duration_since(run.since) < PATIENCE => break,
                _ => {
                    self.waiting.pop_front();
                    self.end(attempt, Outcome::Returned, now, effects);
                }
            }
        }
    }

    fn started(&mut self, attempt: Attempt, now: Instant, effects: &mut Effects) {
        let Some(run) = self.attempts.get_mut(&attempt) else { return };
        let State::Given { process } = run.state else { return };
        run.state = State::Started { process, soft: false, hard: false };
        self.started += 1;
        if run.note != Note::Written {
            self.starts += 1;
        }
        run.since = now;
        self.deadlines.set(attempt, run.work.limits, now);
        if self.tells_starts {
            effects.begun.push(run.work.message.id.clone());
        }
        let pid = self.pids.get(&process).copied();
        if run.work.plan.task.acks_early || (run.work.plan.task.track_started && pid.is_some()) {
            effects.started.push(Started { tag: run.tag, work: run.work.clone(), pid, begins: true });
        }
        self.terminate_started(attempt, effects);
    }

    fn end(&mut self, attempt: Attempt, outcome: Outcome, now: Instant, effects: &mut Effects) {
        let Some(mut run) = self.attempts.remove(&attempt) else { return };
        let took = matches!(run.state, State::Started { .. }).then(|| now.duration_since(run.since));
        if let Some(took) = took {
            self.started -= 1;
            self.deadlines.clear(attempt, run.work.limits, run.since);
            self.window.took(took);
        }
        if let Some(by) = run.ends_revoked() {
            effects.revoked.push(Revoked { tag: run.tag, work: run.work, signal: by.signal() });
            return;
        }
        let outcome = match (run.wrong.take(), outcome) {
            (_, Outcome::Returned) => Outcome::Returned,
            (Some(wrong), _) => Outcome::Failure(*wrong),
            (None, Outcome::Success(value)) if !run.adds.is_empty() => {
                Outcome::Adding(value, std::mem::take(&mut run.adds))
            }
            (None, Outcome::Success(value)) => match run.work.called(value) {
                Some(value) => Outcome::Success(value),
                None => return self.call_again(run, now),
            },
            (None, other) => other,
        };
        effects.ended.push(Ended { tag: run.tag, work: run.work, outcome, took });
    }

    /// The next call of `celery.map`: before everything that waits, since its message was begun.
    fn call_again(&mut self, run: Run, now: Instant) {
        let attempt = self.next;
        self.next += 1;
        self.attempts
            .insert(attempt, Run { goes_on: true, state: State::Waiting, since: now, revoked: None, ..run });
        self.waiting.push_front(attempt);
    }
}
