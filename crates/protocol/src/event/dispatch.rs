//! From events to messages for the exchange that they are published on.

use jiff::Timestamp;

use super::{Clock, Event, Group, Node};
use crate::envelope::Envelope;
use crate::json::{self, Writer};
use crate::keys::EVENT_EXCHANGE;

/// How many task events go into one message at most (Celery's number).
pub const BATCH: usize = 24;

const TASKS: &str = "task.multi";

/// Turns a node's events into messages. Events of workers come out at once, those of tasks in batches, and only when
/// somebody asked for them.
#[derive(Debug)]
pub struct Dispatcher {
    node: Node,
    incarnation: String,
    sent: u64,
    tasks: bool,
    batch: Vec<String>,
}

impl Dispatcher {
    /// For this node. `incarnation` is a text that no other process has: what each message's tag begins with.
    pub fn new(node: Node, incarnation: impl Into<String>) -> Self {
        Self {
            node,
            incarnation: incarnation.into(),
            sent: 0,
            tasks: false,
            batch: Vec::with_capacity(BATCH),
        }
    }

    /// Whether events of tasks are sent. Where not, there is no need to make them.
    pub fn sends_task_events(&self) -> bool {
        self.tasks
    }

    /// Turns events of tasks on or off, and says whether that is a change. What waits is still sent.
    pub fn send_task_events(&mut self, on: bool) -> bool {
        std::mem::replace(&mut self.tasks, on) != on
    }

    /// Who sends.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Takes an event; what there is to publish now is returned.
    pub fn send(&mut self, event: &Event<'_>, clock: &Clock, now: Timestamp) -> Option<Envelope> {
        if event.group() == Group::Worker {
            let body = event.to_json(&self.node, clock.forward(), now);
            return Some(self.envelope(&event.routing_key(), body));
        }
        if !self.tasks {
            return None;
        }
        self.batch.push(event.to_json(&self.node, clock.forward(), now));
        if self.batch.len() < BATCH { None } else { self.flush() }
    }

    /// What waits, at the end of a loop's turn.
    pub fn flush(&mut self) -> Option<Envelope> {
        if self.batch.is_empty() {
            return None;
        }
        let body = json::array(&self.batch);
        self.batch.clear();
        Some(self.envelope(TASKS, body))
    }

    fn envelope(&mut self, routing_key: &str, body: String) -> Envelope {
        self.sent += 1;
        Envelope::of_json(
            EVENT_EXCHANGE.to_owned(),
            routing_key.to_owned(),
            &Writer::new().text("hostname", &self.node.hostname).end(),
            body,
            format!("{}:{}", self.incarnation, self.sent),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Heard, Vitals};
    use crate::keys::{BrokerKeys, FANOUT_PREFIX};

    fn dispatcher() -> Dispatcher {
        Dispatcher::new(crate::event::tests::node(), "life")
    }

    const STARTED: Event<'_> = Event::TaskStarted { uuid: "a" };

    fn heard(envelope: &Envelope) -> Vec<Heard> {
        Heard::read(envelope).unwrap()
    }

    fn channel(envelope: &Envelope) -> String {
        BrokerKeys::new("app:").channel(FANOUT_PREFIX, 3, envelope)
    }

    #[test]
    fn events_of_workers_are_sent_at_once() {
        let (mut dispatcher, clock) = (dispatcher(), Clock::default());
        let vitals = Vitals { freq: 2.0, active: 0, processed: 0, loadavg: [0.0, 1.5, 2.25] };
        let sent = dispatcher.send(&Event::WorkerOnline(vitals), &clock, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(channel(&sent), "app:/3.celeryev/worker.online");
        let [event] = &heard(&sent)[..] else { panic!() };
        assert_eq!((event.name().as_deref(), event.clock()), (Some("worker-online"), Some(1)));
        assert_eq!(dispatcher.flush(), None);
    }

    #[test]
    fn events_of_tasks_wait_for_their_like() {
        let (mut dispatcher, clock) = (dispatcher(), Clock::default());
        assert!(dispatcher.send_task_events(true) && !dispatcher.send_task_events(true));
        for _ in 1..BATCH {
            assert_eq!(dispatcher.send(&STARTED, &clock, Timestamp::UNIX_EPOCH), None);
        }
        let full = dispatcher.send(&STARTED, &clock, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(channel(&full), "app:/3.celeryev/task.multi");
        let clocks: Vec<_> = heard(&full).iter().filter_map(Heard::clock).collect();
        assert_eq!(clocks, (1..=24).collect::<Vec<_>>());
        assert_eq!(dispatcher.send(&STARTED, &clock, Timestamp::UNIX_EPOCH), None);
        assert_eq!(heard(&dispatcher.flush().unwrap()).len(), 1);
        assert_eq!(dispatcher.flush(), None);
    }

    #[test]
    fn events_of_tasks_that_nobody_asked_for_are_not_sent() {
        let (mut dispatcher, clock) = (dispatcher(), Clock::default());
        assert_eq!(dispatcher.send(&STARTED, &clock, Timestamp::UNIX_EPOCH), None);
        assert_eq!((dispatcher.flush(), clock.value()), (None, 0));
    }
}
