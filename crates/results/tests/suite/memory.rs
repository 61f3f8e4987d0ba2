//! The store in memory against the conformance suite.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use petiole_results::Store;
use petiole_results::conformance::{Subject, exercise};
use petiole_results::memory::MemoryStore;

struct Memory {
    store: MemoryStore,
    /// The clock: milliseconds.
    now: Arc<AtomicU64>,
}

#[async_trait(?Send)]
impl Subject for Memory {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn announced(&mut self, task_id: &str, _count: usize) -> Result<Vec<String>, Box<dyn Error>> {
        let all = self.store.announced().into_iter();
        Ok(all.filter(|record| record.task_id == task_id).map(|record| record.document).collect())
    }

    async fn pass(&mut self, time: Duration) -> Result<(), Box<dyn Error>> {
        self.now.fetch_add(u64::try_from(time.as_millis())?, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test]
async fn the_store_in_memory_conforms() {
    let now = Arc::new(AtomicU64::new(1_700_000_000_000));
    let read = now.clone();
    let store = MemoryStore::new(Arc::new(move || Duration::from_millis(read.load(Ordering::SeqCst))));
    exercise(&mut Memory { store, now }).await.unwrap();
}
