//! The worker's loop: everything that happens comes in here, one batch after the other, and everything that is to
//! be done goes out.
//!
//! ```text
//!   socket ──┐                                        ┌──> frames to the runner and the handlers
//!   session ─┤                                        ├──> commits
//!   control ─┼──> handle, admit, run, settle (pure) ──┼──> the next request for messages
//!   time ────┘                                        └──> answers, events
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use petiole_broker::{Intake, Tag, Wish};
use petiole_contract::control::FromRunner;
use petiole_contract::pool::Pool;
use petiole_contract::serve::PICKLE;
use petiole_process::ready::Readiness;
use petiole_process::shutdown::Stop;
use petiole_protocol::serial::Serializer;
use tokio::sync::mpsc;

use crate::accept::Forms;
use crate::admit::Admit;
use crate::connect::Connect;
use crate::control::Control;
use crate::drain::Drain;
use crate::lease::LeaseError;
use crate::metrics::Metrics;
use crate::noting::Noting;
use crate::predecessor::{self, Incarnations};
use crate::rates::{Asking, interval};
use crate::run::{Effects, Peer, Runs};
use crate::session::{Session, SessionEvent};
use crate::settle::{Ending, Settle};
use crate::signing::Signing;
use crate::socket::{SocketEvent, Writers, refusal};
use crate::tally::Tally;
use crate::turn::ALIVE;

/// Between two looks at the clock while something depends on it.
const TICK: Duration = Duration::from_millis(100);

/// A loop that stood still for longer was stopped from outside (SIGSTOP, a frozen machine). Tasks that the runner
/// killed meanwhile are not to blame.
const PAUSED: Duration = Duration::from_secs(4);

/// Socket events that wait to be handled; a flood of frames holds up the peer, not our memory.
const SOCKET_EVENTS: usize = 512;

/// Commands of remote control that one turn takes up.
const CONTROL_EVENTS: usize = 16;

/// What a handler is told that cannot do what its pool is for.
const NO_PICKLES: &str = "the pool accepts pickle, and this handler does not: let it say accept: [\"pickle\"] in its \
                          hello, or leave pickle out of accept.content";

/// Parts of the worker that must be there before it is ready.
pub mod part {
    /// The broker and the result store.
    pub const BROKER: &str = "broker";
    /// The runner, and the handlers in `Serve` mode.
    pub const TASK: &str = "task container";
    /// The operator's wish that this worker stays.
    pub const WISH: &str = "wish";
}

/// A worker.
pub struct Worker {
    pub(crate) admit: Admit,
    pub(crate) runs: Runs,
    pub(crate) settle: Settle,
    connect: Arc<dyn Connect>,
    /// Signs what follows tasks.
    signing: Option<Arc<Signing>>,
    /// What this worker takes; its consumers follow it.
    pub(crate) intake: Intake,
    incarnations: Incarnations,
    /// Until the first runner says hello: from then on no task of this pod's earlier workers is left.
    earlier: Option<Incarnations>,
    pub(crate) session: Option<Session>,
    events: mpsc::UnboundedReceiver<SessionEvent>,
    pub(crate) requested: bool,
    pub(crate) working: bool,
    pub(crate) noting: Noting,
    writers: Writers,
    pub(crate) runner: Option<Peer>,
    pub(crate) ready: Readiness,
    pub(crate) metrics: Metrics,
    /// What is told of this incarnation.
    pub(crate) tally: Tally,
    pub(crate) control: Control,
    pub(crate) said_alive: Instant,
    paused: bool,
    pub(crate) drain: Drain,
    /// What the operator wants of this incarnation.
    pub(crate) wish: Wish,
    /// Work that has asked the broker for its start.
    pub(crate) asking: Asking,
    /// How long running tasks may go on for in a drain.
    pub(crate) patience: Option<Duration>,
    /// When that is over, in a drain.
    pub(crate) drain_until: Option<Instant>,
    /// Endings that take more than one commit.
    pub(crate) endings: HashMap<Tag, Box<Ending>>,
    /// Deliveries that were acknowledged early, with something of them under way.
    pub(crate) unfenced: HashSet<Tag>,
}

impl Worker {
    /// A worker that is not connected to anything yet.
    pub fn new(
        pool: &Pool,
        forms: Forms,
        identity: String,
        nodename: String,
        connect: Arc<dyn Connect>,
        ready: Readiness,
        metrics: Metrics,
    ) -> Result<Self, crate::admit::PoolError> {
        let (_, events) = mpsc::unbounded_channel();
        ready.missing(part::BROKER, "not connected yet");
        ready.missing(part::TASK, "the runner is not connected");
        let incarnations = Incarnations::of(identity);
        let (admit, intake) = (Admit::new(pool, forms.accept)?, connect.intake());
        for (task, limit) in admit.rates() {
            intake.limit(task, interval(limit));
        }
        Ok(Self {
            admit,
            intake,
            runs: Runs::new(&pool.mode, pool.concurrency),
            control: Control::new(pool, &nodename),
            settle: Settle::new(pool, nodename, uuid::Uuid::new_v4().simple().to_string())?,
            connect,
            signing: forms.signing,
            earlier: Some(incarnations.clone()),
            incarnations,
            session: None,
            events,
            requested: false,
            working: false,
            noting: Noting::default(),
            writers: Writers::default(),
            runner: None,
            ready,
            metrics,
            tally: Tally::default(),
            said_alive: Instant::now(),
            paused: false,
            drain: Drain::No,
            wish: Wish::Work,
            asking: Asking::default(),
            patience: pool.drain.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            drain_until: None,
            endings: HashMap::new(),
            unfenced: HashSet::new(),
        })
    }

    /// Works until it is told to stop, then drains.
    pub async fn work(mut self, listener: tokio::net::UnixListener, stop: Stop) -> Result<(), LeaseError> {
        let (socket_events, mut socket) = mpsc::channel(SOCKET_EVENTS);
        let accepting = tokio::spawn(crate::socket::accept(listener, self.writers.clone(), socket_events));
        let refused = self.metrics.control_refused.clone();
        self.control.start(&self.connect, self.admit.accept(), self.signing.clone(), refused);
        self.begin()?;
        let mut happened = Vec::new();
        let mut reported = Vec::new();
        let mut controlled = Vec::new();
        let (mut stopping, mut hurrying) = (false, false);
        while !(stopping && self.drain == Drain::Drained) {
            let wake = self.wake();
            tokio::select! {
                _ = socket.recv_many(&mut happened, SOCKET_EVENTS) => {}
                _ = self.events.recv_many(&mut reported, SOCKET_EVENTS) , if !self.events.is_closed() => {}
                _ = self.control.inbox.recv_many(&mut controlled, CONTROL_EVENTS) => {}
                () = tokio::time::sleep_until(wake.into()) => {}
                () = stop.drain.cancelled(), if !stopping => stopping = true,
                () = stop.at_once.cancelled(), if !hurrying => (stopping, hurrying) = (true, true),
            }
            let now = Instant::now();
            self.paused = now.duration_since(self.said_alive) > PAUSED;
            let mut effects = Effects::default();
            self.runs.tell_starts(self.control.events.wants_tasks());
            if stopping {
                self.start_drain(now, &mut effects);
            }
            if hurrying || self.drain_until.is_some_and(|until| until <= now) {
                self.runs.kill(&mut effects);
            }
            for event in reported.drain(..) {
                self.session_event(event, now, &mut effects)?;
            }
            for event in happened.drain(..) {
                self.socket_event(event, now, &mut effects)?;
            }
            for event in controlled.drain(..) {
                self.control_event(event, now, &mut effects);
            }
            self.runs.tick(now, &mut effects);
            self.runs.give(now, &mut effects);
            self.apply(effects);
            self.note(now);
            self.ask();
            self.stay_alive(now);
            self.speak(now);
            self.finish_drain().await;
        }
        self.leave().await;
        accepting.abort();
        Ok(())
    }

    /// When the loop goes on if nothing happens: a worker that has nothing to do only says that it lives.
    fn wake(&self) -> Instant {
        let held = self.session.as_ref().is_some_and(|session| !session.holding.is_empty());
        let idle = !held && self.drain == Drain::No && !self.runs.depend_on_time();
        let at_least = self.said_alive + ALIVE;
        if idle {
            return self.control.events.next().map_or(at_least, |heartbeat| heartbeat.min(at_least));
        }
        let tick = at_least.min(Instant::now() + TICK);
        self.runs.next_deadline().map_or(tick, |deadline| deadline.min(tick))
    }

    fn begin(&mut self) -> Result<(), LeaseError> {
        self.tally = Tally::default();
        let (signing, tally) = (self.signing.clone(), self.tally.clone());
        let (session, events) = Session::begin(&self.connect, self.incarnations.name(), signing, tally)?;
        self.session = Some(session);
        self.events = events;
        self.requested = false;
        self.working = false;
        self.noting = Noting::default();
        self.forget_wish();
        Ok(())
    }

    fn session_event(
        &mut self,
        event: SessionEvent,
        now: Instant,
        effects: &mut Effects,
    ) -> Result<(), LeaseError> {
        match event {
            SessionEvent::Working => {
                self.working = true;
                self.broker_answers();
                tracing::info!("connected to the broker");
            }
            SessionEvent::Failing(why) => {
                tracing::warn!(why, "the broker cannot be reached; running tasks go on");
                self.metrics.broker_up.with_label_values::<&str>(&[]).set(0);
                // A pod that has worked stays ready: a ReplicaSet deletes unready pods first, busy or not, and a
                // broker that is away makes all of them look alike.
                if !self.ready.was_there(part::BROKER) {
                    self.ready.missing(part::BROKER, why);
                }
            }
            SessionEvent::Wish(wish) => self.wished(wish, now, effects),
            SessionEvent::Lost => {
                tracing::error!("the lease was lost: every task is killed, nothing of them is written");
                self.metrics.leases_lost.with_label_values::<&str>(&[]).inc();
                self.runs.abandon(effects);
                self.asking.clear();
                self.endings.clear();
                self.unfenced.clear();
                self.session = None;
                if self.drain == Drain::No {
                    self.begin()?;
                }
            }
            SessionEvent::Received { messages, answer } => {
                let mut places = 0;
                if answer {
                    self.requested = false;
                    self.broker_answers();
                    places = self.noting.answered(!messages.is_empty());
                }
                let wall = Timestamp::now();
                for (at, message) in messages.into_iter().enumerate() {
                    self.admit(message, at < places, wall, now, effects);
                }
                self.ask_for_starts();
            }
            SessionEvent::Turns(turns) => self.turns(turns, now, effects),
            SessionEvent::Noted => {
                self.noting.written();
                self.runs.noted(now, effects);
            }
            SessionEvent::Committed(committed) => self.committed(committed),
            SessionEvent::Joined(tag, complete, joined) => self.joined(tag, complete, &joined),
            SessionEvent::Unlocked(tag, unlocking, decision) => self.unlocked(tag, *unlocking, decision),
        }
        Ok(())
    }

    fn socket_event(
        &mut self,
        event: SocketEvent,
        now: Instant,
        effects: &mut Effects,
    ) -> Result<(), LeaseError> {
        match event {
            SocketEvent::Runner(peer) => {
                if let Some(old) = self.runner.replace(peer) {
                    self.writers.close(old);
                    self.runs.disconnected(old, self.excused(), now, effects);
                }
                if self.drain == Drain::Drained {
                    tracing::info!("the task container was started again: working again");
                    self.drain = Drain::No;
                    self.runs.resume();
                    self.begin()?;
                }
                if let Some(incarnations) = self.earlier.take() {
                    tokio::spawn(predecessor::end(self.connect.clone(), incarnations));
                }
                self.runs.runner_connected(peer, now, effects);
            }
            SocketEvent::Handler(peer, hello) => {
                let takes_pickles = hello.accept.iter().any(|form| form == PICKLE);
                if self.admit.accept().accepts(Serializer::Pickle) && !takes_pickles {
                    tracing::warn!("a handler was turned away: {NO_PICKLES}");
                    self.writers.write(peer, refusal(NO_PICKLES.to_owned()));
                    self.writers.close(peer);
                } else if !self.runs.handler_connected(peer, &hello, now, effects) {
                    tracing::warn!("a handler that this worker did not start was turned away");
                    self.writers.close(peer);
                }
            }
            SocketEvent::FromRunner(FromRunner::Drain {}, _) => self.start_drain(now, effects),
            SocketEvent::FromRunner(frame, payload) => self.runs.runner_says(frame, &payload, now, effects),
            SocketEvent::FromHandler(frame, payload) => self.runs.handler_says(frame, payload, now, effects),
            SocketEvent::Gone(peer) => {
                if self.runner == Some(peer) {
                    self.runner = None;
                }
                self.runs.disconnected(peer, self.excused(), now, effects);
            }
        }
        Ok(())
    }

    /// The broker is there, also after a failure that only receiving has met: a beat may never have seen it.
    fn broker_answers(&self) {
        self.ready.there(part::BROKER);
        self.metrics.broker_up.with_label_values::<&str>(&[]).set(1);
    }

    /// Whether the end of the task's container is no fault of its tasks: this worker stood still and the runner killed
    /// them, or the pod is being stopped and its grace period is over. They go back to their queues.
    fn excused(&self) -> bool {
        self.paused || self.drain != Drain::No
    }

    /// Carries out what was decided.
    pub(crate) fn apply(&mut self, effects: Effects) {
        for (peer, bytes) in effects.frames {
            self.writers.write(peer, bytes);
        }
        for started in &effects.started {
            if let Some(settlement) = self.settle.started(started) {
                self.settle(settlement);
            }
        }
        for progress in &effects.progress {
            self.progress(progress);
        }
        let wall = Timestamp::now();
        for id in &effects.begun {
            self.control.events.started(id, wall);
        }
        for revoked in effects.revoked {
            self.revoked(revoked, wall);
        }
        for ended in effects.ended {
            self.ended(ended, wall);
        }
        if self.runs.ready() {
            self.ready.there(part::TASK);
        } else {
            self.ready.missing(part::TASK, self.runs.missing());
        }
        let (held, running) = self.runs.count();
        self.metrics.held.with_label_values::<&str>(&[]).set(gauge(held));
        self.metrics.running.with_label_values::<&str>(&[]).set(gauge(running));
        self.count();
    }
}

/// A small count as a gauge's value.
fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
