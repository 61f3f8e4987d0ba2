//! Our events against those of real Celery releases: `tests/golden/control`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

mod wire;

use std::collections::BTreeSet;

use jiff::Timestamp;
use petiole_protocol::event::{Clock, Dispatcher, Event, Heard, Node, TaskReceived, TaskSent, Vitals};
use petiole_protocol::json;
use petiole_protocol::keys::{BrokerKeys, FANOUT_PREFIX};
use petiole_protocol::time;

use wire::{Capture, instant};

/// Messages on the exchange of events.
fn captures() -> Vec<Capture> {
    let captures = Capture::all("event");
    assert!(captures.len() > 60, "{}", captures.len());
    captures
}

/// What a captured event says, as values.
struct Said<'a> {
    event: &'a Heard,
    args: String,
    kwargs: String,
    name: String,
    uuid: String,
    root: Option<String>,
    parent: Option<String>,
    texts: [String; 6],
}

impl<'a> Said<'a> {
    fn of(event: &'a Heard) -> Self {
        let text = |field| event.text(field).map(Into::into);
        let or_empty = |field| text(field).unwrap_or_default();
        Self {
            event,
            args: or_empty("args"),
            kwargs: or_empty("kwargs"),
            name: or_empty("name"),
            uuid: or_empty("uuid"),
            root: text("root_id"),
            parent: text("parent_id"),
            texts: ["result", "exception", "traceback", "queue", "exchange", "routing_key"].map(or_empty),
        }
    }

    fn instant(&self, field: &str) -> Option<Timestamp> {
        Some(time::parse(&self.event.text(field)?).unwrap())
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
    fn whole(&self, field: &str) -> u64 {
        self.event.number(field).unwrap() as u64
    }

    fn vitals(&self) -> Vitals {
        let loads = json::elements(self.event.fields().get("loadavg").unwrap().as_bytes()).unwrap();
        Vitals {
            freq: self.event.number("freq").unwrap(),
            active: self.whole("active"),
            processed: self.whole("processed"),
            loadavg: [0, 1, 2].map(|index| loads[index].parse().unwrap()),
        }
    }

    fn task(&self) -> TaskReceived<'_> {
        TaskReceived {
            uuid: &self.uuid,
            name: &self.name,
            args: &self.args,
            kwargs: &self.kwargs,
            root_id: self.root.as_deref(),
            parent_id: self.parent.as_deref(),
            retries: u32::try_from(self.whole("retries")).unwrap(),
            eta: self.instant("eta"),
            expires: self.instant("expires"),
        }
    }

    fn event(&self) -> Event<'_> {
        let uuid = &*self.uuid;
        let [result, exception, traceback, queue, exchange, routing_key] = &self.texts;
        let is = |field| self.event.fields().get(field) == Some("true");
        match &*self.event.name().unwrap() {
            "worker-online" => Event::WorkerOnline(self.vitals()),
            "worker-heartbeat" if self.event.number("active").is_none() => Event::WorkerHeartbeatAskedFor,
            "worker-heartbeat" => Event::WorkerHeartbeat(self.vitals()),
            "worker-offline" => Event::WorkerOffline(self.vitals()),
            "task-received" => Event::TaskReceived(self.task()),
            "task-started" => Event::TaskStarted { uuid },
            "task-succeeded" => Event::TaskSucceeded { uuid, result, runtime: self.event.number("runtime") },
            "task-failed" => {
                let traceback = self.event.text("traceback").map(|_| &**traceback);
                Event::TaskFailed { uuid, exception, traceback }
            }
            "task-rejected" => Event::TaskRejected { uuid, requeue: is("requeue") },
            "task-retried" => Event::TaskRetried { uuid, exception, traceback },
            "task-revoked" => Event::TaskRevoked {
                uuid,
                terminated: is("terminated"),
                signum: self.event.number("signum").map(|_| i32::try_from(self.whole("signum")).unwrap()),
                expired: is("expired"),
            },
            "task-sent" => Event::TaskSent(TaskSent { task: self.task(), queue, exchange, routing_key }),
            other => panic!("an event that we do not have: {other}"),
        }
    }
}

fn node(event: &Heard) -> Node {
    let software = |field| event.text(field).unwrap_or_default().into_owned();
    Node {
        hostname: event.hostname().unwrap().into_owned(),
        pid: event.fields().get("pid").unwrap().parse().unwrap(),
        utcoffset: event.number("utcoffset").unwrap(),
        software: software("sw_ident"),
        version: software("sw_ver"),
        system: software("sw_sys"),
    }
}

#[test]
fn every_event_is_written_byte_for_byte_as_celery_writes_it() {
    let mut kinds = BTreeSet::new();
    for capture in captures() {
        let envelope = capture.envelope("envelope");
        for heard in Heard::read(&envelope).unwrap() {
            let said = Said::of(&heard);
            let event = said.event();
            let now = instant(heard.number("timestamp").unwrap());
            let ours = event.to_json(&node(&heard), heard.clock().unwrap(), now);
            // Before 5.7, whole hours.
            let theirs = heard.fields().as_str().replace("\"utcoffset\": 0,", "\"utcoffset\": 0.0,");
            assert_eq!(ours, theirs, "{}", capture.name());
            kinds.insert(event.name());
        }
    }
    let kinds: Vec<_> = kinds.into_iter().collect();
    let all = "task-failed task-received task-rejected task-retried task-revoked task-sent task-started \
               task-succeeded worker-heartbeat worker-offline worker-online";
    assert_eq!(kinds.join(" "), all);
}

#[test]
fn messages_of_events_are_celerys() {
    for capture in captures() {
        let theirs = capture.envelope("envelope");
        let events = Heard::read(&theirs).unwrap();
        let clock = Clock::default();
        let mut dispatcher = Dispatcher::new(node(&events[0]), "tag");
        dispatcher.send_task_events(true);
        let mut published = None;
        for heard in &events {
            published = dispatcher.send(&Said::of(heard).event(), &clock, Timestamp::UNIX_EPOCH);
        }
        let mut ours = published.or_else(|| dispatcher.flush()).unwrap();
        // A client sends its one event alone.
        let channel = capture.text("channel");
        if !channel.ends_with("task.sent") {
            assert_eq!(BrokerKeys::default().channel(FANOUT_PREFIX, 0, &ours), channel, "{}", capture.name());
            assert_eq!(Heard::read(&ours).unwrap().len(), events.len());
            ours.body.clone_from(&theirs.body);
            ours.properties.delivery_tag.clone_from(&theirs.properties.delivery_tag);
            assert_eq!(
                String::from_utf8(ours.to_redis()).unwrap(),
                capture.raw("envelope").unwrap(),
                "{}",
                capture.name()
            );
        }
    }
}
