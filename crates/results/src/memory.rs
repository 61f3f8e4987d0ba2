//! A store inside the process: for tests, and behind the broker in memory.

mod chords;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use self::chords::Chords;
use crate::chord::{ChordClaim, ChordPart, ChordParts, ChordStart, Counted};
use crate::{Record, Store, StoreError};

/// Says what time it is, since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A store inside the process. Clones share what is written, which is kept for as long as one is there: nothing
/// expires but claims.
#[derive(Clone)]
pub struct MemoryStore {
    clock: Clock,
    written: Arc<Mutex<Written>>,
}

#[derive(Debug, Default)]
struct Written {
    documents: HashMap<String, String>,
    announced: Vec<Record>,
    chords: Chords,
}

impl Default for MemoryStore {
    /// A store by the system's clock.
    fn default() -> Self {
        Self::new(Arc::new(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("written", &self.written).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// A store by this clock.
    pub fn new(clock: Clock) -> Self {
        Self { clock, written: Arc::default() }
    }

    /// Writes one record, by the rules of [`Store`].
    pub fn put(&self, record: &Record) {
        let mut written = self.lock();
        let old = written.documents.get(&record.task_id);
        if old.is_some_and(|old| !record.precedence.replaces(old)) {
            return;
        }
        written.documents.insert(record.task_id.clone(), record.document.clone());
        written.announced.push(record.clone());
    }

    /// The document of a task.
    pub fn get(&self, task_id: &str) -> Option<String> {
        self.lock().documents.get(task_id).cloned()
    }

    /// Everything that was announced, in its order.
    pub fn announced(&self) -> Vec<Record> {
        self.lock().announced.clone()
    }

    /// Begins a chord.
    pub fn start(&self, start: &ChordStart) {
        self.lock().chords.start(start);
    }

    /// Counts a part of a chord.
    pub fn part(&self, part: &ChordPart) -> Counted {
        let now = (self.clock)();
        self.lock().chords.part(part, now)
    }

    /// Whether the body of a chord may be sent by this claim.
    pub fn claimed(&self, claim: &ChordClaim) -> bool {
        let now = (self.clock)();
        self.lock().chords.claimed(claim, now)
    }

    /// Ends a chord, if the claim is still the caller's.
    pub fn finish(&self, claim: &ChordClaim) -> bool {
        let now = (self.clock)();
        self.lock().chords.finish(claim, now)
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn store(&self, records: &[Record]) -> Result<(), StoreError> {
        for record in records {
            self.put(record);
        }
        Ok(())
    }

    async fn load(&self, task_id: &str) -> Result<Option<String>, StoreError> {
        Ok(self.get(task_id))
    }

    async fn load_many(&self, task_ids: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        Ok(task_ids.iter().map(|id| self.get(id)).collect())
    }

    async fn chord_start(&self, starts: &[ChordStart]) -> Result<(), StoreError> {
        for start in starts {
            self.start(start);
        }
        Ok(())
    }

    async fn chord_part(&self, parts: &[ChordPart]) -> Result<Vec<Counted>, StoreError> {
        Ok(parts.iter().map(|part| self.part(part)).collect())
    }

    async fn chord_parts(&self, group: &str) -> Result<ChordParts, StoreError> {
        Ok(self.lock().chords.parts(group))
    }

    async fn chord_extend(&self, claim: &ChordClaim, by: Duration) -> Result<bool, StoreError> {
        let now = (self.clock)();
        Ok(self.lock().chords.extend(claim, by, now))
    }

    async fn chord_finish(&self, claim: &ChordClaim) -> Result<bool, StoreError> {
        Ok(self.finish(claim))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
