//! The names of Celery's keys on Redis.
//!
//! ```text
//!   broker   <queue>  <queue>\x06\x163  ...    lists, one for each priority step
//!            unacked  unacked_index            what Celery's workers hold
//!            _kombu.binding.<exchange>         which queues an exchange feeds
//!   results  celery-task-meta-<id>             a task's document; the channel that announces it has the same name
//! ```

use crate::envelope::{DeliveryInfo, Envelope};

/// Between the parts of a list's name and of a binding: the control characters ACK and SYN.
pub const SEPARATOR: &str = "\x06\x16";

/// kombu's priority steps, the most urgent first.
pub const PRIORITY_STEPS: [u8; 4] = [0, 3, 6, 9];

/// The least urgent priority: a higher one counts as this.
pub const MAX_PRIORITY: u8 = 9;

/// Celery's default queue, exchange and routing key.
pub const DEFAULT_QUEUE: &str = "celery";

/// The exchange of events.
pub const EVENT_EXCHANGE: &str = "celeryev";

/// The exchange that sends remote control to every worker.
pub const CONTROL_EXCHANGE: &str = "celery.pidbox";

/// The exchange of the answers to remote control.
pub const REPLY_EXCHANGE: &str = "reply.celery.pidbox";

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

    /// String: the lock of whoever restores messages whose visibility timeout has passed.
    pub fn unacked_mutex(&self) -> String {
        self.prefixed("unacked_mutex")
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

    /// Channel: what a fanout exchange of this database sends by this routing key. The prefix with the database is
    /// kombu's `fanout_prefix`, the routing key its `fanout_patterns`; both are on by default. Without a routing key:
    /// the exchange's channel, or a pattern of all of them.
    pub fn fanout(&self, database: u32, exchange: &str, routing_key: &str) -> String {
        let slash = if routing_key.is_empty() { "" } else { "/" };
        format!("{}/{database}.{exchange}{slash}{routing_key}", self.prefix)
    }

    /// Channel: where a message goes whose exchange is a fanout: [`Self::fanout`].
    pub fn channel(&self, database: u32, envelope: &Envelope) -> String {
        let DeliveryInfo { exchange, routing_key, .. } = &envelope.properties.delivery_info;
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        self.fanout(database, &name(exchange), &name(routing_key))
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

/// The queue that a node would get remote control by on a broker that keeps it in queues. On Redis nothing is ever put
/// there, but clients see by its [`binding`] who listens.
pub fn pidbox_queue(hostname: &str) -> String {
    format!("{hostname}.{CONTROL_EXCHANGE}")
}

/// The member of [`BrokerKeys::bindings`] of [`CONTROL_EXCHANGE`] that a node registers.
pub fn pidbox_binding(hostname: &str) -> String {
    binding("", "", &pidbox_queue(hostname))
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
        assert_eq!(
            [keys.unacked(), keys.unacked_index(), keys.unacked_mutex()],
            ["unacked", "unacked_index", "unacked_mutex"]
        );
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
        assert_eq!(pidbox_binding("w@h"), "\u{6}\u{16}\u{6}\u{16}w@h.celery.pidbox");
    }

    #[test]
    fn a_fanouts_channel_names_the_database() {
        let keys = BrokerKeys::new("app:");
        assert_eq!(keys.fanout(0, EVENT_EXCHANGE, "task.multi"), "app:/0.celeryev/task.multi");
        assert_eq!(keys.fanout(12, CONTROL_EXCHANGE, ""), "app:/12.celery.pidbox");
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
