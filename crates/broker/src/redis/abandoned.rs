//! Messages that a Celery worker took and never acknowledged: they go back after the visibility timeout, as kombu
//! does it. So do messages of ours whose worker is not registered any more.
//!
//! kombu does it under a lock (`unacked_mutex`), which we neither take nor heed: a worker that is killed while it has it
//! keeps everybody else from restoring anything for five minutes. Nothing needs it. Our script looks at a message's age
//! and moves it in one step, and kombu's transaction is made again when `unacked` has changed since it looked.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use petiole_protocol::json;
use petiole_protocol::keys::PRIORITY_STEPS;
use petiole_results::redis::Connection;

use super::keys::Keys;
use super::scripts::ABANDONED;
use super::{during, exchanges, tag, weigh};
use crate::{BrokerError, exchange, message};

/// kombu's pace: ten rounds of its ten-second timer.
const PACE: Duration = Duration::from_secs(100);

/// How many messages one script puts back, at most.
const BATCH: usize = 100;

/// How many messages one round looks at, so that it does not keep its caller from renewing a lease. Where more are
/// left, the next round comes at once.
const ROUND: usize = 1_000;

/// Puts abandoned messages back, from time to time.
#[derive(Debug)]
pub(super) struct Abandoned {
    visibility_timeout: Duration,
    next: Mutex<Instant>,
}

/// A message that goes back.
struct Message {
    tag: String,
    raw: Vec<u8>,
    /// The lists that it goes to: one, unless its exchange feeds several queues.
    lists: Vec<String>,
}

impl Abandoned {
    pub(super) fn new(visibility_timeout: Duration) -> Self {
        Self { visibility_timeout, next: Mutex::new(Instant::now()) }
    }

    /// Puts abandoned messages back, when it is time to look for them.
    pub(super) async fn restore(&self, connection: &Connection, keys: &Keys) -> Result<(), BrokerError> {
        if !self.is_time() {
            return Ok(());
        }
        let restored = self.round(connection, keys).await?;
        if restored >= ROUND {
            *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        if restored > 0 {
            tracing::info!(
                count = restored,
                "messages that nobody acknowledged in time are back in their queues"
            );
        }
        Ok(())
    }

    fn is_time(&self) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = now >= *next;
        if due {
            *next = now + PACE.min(self.visibility_timeout);
        }
        due
    }

    async fn round(&self, connection: &Connection, keys: &Keys) -> Result<usize, BrokerError> {
        let doing = "find messages that nobody acknowledged in time";
        let time: (f64, f64) = connection.query(&redis::cmd("TIME")).await.map_err(during(doing))?;
        let latest = time.0 - self.visibility_timeout.as_secs_f64();
        let mut find = redis::cmd("ZRANGEBYSCORE");
        find.arg(keys.celery().unacked_index()).arg("-inf").arg(latest).arg("LIMIT").arg(0).arg(ROUND);
        let old: Vec<String> = connection.query(&find).await.map_err(during(doing))?;
        let mut leases = redis::cmd("ZRANGE");
        leases.arg(keys.leases()).arg(0).arg(-1);
        let leases: HashSet<String> = connection.query(&leases).await.map_err(during(doing))?;
        // What a registered worker of ours holds is judged by its lease.
        let ownerless = |tag: &String| tag::worker_of(tag).is_none_or(|worker| !leases.contains(worker));
        let mut tags: Vec<String> = old.into_iter().filter(ownerless).collect();
        // The last one that is pushed is the first to be served: that must be the oldest.
        tags.reverse();

        let mut restored = 0;
        let mut tags = tags.as_slice();
        for count in weigh::batches(connection, keys, tags, BATCH).await? {
            let batch = &tags[..count];
            tags = &tags[count..];
            let mut call = ABANDONED.call(2);
            call.arg(keys.celery().unacked()).arg(keys.celery().unacked_index()).arg(latest);
            for message in read(connection, keys, batch).await? {
                call.arg(message.tag).arg(&*message::redelivered(&message.raw)).arg(message.lists.len());
                call.arg(message.lists);
            }
            let count: usize = connection.run(call).await.map_err(during("restore abandoned messages"))?;
            restored += count;
        }
        Ok(restored)
    }
}

/// The messages of these tags that still stand there, and say where they belong.
async fn read(connection: &Connection, keys: &Keys, tags: &[String]) -> Result<Vec<Message>, BrokerError> {
    let mut read = redis::cmd("HMGET");
    read.arg(keys.celery().unacked()).arg(tags);
    let entries: Vec<Option<Vec<u8>>> =
        connection.query(&read).await.map_err(during("read abandoned messages"))?;
    let mut messages = Vec::with_capacity(tags.len());
    for (tag, entry) in tags.iter().zip(entries) {
        let Some(entry) = entry else { continue };
        let Some((raw, exchange, routing_key)) = parts(&entry) else {
            tracing::warn!(tag, "an entry of unacked is not one of kombu's; it is left alone");
            continue;
        };
        let queues = queues(connection, keys, &exchange, routing_key).await?;
        if queues.is_empty() {
            tracing::warn!(tag, exchange, "an abandoned message's exchange feeds no queue; it is left alone");
            continue;
        }
        let step = message::step(&raw, &PRIORITY_STEPS);
        let lists = queues.iter().map(|queue| keys.celery().list(queue, step)).collect();
        messages.push(Message { tag: tag.clone(), raw, lists });
    }
    Ok(messages)
}

/// An entry of `unacked`: message, exchange, routing key.
pub(super) fn parts(entry: &[u8]) -> Option<(Vec<u8>, String, String)> {
    let elements = json::elements(entry).ok()?;
    let [raw, exchange, routing_key] = elements.as_slice() else { return None };
    Some((
        raw.as_bytes().to_vec(),
        json::string(exchange)?.into_owned(),
        json::string(routing_key)?.into_owned(),
    ))
}

/// The queues that an exchange feeds under this routing key. The anonymous exchange feeds the queue of that name.
async fn queues(
    connection: &Connection,
    keys: &Keys,
    exchange: &str,
    routing_key: String,
) -> Result<Vec<String>, BrokerError> {
    if exchange.is_empty() {
        return Ok(vec![routing_key]);
    }
    let bindings = exchanges::bindings(connection, keys, exchange).await?;
    Ok(exchange::queues(&bindings, &routing_key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_cut_into_message_exchange_and_routing_key() {
        let entry = br#"[{"body": "W10=", "headers": {"n": NaN}}, "mail", "mail.\u00e9"]"#;
        let (raw, exchange, routing_key) = parts(entry).unwrap();
        assert_eq!(raw, br#"{"body": "W10=", "headers": {"n": NaN}}"#);
        assert_eq!((exchange.as_str(), routing_key.as_str()), ("mail", "mail.é"));
        assert!(parts(b"[1, 2]").is_none());
    }
}
