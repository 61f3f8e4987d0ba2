//! A worker of one queue and one task; the broker that it meets; the runner's end of its socket.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use petiole_broker::memory::{MemoryBroker, MemoryMailbox, MemoryWorker};
use petiole_broker::{
    Address, BoundQueue, BrokerError, Inbox, Inspector, Intake, Lease, Mailbox, Node, QueueName, Revocations,
};
use petiole_contract::control::{Exited, FromRunner, RUNNER, Status};
use petiole_contract::frame;
use petiole_process::metrics::Registry;
use petiole_process::ready::Readiness;
use petiole_process::shutdown::Stop;
use petiole_protocol::control::{Broadcast, Reply};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::event::Heard;
use petiole_protocol::json::Object;
use petiole_protocol::keys::{CONTROL_EXCHANGE, control_exchange};
use petiole_results::Store;
use petiole_results::memory::MemoryStore;
use petiole_testkit::wait::until;
use petiole_worker::connect::{Connect, Holder};
use petiole_worker::metrics::Metrics;
use petiole_worker::worker::Worker;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::DropGuard;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A broker whose clock stands still: no lease runs out by itself.
pub(crate) fn broker() -> MemoryBroker {
    MemoryBroker::new(Arc::new(|| Timestamp::UNIX_EPOCH), None)
}

/// The same, with results.
pub(crate) fn broker_and_results() -> (MemoryBroker, MemoryStore) {
    let clock = Arc::new(|| Timestamp::UNIX_EPOCH);
    let results = MemoryStore::new(Arc::new(|| Duration::ZERO));
    (MemoryBroker::new(clock, Some(results.clone())), results)
}

/// The worker's queue.
pub(crate) fn queue() -> QueueName {
    QueueName { name: "work".to_owned(), priority_steps: vec![0], dead_letter: "work.dead".to_owned() }
}

/// A message of its task.
pub(crate) fn message() -> String {
    message_of("id-1", &Value::Null)
}

/// A message of its task with this id and this `eta`.
pub(crate) fn message_of(id: &str, eta: &Value) -> String {
    json!({
        "body": "[[], {}, {}]",
        "content-type": "application/json",
        "headers": {"task": "demo.noop", "id": id, "eta": eta},
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
    intake: Intake,
    workers: Mutex<HashMap<String, Arc<MemoryWorker>>>,
    published: Published,
}

/// What a worker has published, in order.
type Published = Arc<Mutex<Vec<Heard>>>;

/// A mailbox of whose events somebody hears all.
struct Overheard {
    mailbox: MemoryMailbox,
    published: Published,
}

#[async_trait]
impl Mailbox for Overheard {
    async fn next(&self) -> petiole_broker::Heard {
        self.mailbox.next().await
    }

    async fn reply(&self, to: &Address, reply: &Envelope) -> Result<bool, BrokerError> {
        self.mailbox.reply(to, reply).await
    }

    async fn broadcast(&self, batch: &[(Address, Envelope)]) -> Result<Vec<u64>, BrokerError> {
        let events = batch.iter().flat_map(|(_, envelope)| Heard::read(envelope).unwrap());
        self.published.lock().unwrap().extend(events);
        Ok(vec![1; batch.len()])
    }

    async fn bind(&self, bindings: &[BoundQueue]) -> Result<(), BrokerError> {
        self.mailbox.bind(bindings).await
    }

    async fn inbox(&self) -> Result<Box<dyn Inbox>, BrokerError> {
        self.mailbox.inbox().await
    }

    async fn leave(&self) -> Result<(), BrokerError> {
        self.mailbox.leave().await
    }
}

#[async_trait]
impl Connect for InMemory {
    fn intake(&self) -> Intake {
        self.intake.clone()
    }

    async fn lease(&self, incarnation: &str) -> Result<Arc<dyn Lease>, BrokerError> {
        let worker = Arc::new(self.broker.register_with(known(incarnation), self.intake.clone())?);
        self.workers.lock().unwrap().insert(incarnation.to_owned(), worker.clone());
        Ok(worker)
    }

    async fn consumer(&self, incarnation: &str) -> Result<Arc<dyn Holder>, BrokerError> {
        Ok(self.workers.lock().unwrap()[incarnation].clone())
    }

    async fn store(&self) -> Result<Option<Arc<dyn Store>>, BrokerError> {
        Ok(None)
    }

    async fn mailbox(&self, nodename: &str) -> Result<Arc<dyn Mailbox>, BrokerError> {
        let mailbox = self.broker.mailbox(Node::new(nodename));
        Ok(Arc::new(Overheard { mailbox, published: self.published.clone() }))
    }

    async fn revocations(&self) -> Result<Arc<dyn Revocations>, BrokerError> {
        Ok(Arc::new(self.broker.clone()))
    }

    async fn inspector(&self) -> Result<Arc<dyn Inspector>, BrokerError> {
        Ok(Arc::new(self.broker.clone()))
    }
}

/// A worker that runs until this value is dropped.
pub(crate) struct Running {
    pub(crate) registry: Registry,
    published: Published,
    folder: TempDir,
    pub(crate) stop: Stop,
    pub(crate) ready: Readiness,
    _dropped: DropGuard,
}

impl Running {
    /// Starts a worker of this identity.
    pub(crate) fn start(broker: &MemoryBroker, identity: &str) -> Self {
        Self::patient(broker, identity, None)
    }

    /// The same, with so many seconds for its tasks when it is told to stop.
    pub(crate) fn patient(broker: &MemoryBroker, identity: &str, drain: Option<f64>) -> Self {
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
            "results": {"store": {"url": {"value": "redis://unused"}}, "expires": 60},
            "defaults": {},
            "drain": drain,
        });
        let pool = serde_json::from_value(pool).unwrap();
        let (folder, registry, stop) = (tempfile::tempdir().unwrap(), Registry::default(), Stop::default());
        let (published, ready) = (Published::default(), Readiness::default());
        let worker = Worker::new(
            &pool,
            petiole_worker::accept::Forms::default(),
            identity.to_owned(),
            format!("celery@{identity}"),
            Arc::new(InMemory {
                broker: broker.clone(),
                intake: Intake::strict(&[queue()]),
                workers: Mutex::default(),
                published: published.clone(),
            }),
            ready.clone(),
            Metrics::new(&registry).unwrap(),
        )
        .unwrap();
        let listener = petiole_worker::socket::listen(&folder.path().join("socket")).unwrap();
        tokio::spawn(worker.work(listener, stop.clone()));
        let dropped = stop.drain.clone().drop_guard();
        Self { registry, published, folder, stop, ready, _dropped: dropped }
    }

    /// The names of the events of a task that were published.
    pub(crate) fn events_of(&self, id: &str) -> Vec<String> {
        let published = self.published.lock().unwrap();
        let of_task = published.iter().filter(|event| event.text("uuid").as_deref() == Some(id));
        of_task.map(|event| event.name().unwrap().into_owned()).collect()
    }

    /// The names of the events of the worker itself.
    pub(crate) fn own_events(&self) -> Vec<String> {
        let published = self.published.lock().unwrap();
        let own = published.iter().filter_map(Heard::name).filter(|name| name.starts_with("worker-"));
        own.map(std::borrow::Cow::into_owned).collect()
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

impl Runner {
    /// Says that a process has ended.
    pub(crate) async fn exited(&mut self, process: u64, status: Status) {
        let stderr = String::new();
        let exited = Exited { process, status, stderr, cut: false, abandoned: false, output: 0 };
        let mut bytes = Vec::new();
        frame::put(&mut bytes, &FromRunner::Exited(exited), &[]).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
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

/// Somebody who asks workers by remote control.
pub(crate) struct Asker {
    mailbox: Arc<dyn Mailbox>,
    inbox: Box<dyn Inbox>,
}

impl Asker {
    pub(crate) async fn of(broker: &MemoryBroker) -> Self {
        let mailbox = Arc::new(broker.mailbox(Node::new("asker@test")));
        let inbox = mailbox.inbox().await.unwrap();
        Self { mailbox, inbox }
    }

    /// Asks all, until somebody has heard it, and returns the first answer: who says what.
    pub(crate) async fn ask(&self, method: &str, arguments: &Value) -> (String, Value) {
        let arguments = Object::read(arguments.to_string().as_bytes()).unwrap();
        let reply = Some((self.inbox.address().routing_key.as_str(), "ticket-1"));
        let asked = Broadcast { method, arguments, destination: &[], reply, expires: 0.0 };
        let to = Address { exchange: control_exchange(CONTROL_EXCHANGE), routing_key: String::new() };
        let batch = [(to, asked.envelope(1, "tag".to_owned()))];
        let heard = async || match self.mailbox.broadcast(&batch).await.unwrap()[0] {
            0 => Err("nobody listens"),
            _ => Ok(()),
        };
        until("somebody to listen", PATIENCE, heard).await.unwrap();
        let answer = async {
            loop {
                if let Some(envelope) = self.inbox.next(PATIENCE).await.unwrap() {
                    break Reply::read(&envelope.unwrap()).unwrap();
                }
            }
        };
        let reply = tokio::time::timeout(PATIENCE, answer).await.unwrap();
        (reply.hostname, serde_json::from_str(reply.answer.as_str()).unwrap())
    }
}
