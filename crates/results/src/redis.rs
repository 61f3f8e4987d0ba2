//! Celery's Redis back end, and the connections that it shares with the Redis broker.
//!
//! ```text
//!   endpoint (where, login, certificates) ──> connection (opens itself again) ──> script, command
//! ```

mod chords;
mod connection;
mod endpoint;
mod keys;
mod open;
mod script;

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use petiole_protocol::keys::ResultKeys;

pub use self::connection::{Cause, Connection, Failure, Pushes, Timeouts};
pub use self::endpoint::{Endpoint, EndpointError, Identity, Login, ReadSecrets, Secrets};
pub use self::keys::GroupKeys;
pub use self::script::{Call, Script};
use crate::chord::{ChordClaim, ChordPart, ChordParts, ChordStart, Counted};
use crate::{Precedence, Record, Store, StoreError};

/// The Lua function `store_records`, for scripts that write records among other things.
pub const STORE_LUA: &str = include_str!("redis/store.lua");

/// The Lua functions `chord_start`, `chord_fits`, `chord_part`, `chord_claimed` and `chord_finish`, likewise.
pub const CHORD_LUA: &str = include_str!("redis/chord.lua");

/// The most records that one script stores: some 100 of them take Redis a millisecond, for which nobody else is
/// served.
pub const MAX_RECORDS: usize = 128;

/// The most bytes of documents that one script stores, so that a batch of large results is not one huge command.
pub const MAX_BYTES: usize = 8 << 20;

static STORE: LazyLock<Script> =
    LazyLock::new(|| Script::new(&format!("{STORE_LUA}\n{}", include_str!("redis/store_batch.lua"))));

/// Celery's Redis back end.
#[derive(Debug)]
pub struct RedisStore {
    connection: Connection,
    keys: ResultKeys,
    groups: GroupKeys,
}

impl RedisStore {
    /// A store at this endpoint. It connects when it is first used.
    pub fn new(endpoint: Endpoint, timeouts: Timeouts) -> Self {
        let keys = ResultKeys::new(endpoint.key_prefix());
        let groups = GroupKeys::new(endpoint.key_prefix());
        Self { connection: Connection::new(endpoint, timeouts), keys, groups }
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        self.connection.endpoint()
    }
}

/// How long a record is kept, as the scripts take it: whole seconds, `0` for ever. A part of a second counts as
/// one, because Redis refuses 0.
pub fn seconds(expires: Option<Duration>) -> u64 {
    expires.map_or(0, |kept| (kept.as_secs() + u64::from(kept.subsec_nanos() > 0)).max(1))
}

/// Milliseconds, as the scripts take them: at least one, because Redis refuses 0.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// What a record may not replace, as the scripts take it.
pub fn precedence(precedence: Precedence) -> &'static str {
    match precedence {
        Precedence::Result => "",
        Precedence::Progress => "progress",
        Precedence::Revoked => "revoked",
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn store(&self, records: &[Record]) -> Result<(), StoreError> {
        let mut rest = records;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(fitting(rest.iter().map(|record| record.document.len())));
            let mut call = STORE.call(batch.len());
            for record in batch {
                call.arg(self.keys.task(&record.task_id));
            }
            for record in batch {
                call.arg(&record.document).arg(seconds(record.expires)).arg(precedence(record.precedence));
            }
            let _: u64 = self.connection.run(call).await.map_err(during("store results"))?;
            rest = later;
        }
        Ok(())
    }

    async fn load(&self, task_id: &str) -> Result<Option<String>, StoreError> {
        let mut get = ::redis::cmd("GET");
        get.arg(self.keys.task(task_id));
        self.connection.query(&get).await.map_err(during("read a result"))
    }

    async fn load_many(&self, task_ids: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        let mut documents = Vec::with_capacity(task_ids.len());
        for batch in task_ids.chunks(MAX_RECORDS) {
            let mut get = ::redis::cmd("MGET");
            for id in batch {
                get.arg(self.keys.task(id));
            }
            let found: Vec<Option<String>> =
                self.connection.query(&get).await.map_err(during("read results"))?;
            documents.extend(found);
        }
        Ok(documents)
    }

    async fn chord_start(&self, starts: &[ChordStart]) -> Result<(), StoreError> {
        self.start_chords(starts).await
    }

    async fn chord_part(&self, parts: &[ChordPart]) -> Result<Vec<Counted>, StoreError> {
        self.count_parts(parts).await
    }

    async fn chord_parts(&self, group: &str) -> Result<ChordParts, StoreError> {
        self.read_parts(group).await
    }

    async fn chord_extend(&self, claim: &ChordClaim, by: Duration) -> Result<bool, StoreError> {
        self.extend(claim, by).await
    }

    async fn chord_finish(&self, claim: &ChordClaim) -> Result<bool, StoreError> {
        self.finish(claim).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let _: String =
            self.connection.query(&::redis::cmd("PING")).await.map_err(during("ask the result store"))?;
        Ok(())
    }
}

/// How many of these items go into one script: at least one, and no more than the limits allow.
pub fn fitting(sizes: impl IntoIterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fits = |size: &usize| {
        bytes += size;
        bytes <= MAX_BYTES
    };
    sizes.into_iter().take(MAX_RECORDS).take_while(fits).count().max(1)
}

fn during(doing: &'static str) -> impl FnOnce(Failure) -> StoreError {
    move |failure| {
        let refused = failure.is_refusal();
        let source = Box::new(failure);
        if refused {
            StoreError::Refused { doing, source }
        } else {
            StoreError::Unreachable { doing, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_at_least_one_item_and_at_most_what_the_limits_allow() {
        assert_eq!(fitting([MAX_BYTES + 1, 1]), 1);
        assert_eq!(fitting([MAX_BYTES - 1, 1, 1]), 2);
        assert_eq!(fitting(vec![1; MAX_RECORDS + 5]), MAX_RECORDS);
    }

    #[test]
    fn a_part_of_a_second_is_kept_for_one() {
        assert_eq!(seconds(None), 0);
        assert_eq!(seconds(Some(Duration::ZERO)), 1);
        assert_eq!(seconds(Some(Duration::from_millis(1500))), 2);
        assert_eq!(seconds(Some(Duration::from_hours(24))), 86_400);
    }
}
