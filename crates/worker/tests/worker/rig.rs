//! A worker of one queue and one task; the broker that it meets; the runner's end of its socket.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use petiole_broker::memory::{MemoryBroker, MemoryWorker};
use petiole_broker::{BrokerError, Consumer, Inspector, Lease, QueueName};
use petiole_contract::control::{FromRunner, RUNNER};
use petiole_contract::frame;
use petiole_process::metrics::Registry;
use petiole_process::ready::Readiness;
use petiole_results::Store;
use petiole_worker::connect::Connect;
use petiole_worker::metrics::Metrics;
use petiole_worker::worker::Worker;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A broker whose clock stands still: no lease runs out by itself.
pub(crate) fn broker() -> MemoryBroker {
    MemoryBroker::new(Arc::new(|| Timestamp::UNIX_EPOCH), None)
}

/// The worker's queue.
pub(crate) fn queue() -> QueueName {
    QueueName { name: "work".to_owned(), priority_steps: vec![0], dead_letter: "work.dead".to_owned() }
}

/// A message of its task.
pub(crate) fn message() -> String {
    json!({
        "body": "[[], {}, {}]",
        "content-type": "application/json",
        "headers": {"task": "demo.noop", "id": "id-1"},
        "properties": {},
    })
    .to_string()
}

/// What the broker knows of a worker of this name.
pub(crate) fn known(incarnation: &str) -> petiole_broker::Worker {
    petiole_broker::Worker {
        incarnation: incarnation.to_owned(),
        queues: vec![queue()],
        ..Default::default()
    }
}

/// Connections to the broker in memory, where one value is both a lease and a consumer.
struct InMemory {
    broker: MemoryBroker,
    workers: Mutex<HashMap<String, Arc<MemoryWorker>>>,
}

#[async_trait]
impl Connect for InMemory {
    async fn lease(&self, incarnation: &str) -> Result<Arc<dyn Lease>, BrokerError> {
        let worker = Arc::new(self.broker.register(known(incarnation))?);
        self.workers.lock().unwrap().insert(incarnation.to_owned(), worker.clone());
        Ok(worker)
    }

    async fn consumer(&self, incarnation: &str) -> Result<Arc<dyn Consumer>, BrokerError> {
        Ok(self.workers.lock().unwrap()[incarnation].clone())
    }

    async fn store(&self) -> Result<Option<Arc<dyn Store>>, BrokerError> {
        Ok(None)
    }

    async fn inspector(&self) -> Result<Arc<dyn Inspector>, BrokerError> {
        Ok(Arc::new(self.broker.clone()))
    }
}

/// A worker that runs until this value is dropped.
pub(crate) struct Running {
    pub(crate) registry: Registry,
    folder: TempDir,
    _stop: DropGuard,
}

impl Running {
    /// Starts a worker of this identity.
    pub(crate) fn start(broker: &MemoryBroker, identity: &str) -> Self {
        let pool = json!({
            "namespace": "default",
            "name": "pool",
            "mode": "exec",
            "concurrency": 1,
            "broker": {"url": {"value": "redis://unused"}},
            "queues": [{
                "name": "work",
                "prioritySteps": [0],
                "visibilityTimeout": 3600,
                "deadLetter": "work.dead",
            }],
            "tasks": {"demo.noop": {"command": ["true"]}},
            "defaults": {},
        });
        let pool = serde_json::from_value(pool).unwrap();
        let (folder, registry, stop) =
            (tempfile::tempdir().unwrap(), Registry::default(), CancellationToken::new());
        let worker = Worker::new(
            &pool,
            identity.to_owned(),
            format!("celery@{identity}"),
            Arc::new(InMemory { broker: broker.clone(), workers: Mutex::default() }),
            Readiness::default(),
            Metrics::new(&registry).unwrap(),
        )
        .unwrap();
        let listener = petiole_worker::socket::listen(&folder.path().join("socket")).unwrap();
        tokio::spawn(worker.work(listener, stop.clone()));
        Self { registry, folder, _stop: stop.drop_guard() }
    }

    /// A metric without labels.
    pub(crate) fn metric(&self, name: &str) -> Option<String> {
        let text = String::from_utf8(self.registry.render().unwrap()).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
    }

    /// Connects to its socket and says hello as its runner.
    pub(crate) async fn runner(&self) -> Runner {
        let mut stream = UnixStream::connect(self.folder.path().join("socket")).await.unwrap();
        let hello = FromRunner::Hello { version: petiole_contract::VERSION, handler: RUNNER.to_owned() };
        let mut bytes = Vec::new();
        frame::put(&mut bytes, &hello, &[]).unwrap();
        stream.write_all(&bytes).await.unwrap();
        Runner { stream, read: Vec::new() }
    }
}

/// The runner's end of the socket.
pub(crate) struct Runner {
    stream: UnixStream,
    read: Vec<u8>,
}

impl Runner {
    /// Waits for a frame of this kind; others are passed over.
    pub(crate) async fn hears(&mut self, kind: &str) -> Value {
        tokio::time::timeout(PATIENCE, self.next(kind)).await.unwrap()
    }

    async fn next(&mut self, kind: &str) -> Value {
        loop {
            while let Some(found) = frame::cut(&self.read).unwrap() {
                let header: Value = frame::read(found.header).unwrap();
                self.read.drain(..found.taken);
                if let Some(said) = header.get(kind) {
                    return said.clone();
                }
            }
            assert_ne!(self.stream.read_buf(&mut self.read).await.unwrap(), 0, "the worker hung up");
        }
    }
}
