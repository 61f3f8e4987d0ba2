//! The five steps together, with an API server and brokers in memory.

mod leaving;

use std::sync::Mutex;

use async_trait::async_trait;
use http::StatusCode;
use std::time::Duration;

use petiole_broker::{BrokerError, Depth, Hazard, Inspector, QueueName, Remote, Report, Said, Wish, Worker};
use petiole_protocol::envelope::Envelope;
use petiole_results::Store;
use petiole_results::redis::EndpointError;
use serde_json::json;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::fixtures::api_server::ApiServer;
use crate::fixtures::{queue, queue_with};
use crate::leader::Leadership;
use crate::pace::Turns;
use crate::sampler::address::Address;
use crate::sampler::connect::Connect;

/// A broker with one queue.
#[derive(Default)]
struct Broker {
    depth: Mutex<Depth>,
    down: Mutex<bool>,
    /// Parked messages were to be put back.
    asked: Notify,
}

impl Broker {
    fn holds(&self, depth: Depth) {
        *self.depth.lock().unwrap() = depth;
    }

    fn is_down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }

    fn answer<T>(&self, doing: &'static str, answer: impl FnOnce(&mut Depth) -> T) -> Result<T, BrokerError> {
        if *self.down.lock().unwrap() {
            return Err(BrokerError::Unreachable { doing, source: "connection refused".into() });
        }
        Ok(answer(&mut self.depth.lock().unwrap()))
    }
}

struct Shared(Arc<Broker>);

#[async_trait]
impl Remote for Shared {
    fn answers_to(&self) -> &'static str {
        ""
    }

    async fn converse(&self, _: &[Envelope]) -> Result<Said, BrokerError> {
        Ok(Said::default())
    }
}

#[async_trait]
impl Inspector for Shared {
    async fn depths(&self, queues: &[QueueName]) -> Result<Vec<Depth>, BrokerError> {
        self.0.answer("count messages", |depth| vec![*depth; queues.len()])
    }

    async fn workers(&self) -> Result<Vec<Worker>, BrokerError> {
        Ok(Vec::new())
    }

    async fn loads(&self) -> Result<Vec<Report>, BrokerError> {
        Ok(Vec::new())
    }

    async fn wish(&self, _: &[(String, Wish)], _: Duration) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn end(&self, _: &str) -> Result<usize, BrokerError> {
        Ok(0)
    }

    /// Workers park them again at once.
    async fn give_up(&self, _: &QueueName) -> Result<usize, BrokerError> {
        self.0.asked.notify_one();
        self.0.answer("return parked messages", |depth| {
            let parked = depth.scheduled;
            if depth.consumers == 0 {
                depth.scheduled = 0;
                depth.ready += parked;
            }
            usize::try_from(parked).unwrap()
        })
    }

    async fn hazards(&self) -> Result<Vec<Hazard>, BrokerError> {
        Ok(Vec::new())
    }
}

impl Connect for Shared {
    fn broker(&self, _: &Address) -> Result<Arc<dyn Inspector>, EndpointError> {
        Ok(Arc::new(Self(self.0.clone())))
    }

    fn results(&self, address: &Address) -> Result<Arc<dyn Store>, EndpointError> {
        crate::sampler::connect::Redis.results(address)
    }
}

fn operator(leadership: Leadership) -> (ApiServer, Arc<Context>, UnboundedReceiver<QueueKey>) {
    operator_on(Arc::default(), leadership)
}

fn operator_on(
    broker: Arc<Broker>,
    leadership: Leadership,
) -> (ApiServer, Arc<Context>, UnboundedReceiver<QueueKey>) {
    let server = ApiServer::default();
    let (sampler, changed) = Sampler::new(Arc::new(Shared(broker)));
    let context = Context {
        cluster: Cluster::new(server.client(), leadership, "operator-0"),
        sampler,
        secrets: Secrets::default(),
        pace: Arc::new(Pace::new(Turns::default())),
        invalid: Invalid::default(),
    };
    (server, Arc::new(context), changed)
}

async fn look_after(queue: &TaskQueue, context: &Arc<Context>) -> Result<Action, QueueError> {
    reconcile(Arc::new(DeserializeGuard(Ok(queue.clone()))), context.clone()).await
}

/// The status, as it was written.
fn with_status(queue: &TaskQueue, context: &Context) -> TaskQueue {
    let secrets = crate::secrets::Values::new();
    let validated = validate::validate(queue, &secrets);
    let applied = apply::apply(&context.sampler, &key(queue), build::build(&validated), false);
    let status = status::status(queue, &validated, &applied, Timestamp::UNIX_EPOCH);
    TaskQueue { status: Some(status), ..queue.clone() }
}

fn secret(password: &str) -> serde_json::Value {
    use k8s_openapi::ByteString;
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "redis" },
        "data": { "password": ByteString(password.as_bytes().to_vec()) },
    })
}

const SECRET: &str = "/api/v1/namespaces/photos/secrets/redis";

fn secured() -> TaskQueue {
    let from = json!({ "secretKeyRef": { "name": "redis", "key": "password" } });
    queue_with("thumbnails", json!({ "broker": { "url": "redis://redis", "passwordFrom": from } }))
}

#[tokio::test(start_paused = true)]
async fn a_second_look_at_an_unchanged_queue_makes_no_call() {
    let (server, context, mut changed) = operator(Leadership::always());
    let queue = queue("thumbnails");
    look_after(&queue, &context).await.unwrap();
    assert_eq!(server.calls(), ["PATCH taskqueues/thumbnails/status"]);
    // The broker has answered, and has told its settings.
    for _ in 0..2 {
        assert_eq!(changed.recv().await, Some(key(&queue)));
    }
    let written = with_status(&queue, &context);
    look_after(&written, &context).await.unwrap();
    assert_eq!(server.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_lead_samples_and_writes_nothing() {
    let (server, context, mut changed) = operator(Leadership::never());
    let queue = queue("thumbnails");
    look_after(&queue, &context).await.unwrap();
    changed.recv().await;
    look_after(&queue, &context).await.unwrap();
    assert_eq!(server.calls(), Vec::<String>::new());
    assert!(context.sampler.latest(&key(&queue)).unwrap().broker.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_read_by_its_name_and_again_only_when_it_has_aged() {
    let (server, context, _changed) = operator(Leadership::never());
    server.put(SECRET, secret("old"));
    look_after(&secured(), &context).await.unwrap();
    look_after(&secured(), &context).await.unwrap();
    assert_eq!(server.calls(), ["GET secrets/redis"]);
    server.put(SECRET, secret("new"));
    tokio::time::advance(crate::secrets::AGE).await;
    look_after(&secured(), &context).await.unwrap();
    assert_eq!(server.calls(), ["GET secrets/redis"]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_looked_for_again_soon() {
    let (server, context, mut changed) = operator(Leadership::never());
    look_after(&secured(), &context).await.unwrap();
    assert_eq!(context.sampler.latest(&key(&secured())), None);
    server.put(SECRET, secret("here"));
    tokio::time::advance(crate::secrets::AGE_REFUSED).await;
    look_after(&secured(), &context).await.unwrap();
    assert_eq!(changed.recv().await, Some(key(&secured())));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_may_not_be_read_is_said_and_is_no_error() {
    let (server, context, _changed) = operator(Leadership::always());
    server.refuse("GET secrets", StatusCode::FORBIDDEN, "no right");
    look_after(&secured(), &context).await.unwrap();
    assert_eq!(server.calls(), ["GET secrets/redis", "PATCH taskqueues/thumbnails/status", "POST events"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_is_told_once() {
    let (server, context, _changed) = operator(Leadership::always());
    let object = json!({
        "apiVersion": "petiole.dev/v1alpha1", "kind": "TaskQueue",
        "metadata": { "name": "broken", "namespace": "photos", "generation": 1 }, "spec": { "broker": 7 },
    });
    let object: Guarded = serde_json::from_value(object).unwrap();
    for _ in 0..2 {
        reconcile(Arc::new(object.clone()), context.clone()).await.unwrap();
    }
    assert_eq!(server.calls(), ["PATCH taskqueues/broken/status"]);
}

#[tokio::test(start_paused = true)]
async fn that_work_comes_is_written_at_once_and_that_more_comes_is_not() {
    let broker = Arc::new(Broker::default());
    let (server, context, mut changed) = operator_on(broker.clone(), Leadership::always());
    look_after(&queue("thumbnails"), &context).await.unwrap();
    for _ in 0..2 {
        changed.recv().await;
    }
    look_after(&queue("thumbnails"), &context).await.unwrap();
    let empty = with_status(&queue("thumbnails"), &context);
    server.calls();

    broker.holds(Depth { ready: 1, ..Depth::default() });
    assert_eq!(changed.recv().await, Some(key(&empty)));
    look_after(&empty, &context).await.unwrap();
    assert_eq!(server.calls(), ["PATCH taskqueues/thumbnails/status"]);

    let busy = with_status(&empty, &context);
    broker.holds(Depth { ready: 2, ..Depth::default() });
    let seen =
        || context.sampler.latest(&key(&busy)).and_then(|sample| sample.depth().map(|depth| depth.ready));
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(seen(), Some(2));
    assert!(changed.try_recv().is_err());
    assert_ne!(look_after(&busy, &context).await.unwrap(), Action::await_change());
    assert_eq!(server.calls(), Vec::<String>::new());
}
