//! Events: what this worker tells whoever listens (Flower, `celery events`).
//!
//! ```text
//!   message ──> task-received ──> task-started ──> task-succeeded | -failed | -retried | -rejected | -revoked
//!   worker  ──> worker-online ──> worker-heartbeat, every 2 s ──> worker-offline
//! ```
//!
//! Events of tasks are off until somebody asks for them, and are not made while nobody listens: what the last one, or
//! the last heartbeat, was answered. Lossy by design; nothing waits for them.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use petiole_broker::Address;
use petiole_protocol::envelope::Envelope;
use petiole_protocol::event::{Clock, Dispatcher, Event, HEARTBEAT, Node, Shown, TaskReceived, Vitals};
use petiole_protocol::keys::EVENT_EXCHANGE;
use petiole_protocol::message::Message;
use petiole_protocol::repr;

use crate::admit::{Discarded, Told, reason};
use crate::run::Revoked;
use crate::settle::Verdict;

/// The program's name in events.
const SOFTWARE: &str = "petiole";

/// The runtime of a task whose start and end came in one read. Flower takes 0 for "not known", and leaves it out of its
/// metrics.
const SHORTEST: Duration = Duration::from_micros(1);

/// Whether anybody listens to events of tasks, as far as the broker's last answer says. Clones share it.
#[derive(Debug, Clone)]
pub struct Audience(Arc<AtomicBool>);

impl Default for Audience {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Audience {
    /// An event was heard by so many. Who hears a worker's event may want those of tasks too; that the next one says.
    pub fn answered(&self, event: &Address, count: u64) {
        if event.routing_key.starts_with("task.") {
            self.0.store(count > 0, Ordering::Relaxed);
        } else if count > 0 {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A worker's events.
#[derive(Debug)]
pub struct Events {
    dispatcher: Dispatcher,
    clock: Arc<Clock>,
    audience: Audience,
    ready: Vec<(Address, Envelope)>,
    /// When the next heartbeat is due; not before the worker is online.
    next: Option<Instant>,
}

impl Events {
    /// Of the worker of this name, whose clock is shared with its answers.
    pub fn new(nodename: &str, clock: Arc<Clock>, tasks: bool) -> Self {
        let node = Node {
            hostname: nodename.to_owned(),
            pid: std::process::id(),
            // Our timestamps know no other zone, and containers have none.
            utcoffset: 0.0,
            software: SOFTWARE.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            system: "Linux".to_owned(),
        };
        let mut dispatcher = Dispatcher::new(node, uuid::Uuid::new_v4().to_string());
        dispatcher.send_task_events(tasks);
        Self { dispatcher, clock, audience: Audience::default(), ready: Vec::new(), next: None }
    }

    /// Who is told how many have listened.
    pub fn audience(&self) -> Audience {
        self.audience.clone()
    }

    /// Whether events of tasks are turned on.
    pub fn tasks_are_on(&self) -> bool {
        self.dispatcher.sends_task_events()
    }

    /// Turns events of tasks on or off. Who turns them on listens.
    pub fn turn_tasks(&mut self, on: bool) {
        self.dispatcher.send_task_events(on);
        if on {
            self.audience.0.store(true, Ordering::Relaxed);
        }
    }

    /// Whether events of tasks are worth making.
    pub fn wants_tasks(&self) -> bool {
        self.tasks_are_on() && self.audience.is_there()
    }

    /// A message was taken from its queue, and its task will run.
    pub fn received(&mut self, message: &Message, now: Timestamp) {
        if self.wants_tasks() {
            let shown = Shown::of(message);
            self.send(&Event::TaskReceived(TaskReceived::of(message, &shown)), now);
        }
    }

    /// A task's code starts.
    pub fn started(&mut self, uuid: &str, now: Timestamp) {
        self.send(&Event::TaskStarted { uuid }, now);
    }

    /// An attempt has ended by itself, after so long.
    pub fn ended(&mut self, uuid: &str, verdict: &Verdict, took: Option<Duration>, now: Timestamp) {
        if !self.wants_tasks() {
            return;
        }
        match verdict {
            Verdict::Succeeded(value) => {
                let result = repr::safe(std::str::from_utf8(value).unwrap_or_default());
                let runtime = took.map(|took| took.max(SHORTEST).as_secs_f64());
                self.send(&Event::TaskSucceeded { uuid, result: &result, runtime }, now);
            }
            Verdict::Failed(exception) => {
                let traceback = Some(exception.traceback().unwrap_or_default());
                self.send(&Event::TaskFailed { uuid, exception: &exception.repr(), traceback }, now);
            }
            Verdict::Retried(why) => {
                let traceback = why.traceback().unwrap_or_default();
                self.send(&Event::TaskRetried { uuid, exception: &why.repr(), traceback }, now);
            }
            Verdict::Rejected { requeue } => {
                self.send(&Event::TaskRejected { uuid, requeue: *requeue }, now);
            }
            Verdict::Silent => {}
        }
    }

    /// An attempt has ended because its task was revoked.
    pub fn revoked(&mut self, revoked: &Revoked, now: Timestamp) {
        let (uuid, signum) = (&*revoked.work.message.id, revoked.signal);
        let event = Event::TaskRevoked { uuid, terminated: signum.is_some(), signum, expired: false };
        self.send(&event, now);
    }

    /// A message does not run at all.
    pub fn discarded(&mut self, discarded: &Discarded, now: Timestamp) {
        let Some(uuid) = discarded.id.as_deref().filter(|_| self.wants_tasks()) else { return };
        match &discarded.told {
            Told::Revoked(_) => {
                let expired = discarded.reason == reason::EXPIRED;
                self.send(&Event::TaskRevoked { uuid, terminated: false, signum: None, expired }, now);
            }
            Told::Failure(exception) => {
                let exception = exception.repr();
                self.send(&Event::TaskFailed { uuid, exception: &exception, traceback: None }, now);
            }
        }
    }

    /// The worker has reached its broker, or has reached it again.
    pub fn online(&mut self, vitals: Vitals, wall: Timestamp, now: Instant) {
        self.send(&Event::WorkerOnline(vitals), wall);
        self.next = Some(now + Duration::from_secs_f64(HEARTBEAT));
    }

    /// When the next heartbeat is due.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether a heartbeat is due.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// The worker lives.
    pub fn heartbeat(&mut self, vitals: Vitals, wall: Timestamp, now: Instant) {
        self.send(&Event::WorkerHeartbeat(vitals), wall);
        self.next = Some(now + Duration::from_secs_f64(HEARTBEAT));
    }

    /// Somebody has asked whether it does.
    pub fn heartbeat_asked_for(&mut self, wall: Timestamp) {
        self.send(&Event::WorkerHeartbeatAskedFor, wall);
    }

    /// The worker stops.
    pub fn offline(&mut self, vitals: Vitals, wall: Timestamp) {
        self.send(&Event::WorkerOffline(vitals), wall);
        self.next = None;
    }

    /// What there is to publish, at the end of a loop's turn.
    pub fn flush(&mut self) -> Vec<(Address, Envelope)> {
        if let Some(envelope) = self.dispatcher.flush() {
            self.put(envelope);
        }
        mem::take(&mut self.ready)
    }

    fn send(&mut self, event: &Event<'_>, now: Timestamp) {
        if let Some(envelope) = self.dispatcher.send(event, &self.clock, now) {
            self.put(envelope);
        }
    }

    fn put(&mut self, envelope: Envelope) {
        let routing_key = envelope.properties.delivery_info.routing_key.clone().unwrap_or_default();
        self.ready.push((Address { exchange: EVENT_EXCHANGE.to_owned(), routing_key }, envelope));
    }
}

#[cfg(test)]
mod tests {
    use petiole_protocol::event::Heard;
    use petiole_protocol::json::Object;
    use petiole_protocol::record::Exception;

    use super::*;

    fn message() -> Message {
        let envelope = Envelope {
            headers: Object::read(br#"{"task": "demo.add", "id": "id-1"}"#).unwrap(),
            content_type: Some("application/json".to_owned()),
            body: "[[1], {}, {}]".into(),
            ..Envelope::default()
        };
        Message::read(&envelope).unwrap()
    }

    fn events(tasks: bool) -> Events {
        Events::new("w@h", Arc::default(), tasks)
    }

    fn names(batch: &[(Address, Envelope)]) -> Vec<String> {
        let heard = batch.iter().flat_map(|(_, envelope)| Heard::read(envelope).unwrap());
        heard.map(|event| event.name().unwrap().into_owned()).collect()
    }

    fn vitals() -> Vitals {
        Vitals { freq: HEARTBEAT, active: 0, processed: 0, loadavg: [0.0; 3] }
    }

    #[test]
    fn events_of_tasks_are_sent_once_somebody_asks_for_them() {
        let mut events = events(false);
        events.received(&message(), Timestamp::UNIX_EPOCH);
        assert!(events.flush().is_empty());
        events.turn_tasks(true);
        events.received(&message(), Timestamp::UNIX_EPOCH);
        events.started("id-1", Timestamp::UNIX_EPOCH);
        let batch = events.flush();
        assert_eq!(names(&batch), ["task-received", "task-started"]);
        assert_eq!(batch[0].0.routing_key, "task.multi");
        assert!(events.flush().is_empty());
    }

    #[test]
    fn events_of_tasks_that_nobody_hears_are_not_made() {
        let mut events = events(true);
        let address = |key: &str| Address { exchange: String::new(), routing_key: key.to_owned() };
        events.audience().answered(&address("task.multi"), 0);
        assert!(!events.wants_tasks());
        events.audience().answered(&address("worker.heartbeat"), 0);
        assert!(!events.wants_tasks());
        events.audience().answered(&address("worker.heartbeat"), 1);
        assert!(events.wants_tasks());
        events.audience().answered(&address("task.multi"), 0);
        events.turn_tasks(true);
        assert!(events.wants_tasks());
    }

    #[test]
    fn a_heartbeat_is_due_every_two_seconds_once_the_worker_is_online() {
        let (mut events, now) = (events(false), Instant::now());
        assert!(!events.is_due(now));
        events.online(vitals(), Timestamp::UNIX_EPOCH, now);
        assert!(!events.is_due(now + Duration::from_millis(1999)));
        assert!(events.is_due(now + Duration::from_secs(2)));
        events.heartbeat(vitals(), Timestamp::UNIX_EPOCH, now + Duration::from_secs(2));
        assert!(!events.is_due(now + Duration::from_secs(3)));
        events.offline(vitals(), Timestamp::UNIX_EPOCH);
        assert!(!events.is_due(now + Duration::from_secs(9)));
        assert_eq!(names(&events.flush()), ["worker-online", "worker-heartbeat", "worker-offline"]);
    }

    #[test]
    fn a_message_that_expired_is_told_as_such() {
        let mut events = events(true);
        let mut discarded = Discarded {
            reason: reason::EXPIRED,
            why: String::new(),
            id: Some("id-1".to_owned()),
            task: None,
            queue: 0,
            message: None,
            told: Told::Revoked(Exception::expired()),
            dead_letter: false,
        };
        events.discarded(&discarded, Timestamp::UNIX_EPOCH);
        discarded.reason = reason::NOT_REGISTERED;
        discarded.told = Told::Failure(Exception::not_registered("demo.x"));
        events.discarded(&discarded, Timestamp::UNIX_EPOCH);
        let batch = events.flush();
        assert_eq!(names(&batch), ["task-revoked", "task-failed"]);
        let heard = Heard::read(&batch[0].1).unwrap();
        assert_eq!(heard[0].fields().get("expired"), Some("true"));
        assert_eq!(heard[1].text("exception").as_deref(), Some("NotRegistered('demo.x')"));
    }

    #[test]
    fn an_attempt_is_told_by_what_it_came_to() {
        let why = || Exception::new("builtins", "ValueError", "x").with_traceback(Some("at 1".to_owned()));
        let mut events = events(true);
        for verdict in [
            Verdict::Succeeded("[1]".into()),
            Verdict::Failed(why()),
            Verdict::Retried(why()),
            Verdict::Rejected { requeue: true },
            Verdict::Silent,
        ] {
            events.ended("id-1", &verdict, Some(Duration::from_millis(1500)), Timestamp::UNIX_EPOCH);
        }
        let batch = events.flush();
        assert_eq!(names(&batch), ["task-succeeded", "task-failed", "task-retried", "task-rejected"]);
        let heard = Heard::read(&batch[0].1).unwrap();
        assert_eq!(heard[0].fields().get("runtime"), Some("1.5"));
        for told in &heard[1..3] {
            assert_eq!(told.text("exception").as_deref(), Some("ValueError('x')"));
            assert_eq!(told.text("traceback").as_deref(), Some("at 1"));
        }
    }
    #[test]
    fn a_runtime_is_never_nothing() {
        let mut events = events(true);
        let done = Verdict::Succeeded("3".into());
        events.ended("id-1", &done, Some(Duration::ZERO), Timestamp::UNIX_EPOCH);
        let heard = Heard::read(&events.flush()[0].1).unwrap();
        assert_eq!(heard[0].fields().get("runtime"), Some("1e-06"));
    }
}
