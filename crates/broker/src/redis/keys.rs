//! The names of our own keys on Redis, behind the same prefix as Celery's.

use petiole_protocol::keys::BrokerKeys;
#[cfg(doc)]
use petiole_protocol::keys::SEPARATOR;

use crate::Worker;

/// The schema that this code reads and writes. It is raised when keys change in a way that older workers must not
/// meet.
pub(super) const SCHEMA: u64 = 1;

/// Before the worker's name in its tags. A tag of kombu's is a UUID.
pub(super) const TAG_PREFIX: &str = "petiole:";

/// Names keys.
#[derive(Debug, Clone)]
pub(super) struct Keys(BrokerKeys);

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self(BrokerKeys::new(prefix))
    }

    /// Celery's keys.
    pub(super) fn celery(&self) -> &BrokerKeys {
        &self.0
    }

    /// String: the schema of the keys.
    pub(super) fn schema(&self) -> String {
        self.0.prefixed("petiole:schema")
    }

    /// Sorted set: worker → when its lease ends, in ms of Redis' clock; -1 when the lease was ended for good.
    pub(super) fn leases(&self) -> String {
        self.0.prefixed("petiole:leases")
    }

    /// Hash: worker → what is known of it, as JSON.
    pub(super) fn workers(&self) -> String {
        self.0.prefixed("petiole:workers")
    }

    /// Hash: `last`, when the last sweep was; `grace`, until when no lease is ended. In ms of Redis' clock.
    pub(super) fn sweep(&self) -> String {
        self.0.prefixed("petiole:sweep")
    }

    /// Set: the workers that take from a queue.
    pub(super) fn consumers(&self, queue: &str) -> String {
        self.0.prefixed(&format!("petiole:consumers:{queue}"))
    }

    /// Set: the sequence numbers of the messages that a worker holds of a queue. Numbers alone, because Redis keeps
    /// a set of those in a few bytes each.
    pub(super) fn held(&self, worker: &str, queue: &str) -> String {
        format!("{}{worker}{}", self.held_head(), Self::held_tail(queue))
    }

    /// What stands before the worker's name in the keys of held sets.
    pub(super) fn held_head(&self) -> String {
        self.0.prefixed("petiole:held:")
    }

    /// What follows it.
    pub(super) fn held_tail(queue: &str) -> String {
        format!(":{queue}")
    }

    /// Set: marks of settlements of a worker that were done, while their messages stay held. A settlement that is
    /// made again because its answer was lost sends nothing twice.
    pub(super) fn done(&self, worker: &str) -> String {
        self.0.prefixed(&format!("petiole:done:{worker}"))
    }

    /// Channel: what is sent to a fanout exchange, as kombu names it by default (`fanout_prefix` and `fanout_patterns`
    /// on). Channels are not apart by database, so the name says which.
    pub(super) fn fanout(&self, db: i64, exchange: &str, routing_key: &str) -> String {
        let slash = if routing_key.is_empty() { "" } else { "/" };
        self.0.prefixed(&format!("/{db}.{exchange}{slash}{routing_key}"))
    }

    /// Sorted set: the names of a queue's parked messages → when they are due, in ms.
    pub(super) fn parked(&self, queue: &str) -> String {
        self.0.prefixed(&format!("petiole:eta:{queue}"))
    }

    /// Hash: the names of a queue's parked messages → the messages, each behind its list's suffix.
    pub(super) fn parked_messages(&self, queue: &str) -> String {
        self.0.prefixed(&format!("petiole:parked:{queue}"))
    }

    /// Set: the tasks of a queue that have a line. The line of each has this key, [`SEPARATOR`] and the task's name:
    /// sorted set: the names of parked messages → their place in line.
    pub(super) fn lines(&self, queue: &str) -> String {
        self.0.prefixed(&format!("petiole:lines:{queue}"))
    }

    /// Hash: a pool's task → when it has started last, in µs of Redis' clock.
    pub(super) fn gates(&self, worker: &Worker) -> String {
        self.0.prefixed(&format!("petiole:gates:{}/{}", worker.namespace, worker.pool))
    }

    /// String: the sequence numbers of what a worker holds and has started, with blanks between them.
    pub(super) fn started(&self, worker: &str) -> String {
        self.0.prefixed(&format!("petiole:started:{worker}"))
    }

    /// String: the same, as it was when messages were taken last, with those of them that begin at once.
    pub(super) fn begun(&self, worker: &str) -> String {
        self.0.prefixed(&format!("petiole:begun:{worker}"))
    }

    /// String: what a worker says of itself, as JSON. It expires.
    pub(super) fn load(&self, worker: &str) -> String {
        format!("{}{worker}", self.load_head())
    }

    /// What stands before the worker's name in these keys.
    pub(super) fn load_head(&self) -> String {
        self.0.prefixed("petiole:load:")
    }

    /// String: there while a worker is to drain. It expires.
    pub(super) fn wish(&self, worker: &str) -> String {
        self.0.prefixed(&format!("petiole:wish:{worker}"))
    }

    /// Sorted set: the ids of revoked tasks → until when that is kept, in ms of Redis' clock.
    pub(super) fn revoked(&self) -> String {
        self.0.prefixed("petiole:revoked")
    }

    /// Sorted set: the same for stamps, each as JSON: `[header, value]`.
    pub(super) fn revoked_stamps(&self) -> String {
        self.0.prefixed("petiole:revoked:stamps")
    }
}
