//! What the worker knows when it is asked.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use petiole_broker::Parked;
use petiole_protocol::control::{RateLimit, ResourceUsage, TaskInfo};
use petiole_protocol::message::{Accept, Message};
use petiole_protocol::revoked::Revoked;

use super::facts::Facts;
use crate::run::held::Held;

/// What the worker knows.
#[derive(Debug)]
pub struct View<'a> {
    /// What stands in the pool's file.
    pub facts: &'a Facts,
    /// The time.
    pub now: Timestamp,
    /// The worker's logical clock.
    pub clock: u64,
    /// For how long it has run.
    pub uptime: Duration,
    /// What it holds, the oldest first.
    pub held: Vec<Held<'a>>,
    /// The processes that run tasks, as their container sees them.
    pub processes: Vec<u32>,
    /// How many messages it would take now.
    pub wants: usize,
    /// What is parked, where the command asks for it.
    pub parked: &'a [Due],
    /// How many attempts of each task have ended that had started.
    pub totals: &'a BTreeMap<String, u64>,
    /// What is revoked.
    pub revoked: &'a Revoked,
    /// The tasks that have a rate limit.
    pub rates: &'a HashMap<String, RateLimit>,
    /// What the process has used of the machine.
    pub rusage: Option<ResourceUsage>,
    /// Events of tasks are turned on.
    pub task_events: bool,
}

/// A message that waits for its time on the broker.
#[derive(Debug)]
pub struct Due {
    /// Index of its queue.
    pub queue: usize,
    /// When it is due.
    pub due: Timestamp,
    /// The message.
    pub message: Message,
}

impl Due {
    /// Of a parked message of this queue; `None` of what will be discarded at its time.
    pub fn read(queue: usize, parked: &Parked, accept: &Accept, now: Timestamp) -> Option<Self> {
        let message = accept.read(parked.envelope.as_ref().ok()?, now).ok()?;
        // The broker keeps milliseconds; where it waits for its own time the message says that as its client wrote it.
        let its_own = |eta: &Timestamp| eta.duration_since(parked.due).abs() < SignedDuration::from_millis(1);
        let due = message.eta.filter(its_own).unwrap_or(parked.due);
        Some(Self { queue, due, message })
    }
}

impl<'a> View<'a> {
    /// What is said of a task that is held.
    pub fn held(&self, held: &Held<'a>) -> TaskInfo<'a> {
        let started = held.running.and_then(|running| SignedDuration::try_from(running).ok());
        TaskInfo {
            time_start: started.and_then(|running| self.now.checked_sub(running).ok()),
            acknowledged: held.running.is_some() && held.work.plan.task.acks_early,
            worker_pid: held.pid,
            ..self.info(&held.work.message, held.work.queue)
        }
    }

    /// What is said of a task that has not started.
    pub fn info(&self, message: &'a Message, queue: usize) -> TaskInfo<'a> {
        let nodename = &self.facts.nodename;
        match self.facts.deliveries.get(queue) {
            Some(delivery) => TaskInfo::of(message, delivery, nodename),
            None => TaskInfo::of(message, &self.facts.nowhere, nodename),
        }
    }

    /// Whether the worker knows a task of this name: from the pool's file, or from having run it.
    pub fn knows(&self, task: &str) -> bool {
        self.names().any(|known| known == task)
    }

    /// The names of the tasks that it knows; some may come twice.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        let listed = self.facts.tasks.keys().map(String::as_str);
        let totals = self.facts.takes_unlisted.then(|| self.totals.keys().map(String::as_str));
        let held = self.held.iter().map(|held| &*held.work.message.task);
        let names: Vec<_> = listed.chain(totals.into_iter().flatten()).chain(held).collect();
        names.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use petiole_protocol::envelope::Envelope;
    use petiole_protocol::json::Object;

    use super::*;

    fn shown(parked: &str) -> Timestamp {
        let headers = br#"{"task": "t", "id": "i", "eta": "2026-11-21T10:31:53.665946+00:00"}"#;
        let envelope = Envelope {
            headers: Object::read(headers).unwrap(),
            content_type: Some("application/json".to_owned()),
            body: "[[], {}, {}]".into(),
            ..Envelope::default()
        };
        let parked = Parked { due: parked.parse().unwrap(), envelope: Ok(envelope) };
        Due::read(0, &parked, &Accept::default(), Timestamp::UNIX_EPOCH).unwrap().due
    }

    #[test]
    fn a_time_is_shown_as_its_client_wrote_it() {
        assert_eq!(shown("2026-11-21T10:31:53.665Z"), "2026-11-21T10:31:53.665946Z".parse().unwrap());
        assert_eq!(shown("2026-11-21T10:31:55Z"), "2026-11-21T10:31:55Z".parse().unwrap());
    }
}
