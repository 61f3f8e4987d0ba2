//! Chords on Celery's keys.

use std::sync::LazyLock;
use std::time::Duration;

use super::{CHORD_LUA, MAX_RECORDS, RedisStore, Script, during, milliseconds, seconds};
use crate::StoreError;
use crate::chord::{ChordClaim, ChordPart, ChordParts, ChordStart, Counted, DONE};

/// A script that includes the fragment on chords.
macro_rules! script {
    ($name:ident, $file:literal) => {
        static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(&format!("{CHORD_LUA}\n{}", include_str!($file))));
    };
}

script!(START, "chord_start.lua");
script!(PART, "chord_part.lua");
script!(EXTEND, "chord_extend.lua");
script!(FINISH, "chord_finish.lua");

impl RedisStore {
    pub(super) async fn start_chords(&self, starts: &[ChordStart]) -> Result<(), StoreError> {
        for batch in starts.chunks(MAX_RECORDS) {
            let mut call = START.call(batch.len());
            for start in batch {
                call.arg(self.groups.group(&start.group));
            }
            for ChordStart { group: _, size, saved, expires } in batch {
                call.arg(size).arg(seconds(*expires)).arg(saved.as_deref().unwrap_or_default());
            }
            let _: u64 = self.connection.run(call).await.map_err(during("begin chords"))?;
        }
        Ok(())
    }

    pub(super) async fn count_parts(&self, parts: &[ChordPart]) -> Result<Vec<Counted>, StoreError> {
        let mut counted = Vec::with_capacity(parts.len());
        for batch in parts.chunks(MAX_RECORDS) {
            let mut call = PART.call(batch.len());
            for part in batch {
                call.arg(self.groups.group(&part.group));
            }
            for part in batch {
                call.arg(part.name()).arg(part.score()).arg(&part.member).arg(part.added());
                call.arg(seconds(part.expires));
                call.arg(milliseconds(part.claim)).arg(part.claimed().token);
            }
            let answers: Vec<u8> =
                self.connection.run(call).await.map_err(during("count parts of chords"))?;
            counted.extend(batch.iter().zip(answers).map(|(part, answer)| match answer {
                1 => Counted::Complete(part.claimed()),
                2 => Counted::WrongKey,
                _ => Counted::Yes,
            }));
        }
        Ok(counted)
    }

    pub(super) async fn read_parts(&self, group: &str) -> Result<ChordParts, StoreError> {
        let key = self.groups.group(group);
        let mut ask = ::redis::pipe();
        ask.cmd("GET").arg(&key);
        ask.cmd("ZRANGE").arg(format!("{key}.j")).arg(0).arg(-1);
        let (saved, members) =
            self.connection.query_all(&ask).await.map_err(during("read the parts of a chord"))?;
        Ok(ChordParts { saved, members })
    }

    pub(super) async fn extend(&self, claim: &ChordClaim, by: Duration) -> Result<bool, StoreError> {
        let mut call = EXTEND.call(1);
        call.arg(self.groups.group(&claim.group)).arg(&claim.token).arg(milliseconds(by));
        self.connection.run(call).await.map_err(during("extend the claim of a chord"))
    }

    pub(super) async fn finish(&self, claim: &ChordClaim) -> Result<bool, StoreError> {
        let mut call = FINISH.call(1);
        call.arg(self.groups.group(&claim.group)).arg(&claim.token).arg(DONE.as_secs());
        self.connection.run(call).await.map_err(during("end a chord"))
    }
}
