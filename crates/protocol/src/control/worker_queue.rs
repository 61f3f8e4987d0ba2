//! A queue that a node consumes, as `active_queues` describes it.

use crate::json::{Object, Writer};

/// A queue. Flower needs the name; what is not here has kombu's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveQueue<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its exchange.
    pub exchange: &'a str,
    /// `direct`, `topic`, `fanout`.
    pub exchange_type: &'a str,
    /// Its routing key.
    pub routing_key: &'a str,
    /// The arguments that it was declared with, such as `x-max-priority`.
    pub arguments: Option<&'a Object>,
}

impl<'a> ActiveQueue<'a> {
    /// A queue as Celery makes it from a name alone.
    pub fn direct(name: &'a str) -> Self {
        Self { name, exchange: name, exchange_type: "direct", routing_key: name, arguments: None }
    }

    /// The text.
    pub fn to_json(&self) -> String {
        let mut exchange = Writer::new();
        exchange.text("name", self.exchange).text("type", self.exchange_type).raw("arguments", "null");
        exchange.bool("durable", true).bool("passive", false).bool("auto_delete", false);
        exchange.raw("delivery_mode", "null").bool("no_declare", false);
        let mut out = Writer::new();
        out.text("name", self.name).raw("exchange", &exchange.end()).text("routing_key", self.routing_key);
        out.raw("queue_arguments", self.arguments.map_or("null", Object::as_str));
        out.raw("binding_arguments", "null").raw("consumer_arguments", "null");
        out.bool("durable", true).bool("exclusive", false).bool("auto_delete", false).bool("no_ack", false);
        out.raw("alias", "null").raw("bindings", "[]").raw("no_declare", "null");
        for name in ["expires", "message_ttl", "max_length", "max_length_bytes", "max_priority"] {
            out.raw(name, "null");
        }
        out.end()
    }
}
