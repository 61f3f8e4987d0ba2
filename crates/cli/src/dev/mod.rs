//! `petiole dev`: the same TaskQueue and WorkerPool YAML as on a cluster, on one machine.
//!
//! - [`files`]: what stands in the files. [`redis`]: a broker for files that name none.
//! - [`replica`]: a worker and a runner, as a pod has them. [`state`]: a file that says which processes there are.
//! - [`output`]: their lines as one log. [`tied`]: no process outlives this one.

pub mod files;
pub mod output;
pub mod redis;
pub mod replica;
pub mod state;
pub mod tied;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use petiole_api::accept::SecretRef;
use petiole_api::connection::{Broker, Results, SecretKeyRef};
use petiole_api::task_queue::{TaskQueue, TaskQueueSpec};
use petiole_api::worker_pool::WorkerPool;
use petiole_operator::pool::build::config;
use petiole_operator::pool::validate::{Workers, validate};
use petiole_operator::secrets::Keys;
use petiole_process::shutdown::{self, ListenError};
use tokio::task::JoinSet;

use self::files::{FileError, Resources};
use self::output::Output;
use self::redis::{Redis, RedisError};
use self::replica::Replica;
use self::state::State;

/// A Secret's key holds what only its owner may read.
const SECRET_MODE: u32 = 0o600;

/// Flags of `petiole dev`.
#[derive(Debug, Args)]
pub struct Flags {
    /// A file with TaskQueues, WorkerPools and the Secrets that they name; may be given several times
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    file: Vec<PathBuf>,
    /// Use this broker and result store in place of those in the files (`redis://localhost:6379/0`)
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Keep a file up to date that says which processes run (JSON)
    #[arg(long, value_name = "PATH")]
    state_file: Option<PathBuf>,
}

/// Why `petiole dev` cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// See its source.
    #[error(transparent)]
    File(FileError),
    /// See its source.
    #[error(transparent)]
    Redis(RedisError),
    /// See its source.
    #[error(transparent)]
    Listen(ListenError),
    /// A pool cannot be run as it is written.
    #[error("WorkerPool {pool} is refused ({reason}): {message}")]
    Refused {
        /// Its name.
        pool: String,
        /// The condition's reason, as on a cluster.
        reason: String,
        /// What to write instead.
        message: String,
    },
    /// A pool's image runs its own worker.
    #[error(
        "WorkerPool {0} has mode Celery: start its worker by hand with the options of spec.celery, and leave the pool out"
    )]
    OwnWorker(String),
    /// A Secret is named that stands in no file.
    #[error(
        "Secret {name} with the key {key} stands in none of the files: add it (stringData), or write --broker"
    )]
    NoSecret {
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
    },
    /// The same of a Secret that is wanted whole.
    #[error("Secret {0} stands in none of the files: add it (stringData)")]
    NoWholeSecret(String),
    /// A file of ours cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// This program does not know where it is.
    #[error(
        "failed to find the folder of this program, where petiole-worker and petiole-runner are expected"
    )]
    Programs(#[source] std::io::Error),
}

impl Flags {
    /// Runs until SIGINT or SIGTERM, then drains.
    pub async fn run(self) -> Result<(), DevError> {
        let Self { file, broker, state_file } = self;
        let stop = shutdown::on_signal().map_err(DevError::Listen)?;
        let mut resources = Resources::read(&file).map_err(DevError::File)?;
        let folder = tempfile::Builder::new()
            .prefix("petiole-dev-")
            .tempdir()
            .map_err(|source| DevError::Write { path: std::env::temp_dir(), source })?;

        let ephemeral = match &broker {
            None if resources.needs_broker() => {
                Some(Redis::start(folder.path()).await.map_err(DevError::Redis)?)
            }
            _ => None,
        };
        let named = broker.clone().or_else(|| ephemeral.as_ref().map(|redis| redis.url().to_owned()));
        if let Some(url) = &named {
            resources.use_broker(url, broker.is_some());
        }
        write_secrets(folder.path(), &resources.secrets)?;

        let (state, replicas) = prepare(&resources, folder.path(), state_file)?;
        let width = replicas.iter().map(|replica| replica.label.len()).max().unwrap_or_default();
        let output = Output::new(width + " worker".len());
        let mut running = JoinSet::new();
        for replica in replicas {
            running.spawn(replica.run(state.clone(), output.clone(), stop.clone()));
        }
        while running.join_next().await.is_some() {}
        tracing::info!("stopped");
        Ok(())
    }
}

impl Resources {
    /// Whether a TaskQueue is missing that only an ephemeral broker can stand in for.
    fn needs_broker(&self) -> bool {
        self.missing().next().is_some()
    }

    /// The TaskQueues that pools name and no file has.
    fn missing(&self) -> impl Iterator<Item = String> {
        let named =
            self.pools.iter().flat_map(|pool| &pool.spec.queues).map(|queue| queue.task_queue.clone());
        named.filter(|name| !self.queues.contains_key(name))
    }

    /// All keys of a Secret.
    fn whole_secret(&self, secret: &SecretRef) -> Result<Keys, DevError> {
        let keys = self.secrets.get(&secret.name);
        let keys = keys.ok_or_else(|| DevError::NoWholeSecret(secret.name.clone()))?;
        Ok(keys.iter().map(|(key, value)| (key.clone(), value.clone().into_bytes())).collect())
    }

    /// Makes the missing TaskQueues on this broker; moves the others there too, when it was asked for.
    fn use_broker(&mut self, url: &str, all: bool) {
        let missing: Vec<String> = self.missing().collect();
        for name in missing {
            tracing::info!(queue = name, broker = url, "no file has this TaskQueue: it is made");
            let spec = TaskQueueSpec {
                broker: broker_at(url),
                results: Some(results_at(url)),
                ..Default::default()
            };
            self.queues.insert(name.clone(), TaskQueue::new(&name, spec));
        }
        if all {
            for queue in self.queues.values_mut() {
                let broker = &mut queue.spec.broker;
                *broker = Broker { redis: broker.redis.clone(), ..broker_at(url) };
                broker.redis.sentinel = None;
                if let Some(results) = &mut queue.spec.results {
                    let (expires, extended) = (results.expires, results.extended);
                    *results = Results { expires, extended, ..results_at(url) };
                }
            }
        }
    }
}

fn broker_at(url: &str) -> Broker {
    Broker { url: Some(url.to_owned()), ..Broker::default() }
}

fn results_at(url: &str) -> Results {
    Results { url: Some(url.to_owned()), ..Results::default() }
}

/// Makes the pools' files, and says what is to run.
fn prepare(
    resources: &Resources,
    folder: &Path,
    state_file: Option<PathBuf>,
) -> Result<(State, Vec<Replica>), DevError> {
    let programs = std::env::current_exe()
        .and_then(|program| {
            program.parent().map(Path::to_owned).ok_or_else(|| std::io::Error::other("no folder"))
        })
        .map_err(DevError::Programs)?;
    let first = resources.queues.values().next().map(|queue| &queue.spec);
    let broker = first.and_then(|spec| spec.broker.url.clone()).unwrap_or_default();
    let results = first.and_then(|spec| spec.results.as_ref()).and_then(|results| results.url.clone());
    let state = State::new(state_file, broker, results);
    let mut replicas = Vec::new();
    for pool in &resources.pools {
        let name = pool.metadata.name.clone().unwrap_or_default();
        let config = pool_file(resources, pool, &name, folder)?;
        let count = usize::try_from(pool.spec.replicas).unwrap_or_default();
        let number = state.pool(&name, count);
        for index in 0..count {
            let own = folder.join(&name).join(index.to_string());
            make_folder(&own)?;
            replicas.push(Replica {
                pool: number,
                index,
                label: format!("{name}/{index}"),
                // Another `petiole dev` on the same broker may have a pool of the same name.
                identity: format!("{name}-{index}-{}", uuid::Uuid::new_v4().simple()),
                programs: programs.clone(),
                config: config.clone(),
                folder: own,
            });
        }
    }
    Ok((state, replicas))
}

/// Writes a pool's file, as the operator would into its ConfigMap.
fn pool_file(
    resources: &Resources,
    pool: &WorkerPool,
    name: &str,
    folder: &Path,
) -> Result<PathBuf, DevError> {
    let certificates = match &pool.spec.accept.certificates_from {
        Some(from) => Some(Ok(resources.whole_secret(&from.secret_ref)?)),
        None => None,
    };
    let validated = validate(pool, &resources.queues)
        .and_then(|validated| validated.with_certificates(certificates.as_ref()))
        .map_err(|refusal| DevError::Refused {
            pool: name.to_owned(),
            reason: refusal.reason.to_owned(),
            message: refusal.message,
        })?;
    let Workers::Ours(mode) = &validated.workers else {
        return Err(DevError::OwnWorker(name.to_owned()));
    };
    let named = RefCell::new(Vec::new());
    let path = |key: &SecretKeyRef| {
        named.borrow_mut().push(key.clone());
        secret_path(folder, key)
    };
    let file = config(&validated, mode, &path, &|secret| secret_folder(folder, &secret.name));
    for SecretKeyRef { name, key } in named.into_inner() {
        if !resources.secrets.get(&name).is_some_and(|keys| keys.contains_key(&key)) {
            return Err(DevError::NoSecret { name, key });
        }
    }
    let own = folder.join(name);
    make_folder(&own)?;
    let path = own.join("pool.json");
    let text = serde_json::to_vec_pretty(&file)
        .map_err(|source| DevError::Write { path: path.clone(), source: source.into() })?;
    std::fs::write(&path, text).map_err(|source| DevError::Write { path: path.clone(), source })?;
    Ok(path)
}

fn secret_folder(folder: &Path, name: &str) -> PathBuf {
    folder.join("secrets").join(name)
}

fn secret_path(folder: &Path, key: &SecretKeyRef) -> PathBuf {
    secret_folder(folder, &key.name).join(&key.key)
}

fn make_folder(path: &Path) -> Result<(), DevError> {
    std::fs::create_dir_all(path).map_err(|source| DevError::Write { path: path.to_owned(), source })
}

fn write_secrets(
    folder: &Path,
    secrets: &BTreeMap<String, BTreeMap<String, String>>,
) -> Result<(), DevError> {
    for (name, keys) in secrets {
        make_folder(&secret_folder(folder, name))?;
        for (key, value) in keys {
            let path = secret_path(folder, &SecretKeyRef { name: name.clone(), key: key.clone() });
            let written = std::fs::write(&path, value)
                .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(SECRET_MODE)));
            written.map_err(|source| DevError::Write { path, source })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: petiole.dev/v1alpha1\n";

    /// The resources of these documents.
    fn resources(documents: &[&str]) -> Resources {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resources.yaml");
        let documents: Vec<_> = documents.iter().map(|document| format!("{HEAD}{document}\n")).collect();
        std::fs::write(&path, documents.join("---\n")).unwrap();
        Resources::read(&[path]).unwrap()
    }

    const QUEUE: &str = "kind: TaskQueue\nmetadata: {name: a}\nspec: {broker: {url: 'redis://far'}, \
                         results: {url: 'redis://far/1', expires: 1h, extended: true}}";
    const SIGNED: &str = "kind: WorkerPool\nmetadata: {name: p}\nspec: {image: i, queues: [{taskQueue: a}], \
                          tasks: [{name: t, command: [c]}], accept: {content: [auth], \
                          certificatesFrom: {secretRef: {name: signers}}}}";

    #[test]
    fn another_broker_changes_where_results_go_and_nothing_else_of_them() {
        let mut resources = resources(&[QUEUE, SIGNED]);
        resources.use_broker("redis://near", true);
        let results = resources.queues["a"].spec.results.clone().unwrap();
        assert_eq!(results.url.as_deref(), Some("redis://near"));
        assert_eq!((results.expires.to_string(), results.extended), ("1h".to_owned(), true));
    }

    #[test]
    fn certificates_that_no_file_has_or_that_are_none_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let why = |resources: &Resources| {
            pool_file(resources, &resources.pools[0], "p", folder.path()).unwrap_err().to_string()
        };
        let mut resources = resources(&[QUEUE, SIGNED]);
        assert_eq!(why(&resources), "Secret signers stands in none of the files: add it (stringData)");
        let keys = BTreeMap::from([("a.pem".to_owned(), "no certificate".to_owned())]);
        resources.secrets.insert("signers".to_owned(), keys);
        let why = why(&resources);
        assert!(why.starts_with("WorkerPool p is refused (CertificatesRefused)"), "{why}");
    }
}
