//! What stands in the files: TaskQueues, WorkerPools, and the Secrets that they name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use petiole_api::check::refusals;
use petiole_api::{TaskQueue, WorkerPool};
use serde::Deserialize;

/// The resources of all files.
#[derive(Debug, Default)]
pub struct Resources {
    /// By name.
    pub queues: BTreeMap<String, TaskQueue>,
    /// In the order of the files.
    pub pools: Vec<WorkerPool>,
    /// The keys of each Secret, by its name.
    pub secrets: BTreeMap<String, BTreeMap<String, String>>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no YAML, or a resource in it is not what its kind should be.
    #[error("failed to understand document {number} of {}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Which document of it, from 1.
        number: usize,
        /// Why.
        #[source]
        source: serde_yaml::Error,
    },
    /// An API server would refuse it.
    #[error("document {number} of {} is refused: {}", path.display(), why.join("; "))]
    Refused {
        /// Which.
        path: PathBuf,
        /// Which document of it, from 1.
        number: usize,
        /// Each with the path of the field and what to write.
        why: Vec<String>,
    },
    /// There is nothing to run.
    #[error("no WorkerPool stands in the files: write one, or name its file by another -f")]
    NoPool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    metadata: Metadata,
    #[serde(default)]
    string_data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

impl Resources {
    /// Reads these files, which have something to run.
    pub fn read(paths: &[PathBuf]) -> Result<Self, FileError> {
        let resources = Self::read_any(paths)?;
        if resources.pools.is_empty() { Err(FileError::NoPool) } else { Ok(resources) }
    }

    /// Reads these files, whatever they have.
    pub fn read_any(paths: &[PathBuf]) -> Result<Self, FileError> {
        let mut resources = Self::default();
        for path in paths {
            let text = std::fs::read_to_string(path)
                .map_err(|source| FileError::Read { path: path.clone(), source })?;
            resources.add(path, &text)?;
        }
        Ok(resources)
    }

    fn add(&mut self, path: &Path, text: &str) -> Result<(), FileError> {
        for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
            let number = index + 1;
            let failed = |source| FileError::Parse { path: path.to_owned(), number, source };
            let value = serde_yaml::Value::deserialize(document).map_err(failed)?;
            let why = serde_json::to_value(&value).map(|object| refusals(&object)).unwrap_or_default();
            if !why.is_empty() {
                return Err(FileError::Refused { path: path.to_owned(), number, why });
            }
            match value.get("kind").and_then(serde_yaml::Value::as_str) {
                Some("TaskQueue") => {
                    let queue: TaskQueue = serde_yaml::from_value(value).map_err(failed)?;
                    self.queues.insert(queue.metadata.name.clone().unwrap_or_default(), queue);
                }
                Some("WorkerPool") => {
                    self.pools.push(serde_yaml::from_value(value).map_err(failed)?);
                }
                Some("Secret") => {
                    let secret: Secret = serde_yaml::from_value(value).map_err(failed)?;
                    self.secrets.insert(secret.metadata.name, secret.string_data);
                }
                Some(kind) => tracing::info!(kind, "passed over: `petiole dev` does not need it"),
                None if value.is_null() => {}
                None => {
                    tracing::warn!(number, path = %path.display(), "passed over a document without a kind");
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_pool_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.yaml");
        std::fs::write(&path, "---\nkind: Deployment\n---\n").unwrap();
        let error = Resources::read(&[path]).unwrap_err();
        assert!(error.to_string().starts_with("no WorkerPool stands in the files"));
    }

    #[test]
    fn a_misspelt_field_is_named_with_its_document() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.yaml");
        let text = "kind: WorkerPool\nmetadata: {name: a}\nspec: {queues: 3}\n";
        std::fs::write(&path, text).unwrap();
        let error = Resources::read(std::slice::from_ref(&path)).unwrap_err();
        assert!(matches!(error, FileError::Parse { number: 1, .. }), "{error:?}");
    }

    #[test]
    fn what_an_api_server_would_refuse_is_refused_in_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.yaml");
        let head = "apiVersion: petiole.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: a}\n";
        let spec = "spec: {image: a, mode: Serve, queues: [{taskQueue: a}], concurency: 3}\n";
        std::fs::write(&path, [head, spec].concat()).unwrap();
        let error = Resources::read(&[path]).unwrap_err().to_string();
        assert!(error.contains("spec.concurency: there is no such field"), "{error}");
        assert!(error.contains("serve"), "{error}");
    }
}
