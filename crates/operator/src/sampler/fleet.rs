//! What is known of Celery's own workers on one broker, and what they are asked next. Pure.
//!
//! ```text
//!   pools ──expect──> [fleet] ──requests──> broker ──events, answers──> [fleet] ──reports──> as of our own workers
//! ```
//!
//! Heartbeats say each 2 s how many tasks run and how many have begun. What waits in a worker, and since when tasks run, is
//! asked for. A worker is drained by Celery's own commands: it is told to take from none of its queues, and has nothing
//! left when it says so. Who takes from none without being wished to, because its wish has lapsed or another operator has
//! wished it, is told to take from them again. [`node`] is what is known of one worker.

mod node;

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use petiole_broker::{Report, Said, Wish};
use petiole_protocol::control::{Broadcast, Reply};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::event::{Clock, Heard};
use petiole_protocol::json::Object;

use self::node::Node;

/// What the node names of pods' workers begin with.
const NODE: &str = "celery@";
/// Between two questions to a worker what it holds.
const INSPECT: SignedDuration = SignedDuration::from_secs(5);
/// Who has said nothing for so long is asked whether it lives: five heartbeats.
const QUIET: SignedDuration = SignedDuration::from_secs(10);
/// Who expects workers says so each second: otherwise nobody wants to know of them any more.
const EXPECTED: SignedDuration = SignedDuration::from_secs(10);
/// A request that a worker gets later than this is not worth an answer.
const EXPIRES: f64 = 5.0;

/// Whether a worker is one of Celery's own, by its name.
pub(super) fn is_node(worker: &str) -> bool {
    worker.starts_with(NODE)
}

/// A pool, by its namespace and name.
type Pool = (String, String);

/// What Celery's own workers on one broker say.
#[derive(Debug, Default)]
pub struct Fleet {
    expected: HashMap<Pool, Expected>,
    /// By pod.
    nodes: HashMap<String, Node>,
    /// Since when everything is heard.
    listening: Option<Timestamp>,
    asked: Option<Timestamp>,
    /// The pods that are to drain, and until when they are.
    drains: HashMap<String, Timestamp>,
    clock: Clock,
}

/// What a pool expects.
#[derive(Debug)]
struct Expected {
    pods: BTreeSet<String>,
    /// The names of its queues on the broker.
    queues: Vec<String>,
    at: Timestamp,
}

/// What is known of the worker of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// It was heard, and when for the last time; not since the listening began, otherwise.
    pub heard: Option<Timestamp>,
    /// Since when everything is heard.
    pub listening: Timestamp,
    /// Since when it owes an answer to whether it lives.
    pub owes: Option<Timestamp>,
    /// It takes no more, and nothing is left in it.
    pub drained: bool,
}

impl Fleet {
    /// A pool with these queues wants to know of the workers of these pods.
    pub fn expect(&mut self, pool: Pool, pods: BTreeSet<String>, queues: Vec<String>, now: Timestamp) {
        for pod in &pods {
            self.nodes.entry(pod.clone()).or_default();
        }
        self.expected.insert(pool, Expected { pods, queues, at: now });
    }

    /// What a worker is to do. [`Wish::Drain`] lapses when it was not said again for so long.
    pub fn wish(&mut self, worker: &str, wish: Wish, lasts: SignedDuration, now: Timestamp) {
        let Some(pod) = worker.strip_prefix(NODE) else { return };
        match wish {
            Wish::Drain => self.drains.insert(pod.to_owned(), now + lasts),
            Wish::Work => self.drains.remove(pod),
        };
    }

    /// Whether anybody wants to know of any. Forgets what nobody does.
    pub fn is_wanted(&mut self, now: Timestamp) -> bool {
        self.expected.retain(|_, expected| now.duration_since(expected.at) <= EXPECTED);
        let expected = &self.expected;
        self.nodes.retain(|pod, _| expected.values().any(|expected| expected.pods.contains(pod)));
        let nodes = &self.nodes;
        self.drains.retain(|pod, until| *until > now && nodes.contains_key(pod));
        if self.expected.is_empty() {
            self.listening = None;
        }
        !self.expected.is_empty()
    }

    /// What is said to workers now.
    pub fn requests(&mut self, answers_to: &str, now: Timestamp) -> Vec<Envelope> {
        // Nobody would hear the answers.
        let Some(listening) = self.listening else { return Vec::new() };
        let is_due = self.asked.is_none_or(|asked| now.duration_since(asked) >= INSPECT);
        let mut requests = Vec::new();
        let (mut inspected, mut quiet) = (Vec::new(), Vec::new());
        for Expected { pods, queues, .. } in self.expected.values() {
            let (mut to_work, mut to_drain) = (Vec::new(), Vec::new());
            for pod in pods {
                let Some(node) = self.nodes.get_mut(pod) else { continue };
                let name = || format!("{NODE}{pod}");
                if now.duration_since(node.heard.map_or(listening, |heard| heard.max(listening))) >= QUIET {
                    if is_due {
                        node.owes.get_or_insert(now);
                        quiet.push(name());
                    }
                    continue;
                }
                let wish = if self.drains.contains_key(pod) { Wish::Drain } else { Wish::Work };
                match wish {
                    _ if !node.is_to_be_told(wish) => {}
                    Wish::Drain => to_drain.push(name()),
                    Wish::Work => to_work.push(name()),
                }
                if node.heard.is_some() && (is_due || wish == Wish::Drain || node.is_to_be_told(wish)) {
                    inspected.push(name());
                }
            }
            for (method, to) in [("cancel_consumer", to_drain), ("add_consumer", to_work)] {
                for queue in queues.iter().filter(|_| !to.is_empty()) {
                    let arguments = Broadcast::queue(queue);
                    requests.push(request(&self.clock, method, arguments, &to, answers_to, now));
                }
            }
        }
        if is_due {
            self.asked = Some(now);
        }
        for (method, arguments, to) in [
            (node::ACTIVE_QUEUES, Object::default(), &inspected),
            (node::ACTIVE, Broadcast::safe(), &inspected),
            (node::RESERVED, Object::default(), &inspected),
            (node::SCHEDULED, Object::default(), &inspected),
            ("ping", Object::default(), &quiet),
        ] {
            if !to.is_empty() {
                requests.push(request(&self.clock, method, arguments, to, answers_to, now));
            }
        }
        requests
    }

    /// Takes what was said; nothing, where the broker could not be asked.
    pub fn take(&mut self, said: Option<&Said>, now: Timestamp) {
        let Some(Said { whole, events, answers }) = said else {
            self.deaf();
            return;
        };
        if !whole {
            self.deaf();
        }
        self.listening.get_or_insert(now);
        for event in events.iter().filter_map(|envelope| Heard::read(envelope).ok()).flatten() {
            self.clock.adjust(event.clock().unwrap_or_default());
            if let Some(node) = event.hostname().and_then(|name| self.nodes.get_mut(name.strip_prefix(NODE)?))
            {
                node.hear(&event, now);
            }
        }
        for reply in answers.iter().filter_map(|envelope| Reply::read(envelope).ok()) {
            self.clock.adjust(reply.clock.unwrap_or_default());
            let pod = reply.hostname.strip_prefix(NODE).unwrap_or_default();
            if let Some(node) = self.nodes.get_mut(pod) {
                let expected = self.expected.values().find(|expected| expected.pods.contains(pod));
                let queues = expected.map(|expected| expected.queues.as_slice()).unwrap_or_default();
                node.answer(reply.ticket.as_deref().unwrap_or_default(), &reply.answer, queues, now);
            }
        }
    }

    /// Who says nothing now may have said something that was not heard.
    fn deaf(&mut self) {
        self.listening = None;
        self.nodes.values_mut().for_each(|node| node.owes = None);
    }

    /// What is known of the worker of a pod; nothing, while the broker cannot be asked.
    pub fn word(&self, pod: &str, now: Timestamp) -> Option<Word> {
        let node = self.nodes.get(pod);
        Some(Word {
            listening: self.listening?,
            heard: node.and_then(|node| node.heard),
            owes: node.and_then(|node| node.owes),
            drained: node.and_then(|node| node.load(now)).is_some_and(|load| load.is_drained()),
        })
    }

    /// What the workers hold, as our own would say it.
    pub fn reports(&self, now: Timestamp) -> Vec<Report> {
        let of_pool = |((namespace, pool), expected): (&Pool, &Expected)| {
            let report = |host: &String| {
                let node = self.nodes.get(host)?;
                Some(Report {
                    incarnation: format!("{NODE}{host}"),
                    namespace: namespace.clone(),
                    pool: pool.clone(),
                    host: host.clone(),
                    load: node.load(now)?,
                })
            };
            expected.pods.iter().filter_map(report).collect::<Vec<_>>()
        };
        self.expected.iter().flat_map(of_pool).collect()
    }

    /// Whether a worker of this pool holds tasks that wait for their time. Without workers these would be on the broker as
    /// if their time had come.
    pub fn waits(&self, pool: &Pool) -> bool {
        let pods = self.expected.get(pool).map(|expected| &expected.pods);
        pods.into_iter().flatten().filter_map(|pod| self.nodes.get(pod)).any(|node| node.scheduled > 0)
    }
}

/// Answers are known by what they answer.
fn request(
    clock: &Clock,
    method: &str,
    arguments: Object,
    destination: &[String],
    answers_to: &str,
    now: Timestamp,
) -> Envelope {
    let expires = now.as_duration().as_secs_f64() + EXPIRES;
    let broadcast = Broadcast { method, arguments, destination, reply: Some((answers_to, method)), expires };
    let clock = clock.forward();
    broadcast.envelope(clock, format!("{answers_to}-{clock}"))
}

#[cfg(test)]
mod tests;
