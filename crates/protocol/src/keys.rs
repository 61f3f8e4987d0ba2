//! The names of Celery's keys on Redis.
//!
//! ```text
//!   broker   <queue>  <queue>\x06\x163  ...    lists, one for each priority step
//!            unacked  unacked_index            what Celery's workers hold
//!            _kombu.binding.<exchange>         which queues an exchange feeds
//!            /<db>.<exchange>[/<routing key>]  the channel of a fanout exchange
//!   results  celery-task-meta-<id>             a task's document; the channel that announces it has the same name
//! ```

use crate::envelope::{DeliveryInfo, Envelope};

/// Between the parts of a list's name and of a binding: the control characters ACK and SYN.
pub const SEPARATOR: &str = "\x06\x16";

/// kombu's priority steps, the most urgent first.
pub const PRIORITY_STEPS: [u8; 4] = [0, 3, 6, 9];

/// The least urgent priority: a higher one counts as this.
pub const MAX_PRIORITY: u8 = 9;

/// Celery's default of `control_exchange`: what the exchanges of remote control are named after.
pub const CONTROL_EXCHANGE: &str = "celery";

/// The exchange of events, Celery's default of `event_exchange`.
pub const EVENT_EXCHANGE: &str = "celeryev";

/// kombu's default of `fanout_prefix`: what stands before a fanout exchange's name in the name of its channel.
/// Redis' channels know no databases, so this alone keeps those of two databases apart.
pub const FANOUT_PREFIX: &str = "/{db}.";

/// How long kombu keeps the bindings of a queue that expires after nobody has refreshed them, in ms, unless twice
/// the queue's own time is longer.
pub const BINDING_TTL_MS: u64 = 60 * 60 * 1000;

/// How long a queue of remote control lives when nobody uses it, in ms: Celery's default of `control_queue_expires`.
pub const CONTROL_QUEUE_TTL_MS: u64 = 10_000;

/// The priority step that a message of this priority waits in: the largest step that is not above it. A priority
/// below all steps wraps to the last one (kombu's rule).
pub fn priority_step(priority: u8, steps: &[u8]) -> u8 {
    let priority = priority.min(MAX_PRIORITY);
    let step = steps.iter().rev().find(|step| **step <= priority).or(steps.last());
    step.copied().unwrap_or_default()
}

/// The keys of a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerKeys {
    prefix: String,
}

impl BrokerKeys {
    /// Keys behind this prefix (kombu's `global_keyprefix`), which is written before each as it stands.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// Any key, behind the prefix.
    pub fn prefixed(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// List: a queue's messages of one priority step. Step 0 has no suffix.
    pub fn list(&self, queue: &str, step: u8) -> String {
        match step {
            0 => self.prefixed(queue),
            step => format!("{}{queue}{SEPARATOR}{step}", self.prefix),
        }
    }

    /// Lists: a queue's messages, in the order of these steps.
    pub fn lists(&self, queue: &str, steps: &[u8]) -> Vec<String> {
        steps.iter().map(|step| self.list(queue, *step)).collect()
    }

    /// Hash: delivery tag → `[envelope, exchange, routing key]` of each message that is held. One for all queues.
    pub fn unacked(&self) -> String {
        self.prefixed("unacked")
    }

    /// Sorted set: delivery tag → Unix time of the delivery, in seconds.
    pub fn unacked_index(&self) -> String {
        self.prefixed("unacked_index")
    }

    /// Channel: what is said to a fanout exchange, in database `db`. `prefix` is kombu's `fanout_prefix`
    /// ([`FANOUT_PREFIX`]; empty where it is off); its `fanout_patterns` is taken to be on, which is its default.
    pub fn fanout(&self, prefix: &str, db: i64, exchange: &str, routing_key: &str) -> String {
        let prefix = prefix.replace("{db}", &db.to_string());
        match routing_key {
            "" => format!("{}{prefix}{exchange}", self.prefix),
            routing_key => format!("{}{prefix}{exchange}/{routing_key}", self.prefix),
        }
    }

    /// Channel: where this message goes, whose exchange is a fanout: see [`Self::fanout`].
    pub fn channel(&self, prefix: &str, db: i64, envelope: &Envelope) -> String {
        let DeliveryInfo { exchange, routing_key, .. } = &envelope.properties.delivery_info;
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        self.fanout(prefix, db, &name(exchange), &name(routing_key))
    }

    /// Set: the [`binding`]s of an exchange.
    pub fn bindings(&self, exchange: &str) -> String {
        format!("{}_kombu.binding.{exchange}", self.prefix)
    }

    /// Set: the [`binding`]s of an exchange whose queues do not expire. kombu 5.7 sweeps a table of bindings that
    /// has expiring queues but not this set.
    pub fn permanent_bindings(&self, exchange: &str) -> String {
        format!("{}_kombu.binding_permanent.{exchange}", self.prefix)
    }

    /// Sorted set: exchange → Unix time in milliseconds after which its bindings may be swept (kombu 5.7).
    pub fn binding_deadlines(&self) -> String {
        self.prefixed("_kombu.binding_deadlines")
    }
}

/// A member of [`BrokerKeys::bindings`]: an exchange's messages with this routing key go to this queue. The pattern
/// is empty but for topic exchanges.
pub fn binding(routing_key: &str, pattern: &str, queue: &str) -> String {
    [routing_key, pattern, queue].join(SEPARATOR)
}

/// The fanout exchange of remote control: what is asked of all workers.
pub fn control_exchange(namespace: &str) -> String {
    format!("{namespace}.pidbox")
}

/// The direct exchange of the answers to remote control.
pub fn control_reply_exchange(namespace: &str) -> String {
    format!("reply.{namespace}.pidbox")
}

/// A node's queue of remote control. On Redis nothing stands in it: it names the node among the bindings.
pub fn control_queue(namespace: &str, node: &str) -> String {
    format!("{node}.{namespace}.pidbox")
}

/// The queue of a client's answers; the routing key to it is the client's own id.
pub fn control_reply_queue(namespace: &str, routing_key: &str) -> String {
    format!("{routing_key}.{}", control_reply_exchange(namespace))
}

/// The queues that a direct exchange feeds by this routing key, from the members of [`BrokerKeys::bindings`]. What is
/// no binding is passed over.
pub fn bound_queues<'a>(members: impl IntoIterator<Item = &'a str>, routing_key: &str) -> Vec<&'a str> {
    let queues = members.into_iter().filter_map(|member| {
        let mut parts = member.splitn(3, SEPARATOR);
        (parts.next()? == routing_key).then_some(())?;
        parts.nth(1).filter(|queue| !queue.is_empty())
    });
    let mut queues: Vec<_> = queues.collect();
    queues.sort_unstable();
    queues.dedup();
    queues
}

/// The keys of a result store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultKeys {
    prefix: String,
}

impl ResultKeys {
    /// Keys behind this prefix (`global_keyprefix` of Celery's `result_backend_transport_options`), which is set
    /// off by `_` unless it ends in one of `: _ - .`, as Celery 5.5 and later do. Celery 5.3 and 5.4 always
    /// add `_`, so a prefix without such an end suits them all; 5.2 has no prefix.
    pub fn new(prefix: impl Into<String>) -> Self {
        let mut prefix = prefix.into();
        if !prefix.is_empty() && !prefix.ends_with([':', '_', '-', '.']) {
            prefix.push('_');
        }
        Self { prefix }
    }

    /// String: a task's document. Also the channel on which it is announced.
    pub fn task(&self, id: &str) -> String {
        format!("{}celery-task-meta-{id}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_waits_in_the_largest_step_that_is_not_above_it() {
        let steps = (0..=12).map(|priority| priority_step(priority, &PRIORITY_STEPS));
        assert_eq!(steps.collect::<Vec<_>>(), [0, 0, 0, 3, 3, 3, 6, 6, 6, 9, 9, 9, 9]);
        assert_eq!(priority_step(1, &[2, 5]), 5);
        assert_eq!(priority_step(7, &[]), 0);
        assert_eq!(priority_step(12, &[0, 10]), 0);
    }

    #[test]
    fn the_brokers_keys_are_kombus() {
        let keys = BrokerKeys::new("{celery}:");
        assert_eq!(
            keys.lists("mail", &[0, 3]),
            ["{celery}:mail".to_owned(), "{celery}:mail\u{6}\u{16}3".to_owned()]
        );
        assert_eq!(keys.unacked(), "{celery}:unacked");
        assert_eq!(keys.bindings("mail"), "{celery}:_kombu.binding.mail");
        assert_eq!(keys.permanent_bindings("mail"), "{celery}:_kombu.binding_permanent.mail");
        assert_eq!(keys.binding_deadlines(), "{celery}:_kombu.binding_deadlines");
        let keys = BrokerKeys::default();
        assert_eq!([keys.unacked(), keys.unacked_index()], ["unacked", "unacked_index"]);
        assert_eq!(binding("mail", "", "mail"), "mail\u{6}\u{16}\u{6}\u{16}mail");
    }

    #[test]
    fn an_exchange_feeds_the_queues_that_are_bound_to_it() {
        let members =
            [binding("b", "", "two"), binding("a", "", "one"), binding("a", "x", "one"), "a".to_owned()];
        let members = || members.iter().map(String::as_str);
        assert_eq!(bound_queues(members(), "a"), ["one"]);
        assert_eq!(bound_queues(members(), "b"), ["two"]);
        assert_eq!(bound_queues(members(), ""), [""; 0]);
    }

    #[test]
    fn the_names_of_remote_control_are_kombus() {
        let keys = BrokerKeys::default();
        assert_eq!(keys.fanout(FANOUT_PREFIX, 0, &control_exchange("celery"), ""), "/0.celery.pidbox");
        let events = keys.fanout(FANOUT_PREFIX, 3, EVENT_EXCHANGE, "worker.heartbeat");
        assert_eq!(events, "/3.celeryev/worker.heartbeat");
        assert_eq!(BrokerKeys::new("a:").fanout("", 0, EVENT_EXCHANGE, ""), "a:celeryev");
        assert_eq!(control_queue("celery", "w1@host1"), "w1@host1.celery.pidbox");
        assert_eq!(
            binding("oid", "", &control_reply_queue("celery", "oid")),
            "oid\u{6}\u{16}\u{6}\u{16}oid.reply.celery.pidbox"
        );
    }

    #[test]
    fn a_stores_prefix_is_set_off() {
        assert_eq!(ResultKeys::new("").task("x"), "celery-task-meta-x");
        assert_eq!(ResultKeys::new("app").task("x"), "app_celery-task-meta-x");
        for prefix in ["app:", "app_", "app-", "app."] {
            assert_eq!(ResultKeys::new(prefix).task("x"), format!("{prefix}celery-task-meta-x"));
        }
    }
}
