//! Revoked tasks on Redis: two bounded sorted sets.

use async_trait::async_trait;
use petiole_protocol::json::quote;
use petiole_results::redis::Connection;

use super::keys::{Keys, SCHEMA};
use super::lease::known_schema;
use super::scripts::REVOKE;
use super::{Endpoint, Timeouts, during, milliseconds};
use crate::{BrokerError, MOST_REVOKED, REVOKED_FOR, ReadUntil, Revocations, Revoked};

/// How many one script adds: well below what Lua hands to one command.
const BATCH: usize = 1_000;

/// Reading begins so much before the end of the last reading, in ms: the server's clock may be set back a little.
const OVERLAP_MS: i64 = 250;

/// Revoked tasks on Redis. It connects when it is first used.
#[derive(Debug)]
pub struct RedisRevocations {
    connection: Connection,
    keys: Keys,
}

impl RedisRevocations {
    /// The revocations of this broker.
    pub fn new(broker: Endpoint, timeouts: Timeouts) -> Self {
        Self { keys: Keys::new(broker.key_prefix()), connection: Connection::new(broker, timeouts) }
    }

    async fn add(&self, key: &str, revoked: &[String]) -> Result<(), BrokerError> {
        // More than are kept would push each other out.
        let newest = &revoked[revoked.len().saturating_sub(MOST_REVOKED)..];
        for batch in newest.chunks(BATCH) {
            let mut call = REVOKE.call(2);
            call.arg(self.keys.schema()).arg(key);
            call.arg(SCHEMA).arg(milliseconds(REVOKED_FOR)).arg(MOST_REVOKED).arg(batch);
            known_schema(self.connection.run(call).await.map_err(during("revoke tasks"))?)?;
        }
        Ok(())
    }
}

/// A member of the revoked stamps, as JSON: a header and a value may hold any character.
fn stamp(header: &str, value: &str) -> String {
    format!("[{}, {}]", quote(header), quote(value))
}

fn parts(stamp: &str) -> Option<(String, String)> {
    let read = serde_json::from_str(stamp);
    if let Err(error) = &read {
        tracing::warn!(stamp, %error, "a revoked stamp is not one of ours; it is left out");
    }
    read.ok()
}

#[async_trait]
impl Revocations for RedisRevocations {
    async fn revoke(&self, ids: &[String]) -> Result<(), BrokerError> {
        self.add(&self.keys.revoked(), ids).await
    }

    async fn revoke_stamped(&self, header: &str, values: &[String]) -> Result<(), BrokerError> {
        let stamps: Vec<_> = values.iter().map(|value| stamp(header, value)).collect();
        self.add(&self.keys.revoked_stamps(), &stamps).await
    }

    async fn load(&self, since: Option<ReadUntil>) -> Result<Revoked, BrokerError> {
        // Scores say until when a revocation is kept. What is added from now on is read by the next call.
        let kept = i64::try_from(milliseconds(REVOKED_FOR)).unwrap_or(i64::MAX);
        let from = match since {
            Some(ReadUntil(time)) => time.saturating_add(kept),
            None => self.read(i64::MAX).await?.now + 1,
        };
        let mut read = self.read(from).await?;
        if since.is_some() && from <= read.now {
            // The last reading is longer ago than anything is kept.
            read = self.read(read.now + 1).await?;
        }
        Ok(Revoked {
            ids: read.ids,
            stamps: read.stamps.iter().filter_map(|stamp| parts(stamp)).collect(),
            until: ReadUntil(read.now - OVERLAP_MS),
        })
    }
}

/// What one reading has found.
struct Read {
    /// When it was, in ms of Redis' clock.
    now: i64,
    ids: Vec<String>,
    stamps: Vec<String>,
}

impl RedisRevocations {
    /// Reads what is kept for at least so long. In one round trip, since every worker does it every second.
    async fn read(&self, from: i64) -> Result<Read, BrokerError> {
        let mut ask = redis::pipe();
        ask.cmd("GET").arg(self.keys.schema());
        ask.cmd("TIME");
        // No script: handing so many members through Lua takes Redis three times as long.
        for key in [self.keys.revoked(), self.keys.revoked_stamps()] {
            ask.cmd("ZRANGEBYSCORE").arg(key).arg(from).arg("+inf");
        }
        let (schema, (seconds, microseconds), ids, stamps): (Option<u64>, (i64, i64), _, _) =
            self.connection.query_all(&ask).await.map_err(during("read what is revoked"))?;
        known_schema(schema.unwrap_or(SCHEMA))?;
        Ok(Read { now: seconds * 1000 + microseconds / 1000, ids, stamps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        assert_eq!(parts(&stamp("a \"b\"", "\u{e9}\n")), Some(("a \"b\"".to_owned(), "\u{e9}\n".to_owned())));
        assert_eq!(parts("[1]"), None);
    }
}
