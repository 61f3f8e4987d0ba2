//! The store in memory against the conformance suite.

use std::error::Error;

use async_trait::async_trait;
use petiole_results::Store;
use petiole_results::conformance::{Subject, exercise};
use petiole_results::memory::MemoryStore;

struct Memory(MemoryStore);

#[async_trait(?Send)]
impl Subject for Memory {
    fn store(&self) -> &dyn Store {
        &self.0
    }

    async fn announced(&mut self, task_id: &str, _count: usize) -> Result<Vec<String>, Box<dyn Error>> {
        let all = self.0.announced().into_iter();
        Ok(all.filter(|record| record.task_id == task_id).map(|record| record.document).collect())
    }
}

#[tokio::test]
async fn the_store_in_memory_conforms() {
    exercise(&mut Memory(MemoryStore::default())).await.unwrap();
}
