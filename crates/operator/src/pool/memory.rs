//! What this process applied last, so that nothing is applied twice.
//!
//! An object needs to be applied when what is wanted has changed, or when someone else has changed it since: its
//! generation, or where its kind has none its version, is not what our own call left behind. A process that has just
//! become the leader knows nothing and applies everything once, which changes nothing.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use kube::api::ObjectMeta;

use super::PoolKey;
use super::build::Manifest;

/// What was applied last: for each pool, of each kind one object.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<PoolKey, HashMap<&'static str, Applied>>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Applied {
    wanted: u64,
    left: Left,
}

/// By what a later look recognizes an object that nobody has touched since.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Left {
    uid: Option<String>,
    generation: Option<i64>,
    /// Only where there is no generation: a status moves it too.
    version: Option<String>,
}

impl Left {
    fn of(object: &ObjectMeta) -> Self {
        let ObjectMeta { uid, generation, resource_version, .. } = object.clone();
        Self { uid, generation, version: if generation.is_some() { None } else { resource_version } }
    }
}

impl Memory {
    /// Whether an object is as our last call left it, and what is wanted now is what was wanted then.
    pub(super) fn knows(&self, pool: &PoolKey, kind: &str, wanted: &Manifest, live: &ObjectMeta) -> bool {
        let now = Applied { wanted: hash(wanted), left: Left::of(live) };
        let pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pools.get(pool).and_then(|kinds| kinds.get(kind)) == Some(&now)
    }

    /// Takes note of what our call left behind.
    pub(super) fn note(&self, pool: &PoolKey, kind: &'static str, wanted: &Manifest, left: &ObjectMeta) {
        let applied = Applied { wanted: hash(wanted), left: Left::of(left) };
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pools.entry(pool.clone()).or_default().insert(kind, applied);
    }

    /// Forgets the pools that `keep` denies.
    pub fn retain(&self, keep: impl Fn(&PoolKey) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|pool, _| keep(pool));
    }
}

fn hash(manifest: &Manifest) -> u64 {
    let mut hasher = DefaultHasher::new();
    manifest.name.hash(&mut hasher);
    // Value has no Hash; its text is the same for the same value, because its fields are sorted.
    manifest.body.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(replicas: u32) -> Manifest {
        Manifest { name: "a".to_owned(), body: json!({ "replicas": replicas }) }
    }

    fn meta(generation: Option<i64>, version: &str) -> ObjectMeta {
        ObjectMeta { generation, resource_version: Some(version.to_owned()), ..ObjectMeta::default() }
    }

    fn pool(name: &str) -> PoolKey {
        ("photos".to_owned(), name.to_owned())
    }

    #[test]
    fn an_object_that_nobody_touched_is_known() {
        let memory = Memory::default();
        assert!(!memory.knows(&pool("x"), "Deployment", &manifest(1), &meta(Some(1), "1")));
        memory.note(&pool("x"), "Deployment", &manifest(1), &meta(Some(1), "1"));
        // Its status moved, its spec did not.
        assert!(memory.knows(&pool("x"), "Deployment", &manifest(1), &meta(Some(1), "2")));
        assert!(!memory.knows(&pool("x"), "Deployment", &manifest(1), &meta(Some(2), "3")));
        assert!(!memory.knows(&pool("x"), "Deployment", &manifest(2), &meta(Some(1), "1")));
        assert!(!memory.knows(&pool("y"), "Deployment", &manifest(1), &meta(Some(1), "1")));
    }

    #[test]
    fn where_there_is_no_generation_the_version_counts() {
        let memory = Memory::default();
        memory.note(&pool("x"), "ConfigMap", &manifest(1), &meta(None, "1"));
        assert!(memory.knows(&pool("x"), "ConfigMap", &manifest(1), &meta(None, "1")));
        assert!(!memory.knows(&pool("x"), "ConfigMap", &manifest(1), &meta(None, "2")));
    }
}
