//! Long-lived handlers: how many there are, what each has, when one is started anew.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use petiole_contract::control::{Exited, Output, Start, Status, ToRunner};
use petiole_contract::exec::RESULT_LIMIT;
use petiole_contract::serve::{HANDLER, Hello, PICKLE, Run, RunResult, ToHandler};
use petiole_protocol::record::Exception;

use super::deadlines::Limit;
use super::{Attempt, Effects, Peer, asked, exec};
use crate::outcome::Outcome;
use crate::work::Work;

const SIGKILL: i32 = 9;

/// A handler that ends sooner than this after its start has failed to start; the next waits longer.
const SETTLED: Duration = Duration::from_secs(5);

/// The first and the longest wait before a handler that fails to start is started again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// The handlers of this worker, by the number of their process.
#[derive(Debug)]
pub struct Serve {
    command: Vec<String>,
    concurrency: usize,
    runner: Option<Peer>,
    handlers: BTreeMap<u64, Handler>,
    next: u64,
    backoff: Duration,
    not_before: Option<Instant>,
    /// What the last handler said of its concurrency; before the first has said it, one is started to ask.
    each: Option<usize>,
    last_end: Option<String>,
}

#[derive(Debug)]
struct Handler {
    peer: Option<Peer>,
    word: String,
    started: Instant,
    /// What its hello said: how many runs at a time, how many ahead.
    offers: (usize, usize),
    concurrency: usize,
    prefetch: usize,
    given: usize,
    /// It was told to end: the pool has shrunk.
    leaving: bool,
    /// Its run hangs: nothing is given ahead to it until that has ended.
    hangs: bool,
}

impl Handler {
    /// How many runs it may have. Nothing that has come back is given ahead.
    fn room(&self, came_back: bool) -> usize {
        self.concurrency + if self.hangs || came_back { 0 } else { self.prefetch }
    }

    /// A handler starts what it has room for. One that has more room than the pool allows gets nothing ahead.
    fn fit(&mut self, most: usize) {
        let (runs, prefetch) = self.offers;
        self.concurrency = runs.min(most);
        self.prefetch = if runs > most { 0 } else { prefetch };
    }
}

impl Serve {
    pub(super) fn new(command: Vec<String>, concurrency: usize) -> Self {
        Self {
            command,
            concurrency,
            runner: None,
            handlers: BTreeMap::new(),
            next: 1,
            backoff: BACKOFF.0,
            not_before: None,
            each: None,
            last_end: None,
        }
    }

    pub(super) fn ready(&self) -> bool {
        self.handlers.values().any(|handler| handler.peer.is_some() && !handler.leaving)
    }

    pub(super) fn missing(&self) -> &'static str {
        match (self.runner, &self.last_end) {
            (None, _) => "the runner is not connected",
            (Some(_), None) => "no handler has said hello yet",
            (Some(_), Some(_)) => {
                "the handlers end as soon as they are started: see the log of container task"
            }
        }
    }

    pub(super) fn runner(&self) -> Option<Peer> {
        self.runner
    }

    pub(super) fn connected(&mut self, peer: Peer, now: Instant, effects: &mut Effects) {
        self.runner = Some(peer);
        self.handlers.clear();
        self.not_before = None;
        self.complete(now, effects);
    }

    /// Takes a handler's hello; `false` when its word is not that of a process of ours.
    pub(super) fn handler_connected(&mut self, peer: Peer, hello: &Hello, effects: &mut Effects) -> bool {
        let Some(handler) = self.handlers.values_mut().find(|handler| handler.word == hello.handler) else {
            return false;
        };
        handler.peer = Some(peer);
        handler.offers = (hello.concurrency.max(1) as usize, hello.prefetch as usize);
        handler.fit(self.concurrency);
        let (each, now) = (handler.offers.0, handler.started);
        if handler.leaving {
            effects.send(peer, &ToHandler::Drain {}, &[]);
        }
        self.each = Some(each);
        self.last_end = None;
        self.complete(now, effects);
        true
    }

    /// `true` when it was the runner's connection.
    pub(super) fn disconnected(&mut self, peer: Peer, effects: &mut Effects) -> bool {
        if self.runner == Some(peer) {
            self.runner = None;
            self.handlers.clear();
            return true;
        }
        let lost = self.handlers.iter_mut().find(|(_, handler)| handler.peer == Some(peer));
        if let (Some((process, handler)), Some(runner)) = (lost, self.runner) {
            // A handler without a connection can do nothing for us; its end is told by `exited`.
            handler.peer = None;
            effects.send(runner, &ToRunner::Signal { process: *process, signal: SIGKILL }, &[]);
        }
        false
    }

    /// A process has ended. Says why its started attempts are lost.
    pub(super) fn exited(
        &mut self,
        exited: &Exited,
        draining: bool,
        now: Instant,
        effects: &mut Effects,
    ) -> String {
        let why = match &exited.status {
            Status::Code(code) => format!("the handler exited with code {code}"),
            Status::Signal(signal) => format!("the handler was ended by signal {signal}"),
            Status::NotStarted(why) => format!("the handler could not be started: {why}"),
        };
        if let Some(handler) = self.handlers.remove(&exited.process).filter(|handler| !handler.leaving) {
            if now.duration_since(handler.started) >= SETTLED {
                self.backoff = BACKOFF.0;
            } else {
                self.not_before = Some(now + self.backoff);
                self.backoff = (self.backoff * 2).min(BACKOFF.1);
            }
            if !draining {
                tracing::warn!(stderr = exited.stderr, "{why}; it is started again");
            }
            self.last_end = Some(why.clone());
        }
        if !draining {
            self.complete(now, effects);
        }
        why
    }

    /// Gives a run to the handler that has the least; `None` when all have enough. Fails when the run is too large
    /// to be given to anybody.
    pub(super) fn give(
        &mut self,
        attempt: Attempt,
        work: &Work,
        effects: &mut Effects,
    ) -> Option<Result<u64, Exception>> {
        let came_back = work.message.redelivered;
        let (process, handler) = self
            .handlers
            .iter_mut()
            .filter(|(_, handler)| {
                handler.peer.is_some() && !handler.leaving && handler.given < handler.room(came_back)
            })
            .min_by_key(|(_, handler)| handler.given)?;
        let peer = handler.peer?;
        let message = &work.message;
        let run = Run {
            attempt,
            id: message.id.as_str().into(),
            task: work.task().into(),
            retries: message.retries,
            redelivered: message.redelivered,
            root_id: message.root_id.as_deref().map(Into::into),
            parent_id: message.parent_id.as_deref().map(Into::into),
            headers: message.user_headers.as_deref().and_then(|json| serde_json::from_str(json).ok()),
            content: message.pickled().map(|_| PICKLE.into()),
        };
        if !effects.send(peer, &ToHandler::Run(run), &work.arguments()) {
            return Some(Err(asked::builtin(
                "ValueError",
                "the arguments are too large: send where they are instead",
            )));
        }
        handler.given += 1;
        Some(Ok(*process))
    }

    /// How many runs would begin at once if they were given now.
    pub(super) fn places(&self) -> usize {
        let taking = self.handlers.values().filter(|handler| handler.peer.is_some() && !handler.leaving);
        taking.map(|handler| handler.concurrency.saturating_sub(handler.given)).sum()
    }

    /// A run of this handler has ended.
    pub(super) fn finished(&mut self, process: u64) {
        self.came_back(process);
        if let Some(handler) = self.handlers.get_mut(&process) {
            handler.hangs = false;
        }
    }

    /// A run of this handler came back unstarted.
    pub(super) fn came_back(&mut self, process: u64) {
        if let Some(handler) = self.handlers.get_mut(&process) {
            handler.given = handler.given.saturating_sub(1);
        }
    }

    pub(super) fn limit(&mut self, process: u64, attempt: Attempt, limit: Limit, effects: &mut Effects) {
        let peer = self.handlers.get(&process).and_then(|handler| handler.peer);
        match (limit, peer, self.runner) {
            (Limit::Soft, Some(peer), _) => {
                effects.send(peer, &ToHandler::Cancel { attempt }, &[]);
            }
            (Limit::Hard, _, Some(runner)) => {
                effects.send(runner, &ToRunner::Signal { process, signal: SIGKILL }, &[]);
            }
            (Limit::Soft, None, _) | (Limit::Hard, _, None) => {}
        }
    }

    /// Gives nothing more to the handlers that there are: they are being killed.
    pub(super) fn abandon(&mut self) {
        for handler in self.handlers.values_mut() {
            handler.peer = None;
        }
    }

    pub(super) fn recall(&mut self, process: u64, attempts: Vec<Attempt>, effects: &mut Effects) {
        if let Some(handler) = self.handlers.get_mut(&process)
            && let Some(peer) = handler.peer
            && handler.prefetch > 0
        {
            handler.hangs = true;
            effects.send(peer, &ToHandler::Recall { attempts }, &[]);
        }
    }

    pub(super) fn drain(&mut self, effects: &mut Effects) {
        for handler in self.handlers.values() {
            if let Some(peer) = handler.peer {
                effects.send(peer, &ToHandler::Drain {}, &[]);
            }
        }
    }

    pub(super) fn tick(&mut self, now: Instant, draining: bool, effects: &mut Effects) {
        if !draining {
            self.complete(now, effects);
        }
    }

    /// Lets so many tasks run at a time: starts the handlers that are missing, and tells those to end that are too many.
    pub(super) fn resize(&mut self, concurrency: usize, draining: bool, now: Instant, effects: &mut Effects) {
        self.concurrency = concurrency;
        for handler in self.handlers.values_mut() {
            handler.fit(concurrency);
        }
        if draining {
            return;
        }
        let surplus = self.staying().saturating_sub(self.needed());
        let mut staying: Vec<_> = self.handlers.values_mut().filter(|handler| !handler.leaving).collect();
        staying.sort_by_key(|handler| handler.given);
        for handler in staying.into_iter().take(surplus) {
            handler.leaving = true;
            if let Some(peer) = handler.peer {
                effects.send(peer, &ToHandler::Drain {}, &[]);
            }
        }
        self.complete(now, effects);
    }

    /// How many handlers there are that were not told to end.
    fn staying(&self) -> usize {
        self.handlers.values().filter(|handler| !handler.leaving).count()
    }

    /// Whether some are to be started, now or later.
    pub(super) fn lacks_handlers(&self) -> bool {
        self.runner.is_some() && self.staying() < self.needed()
    }

    fn needed(&self) -> usize {
        self.each.map_or(1, |each| self.concurrency.div_ceil(each.min(self.concurrency)))
    }

    /// Starts the handlers that are missing. The first one's hello says how many tasks each runs at a time, and
    /// with that how many are needed.
    fn complete(&mut self, now: Instant, effects: &mut Effects) {
        let Some(runner) = self.runner else { return };
        if self.not_before.is_some_and(|instant| now < instant) {
            return;
        }
        for _ in self.staying()..self.needed() {
            let process = self.next;
            self.next += 1;
            let word = format!("handler-{process}-{}", uuid::Uuid::new_v4().simple());
            let start = Start {
                process,
                command: self.command.clone(),
                env: vec![(HANDLER.to_owned(), word.clone())],
                output: Output::Log,
                label: format!("handler {process}"),
                limit: RESULT_LIMIT,
                progress: false,
            };
            effects.send(runner, &ToRunner::Start(start), &[]);
            let handler = Handler {
                peer: None,
                word,
                started: now,
                offers: (1, 0),
                concurrency: 1,
                prefetch: 0,
                given: 0,
                leaving: false,
                hangs: false,
            };
            self.handlers.insert(process, handler);
        }
    }
}

/// What a handler's result says of a task.
pub(super) fn outcome(mut result: RunResult, payload: Bytes) -> Outcome {
    const NULL: Bytes = Bytes::from_static(b"null");
    if let Some(asked) = asked::by_result(&mut result, &payload) {
        return asked;
    }
    match result.error {
        Some(error) => Outcome::Failure(asked::exception(error)),
        None if payload.is_empty() => Outcome::Success(NULL),
        None if payload.len() > RESULT_LIMIT => Outcome::Failure(exec::too_large(payload.len())),
        None => exec::json_value(payload),
    }
}
