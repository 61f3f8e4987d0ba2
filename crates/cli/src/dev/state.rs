//! The state file: which processes there are, for scripts that watch or disturb them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// What stands in the file.
#[derive(Debug, Default, Serialize)]
struct Content {
    broker: String,
    results: Option<String>,
    pools: Vec<Pool>,
}

#[derive(Debug, Serialize)]
struct Pool {
    name: String,
    replicas: Vec<Replica>,
}

/// One pair of processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Replica {
    /// The worker's process id.
    pub worker: Option<u32>,
    /// The runner's process id.
    pub runner: Option<u32>,
    /// The worker says that it is ready.
    pub ready: bool,
}

/// The state of all replicas, written to a file at every change where one is asked for.
#[derive(Debug, Clone, Default)]
pub struct State {
    path: Option<PathBuf>,
    content: Arc<Mutex<Content>>,
}

impl State {
    /// Nothing runs yet.
    pub fn new(path: Option<PathBuf>, broker: String, results: Option<String>) -> Self {
        Self { path, content: Arc::new(Mutex::new(Content { broker, results, pools: Vec::new() })) }
    }

    /// Adds a pool of so many replicas; its index.
    pub fn pool(&self, name: &str, replicas: usize) -> usize {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.pools.push(Pool { name: name.to_owned(), replicas: vec![Replica::default(); replicas] });
        content.pools.len() - 1
    }

    /// Changes what is known of a replica.
    pub fn update(&self, pool: usize, replica: usize, change: impl FnOnce(&mut Replica)) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(replica) = content.pools.get_mut(pool).and_then(|pool| pool.replicas.get_mut(replica))
        else {
            return;
        };
        let before = *replica;
        change(replica);
        if *replica != before
            && let Some(path) = &self.path
            && let Err(error) = write(path, &content)
        {
            tracing::warn!(%error, path = %path.display(), "the state file could not be written");
        }
    }
}

/// Whoever reads the file sees it whole: it is moved into its place.
fn write(path: &std::path::Path, content: &Content) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, serde_json::to_vec_pretty(content)?)?;
    std::fs::rename(beside, path)
}
