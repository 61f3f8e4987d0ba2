//! Remote control of other nodes: requests that are written, answers that are read.

use super::{Answer, Refused};
use crate::envelope::{Envelope, PERSISTENT};
use crate::json::{self, Object, Writer, array, quote};
use crate::keys::{CONTROL_EXCHANGE, control_exchange, control_reply_exchange};
use crate::revoked;

/// The largest answer that is read, in bytes.
const LARGEST: usize = 16 << 20;

/// A request to other nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Broadcast<'a> {
    /// What is asked for: `hello`.
    pub method: &'a str,
    /// Its arguments.
    pub arguments: Object,
    /// The nodes that are asked; none for all.
    pub destination: &'a [String],
    /// The routing key that the asker's queue is bound by, and what it knows the answers by. `None` when none is wanted.
    pub reply: Option<(&'a str, &'a str)>,
    /// When nobody waits for answers any more, in seconds since 1970; 0 for never.
    pub expires: f64,
}

impl Broadcast<'_> {
    /// The arguments of `hello`, by which a node that starts tells and asks what is revoked.
    pub fn hello<'a>(from_node: &str, revoked: impl IntoIterator<Item = &'a str>) -> Object {
        let revoked = array(revoked.into_iter().map(quote));
        Object::of(&Writer::new().text("from_node", from_node).raw("revoked", &revoked).end())
            .unwrap_or_default()
    }

    /// The arguments of `cancel_consumer` and `add_consumer`.
    pub fn queue(name: &str) -> Object {
        Object::of(&Writer::new().text("queue", name).end()).unwrap_or_default()
    }

    /// The arguments of `active` that leave what tasks were called with out, but for a text for people.
    pub fn safe() -> Object {
        Object::of(&Writer::new().bool("safe", true).end()).unwrap_or_default()
    }

    /// The message. `clock` is what the asker's clock says one step on, `delivery_tag` a text that no other message has.
    pub fn envelope(&self, clock: u64, delivery_tag: String) -> Envelope {
        let Self { method, arguments, destination, reply, expires } = self;
        let mut headers = Writer::new();
        headers.integer("clock", clock);
        if *expires > 0.0 {
            headers.float("expires", *expires)
        } else {
            headers.integer("expires", 0)
        };
        let mut body = Writer::new();
        body.text("method", method).raw("arguments", arguments.as_str());
        if destination.is_empty() {
            body.raw("destination", "null");
        } else {
            body.raw("destination", &array(destination.iter().map(|name| quote(name))));
        }
        body.raw("pattern", "null").raw("matcher", "null");
        if let Some((routing_key, ticket)) = reply {
            let mut to = Writer::new();
            to.text("exchange", &control_reply_exchange(CONTROL_EXCHANGE)).text("routing_key", routing_key);
            body.text("ticket", ticket).raw("reply_to", &to.end());
        }
        let exchange = control_exchange(CONTROL_EXCHANGE);
        let mut envelope =
            Envelope::of_json(exchange, String::new(), &headers.end(), body.end(), delivery_tag);
        envelope.properties.delivery_mode = Some(PERSISTENT);
        envelope
    }
}

/// Another node's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The node.
    pub hostname: String,
    /// What it says.
    pub answer: Answer,
    /// What its clock said.
    pub clock: Option<u64>,
    /// What the asker knows its request by.
    pub ticket: Option<String>,
}

impl Reply {
    /// Reads a message in the asker's queue.
    pub fn read(envelope: &Envelope) -> Result<Self, Refused> {
        if envelope.body.len() > LARGEST {
            return Err(Refused::TooLong(envelope.body.len()));
        }
        let members = json::members(&envelope.body).map_err(Refused::NotJson)?;
        let [(hostname, answer)] = &members[..] else {
            return Err(Refused::Member { member: "body", expected: "an object of one node's answer" });
        };
        Ok(Self {
            hostname: hostname.clone().into_owned(),
            answer: Answer::json((*answer).to_owned()),
            clock: envelope.headers.get("clock").and_then(|clock| clock.parse().ok()),
            ticket: envelope.headers.get("ticket").and_then(json::string).map(Into::into),
        })
    }

    /// The ids in the answer to a `hello`.
    pub fn revoked(&self) -> Vec<String> {
        let answer = Object::of(self.answer.as_str());
        answer.and_then(|answer| answer.get("revoked").map(revoked::ids_of)).unwrap_or_default()
    }
}
