//! A store inside the process: for tests, and behind the broker in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::{Record, Store, StoreError, says_success};

/// A store inside the process. Clones share their records, which are kept for as long as one is there: they do not
/// expire.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
struct Written {
    documents: HashMap<String, String>,
    announced: Vec<Record>,
}

impl MemoryStore {
    /// Writes one record, by the rules of [`Store`].
    pub fn put(&self, record: &Record) {
        let mut written = self.lock();
        if written.documents.get(&record.task_id).is_some_and(|old| says_success(old)) {
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

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
