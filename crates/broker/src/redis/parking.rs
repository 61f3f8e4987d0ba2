//! Parked messages: how they are written, listed, and taken before their time.
//!
//! ```text
//!   petiole:eta:<queue>      sorted set   name → when it is due
//!   petiole:parked:<queue>   hash         name → suffix of its list, newline, message
//! ```
//!
//! The name is the task's id, so that a revoked task is found without a search: looking through a million messages
//! takes Redis some four seconds, for each worker that hears of the revocation. The second table costs some 140 bytes
//! a message, and spares the sorted set from comparing and handing out whole messages.

use async_trait::async_trait;
use jiff::Timestamp;
use petiole_protocol::envelope::Envelope;
use petiole_protocol::keys::SEPARATOR;
use redis::Value;

use super::consumer::RedisConsumer;
use super::scripts::{PARKED, UNPARK};
use super::{during, tag};
use crate::{BrokerError, Delivery, MOST_LISTED, Parked, Parking, message};

/// How many ids one script looks for.
const BATCH: usize = 256;

/// What is parked of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name that it gets, if it is the first of that name: the task's id; empty, when it says none.
    pub(super) id: String,
    /// The suffix of its list, newline, message.
    pub(super) text: Vec<u8>,
}

impl Entry {
    pub(super) fn of(step: u8, raw: &[u8]) -> Self {
        let suffix = suffix(step);
        Self { id: message::id_in(raw).unwrap_or_default(), text: [suffix.as_bytes(), b"\n", raw].concat() }
    }
}

/// What follows a queue's name in the name of its list of this step.
pub(super) fn suffix(step: u8) -> String {
    if step == 0 { String::new() } else { format!("{SEPARATOR}{step}") }
}

/// The message in an entry's text.
fn message_in(text: &[u8]) -> &[u8] {
    text.iter().position(|byte| *byte == b'\n').map_or(text, |newline| &text[newline + 1..])
}

#[async_trait]
impl Parking for RedisConsumer {
    async fn parked(&self, queue: usize, offset: usize, limit: usize) -> Result<Vec<Parked>, BrokerError> {
        let limit = limit.min(MOST_LISTED);
        let table = self.table();
        let Some(queue) = table.queues.get(queue).filter(|_| limit > 0) else { return Ok(Vec::new()) };
        let mut call = PARKED.call(2);
        call.arg(&queue.parked).arg(&queue.messages).arg(offset).arg(limit);
        let page: Vec<(f64, Vec<u8>)> =
            self.connection.run(call).await.map_err(during("list parked messages"))?;
        let read = |(due, text): (f64, Vec<u8>)| {
            #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds, as they were written")]
            let due = Timestamp::from_millisecond(due as i64).unwrap_or(Timestamp::MAX);
            Parked { due, envelope: Envelope::from_redis(message_in(&text)) }
        };
        Ok(page.into_iter().map(read).collect())
    }

    async fn unpark(&self, ids: &[String]) -> Result<Vec<Delivery>, BrokerError> {
        let mut taken = Vec::new();
        for batch in ids.chunks(BATCH) {
            taken.extend(self.unpark_batch(batch).await?);
        }
        Ok(taken)
    }
}

impl RedisConsumer {
    async fn unpark_batch(&self, ids: &[String]) -> Result<Vec<Delivery>, BrokerError> {
        let (table, taking) = (self.table(), self.under_way.begin(ids.len()));
        let queues = &table.queues;
        let mut call = UNPARK.call(3 + 3 * queues.len());
        call.arg(self.keys.leases())
            .arg(self.keys.celery().unacked())
            .arg(self.keys.celery().unacked_index());
        for queue in queues {
            call.arg(&queue.held).arg(&queue.parked).arg(&queue.messages);
        }
        call.arg(&self.worker).arg(&self.tag_prefix).arg(taking.first()).arg(queues.len());
        for queue in queues {
            call.arg(&queue.tail);
        }
        call.arg(ids);
        let doing = "take parked messages";
        let taken = match self.connection.run(call).await.map_err(during(doing))? {
            Value::Array(taken) => taken,
            Value::Int(_) => return Err(BrokerError::LeaseEnded),
            _ => return Err(BrokerError::LeaseLost),
        };
        let mut deliveries = Vec::with_capacity(taken.len());
        for (sequence, message) in (taking.first()..).zip(taken) {
            let (number, raw): (usize, Vec<u8>) = redis::from_redis_value(message)
                .map_err(|source| BrokerError::Refused { doing, source: Box::new(source) })?;
            let queue = number.saturating_sub(1);
            let tag = tag::tag(queue, sequence);
            self.weights.add(tag, &raw);
            deliveries.push(Delivery { tag, queue, counted: false, envelope: Envelope::from_redis(&raw) });
        }
        Ok(deliveries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_the_list_and_the_message() {
        let raw = br#"{"headers": {"id": "a"}, "properties": {"correlation_id": "b"}}"#;
        let entry = Entry::of(3, raw);
        assert_eq!(entry.id, "a");
        assert_eq!(entry.text, [b"\x06\x163\n", &raw[..]].concat());
        assert_eq!(message_in(&entry.text), raw);
        assert_eq!(Entry::of(0, br#"{"properties": {"correlation_id": "b"}}"#).id, "b");
        assert_eq!(Entry::of(0, b"a\nb"), Entry { id: String::new(), text: b"\na\nb".to_vec() });
        assert_eq!(message_in(b"\na\nb"), b"a\nb");
    }
}
