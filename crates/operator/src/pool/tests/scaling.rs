//! A pool that scales itself, from the sample to the Deployment.

use async_trait::async_trait;
use petiole_broker::{
    BrokerError, Depth, Hazard, Inspector, Load, QueueName, Remote, Report, Said, Wish, Worker,
};
use petiole_process::metrics::Registry;
use petiole_protocol::envelope::Envelope;
use petiole_results::Store;
use petiole_results::redis::EndpointError;
use std::sync::Mutex;
use tokio::sync::mpsc;

use super::*;
use crate::metrics::Metrics;
use crate::pool::scale::look::Look;
use crate::sampler::address::Address;
use crate::sampler::connect::{Connect, Redis};
use crate::sampler::{QueueKey, Sampler, Watch};
use crate::watches::Scope;

/// A broker whose queues hold what it is told; nothing, when it is away. Its workers say what they are told.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Option<Depth>>>, Arc<Mutex<Vec<Report>>>);

#[async_trait]
impl Remote for Fake {
    fn answers_to(&self) -> &str {
        ""
    }

    async fn converse(&self, _: &[Envelope]) -> Result<Said, BrokerError> {
        Ok(Said::default())
    }
}

#[async_trait]
impl Inspector for Fake {
    async fn depths(&self, queues: &[QueueName]) -> Result<Vec<Depth>, BrokerError> {
        match *self.0.lock().unwrap() {
            Some(depth) => Ok(vec![depth; queues.len()]),
            None => {
                Err(BrokerError::Unreachable { doing: "count messages", source: "connection refused".into() })
            }
        }
    }

    async fn workers(&self) -> Result<Vec<Worker>, BrokerError> {
        Ok(Vec::new())
    }

    async fn loads(&self) -> Result<Vec<Report>, BrokerError> {
        Ok(self.1.lock().unwrap().clone())
    }

    async fn wish(&self, _: &[(String, Wish)], _: Duration) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn end(&self, _: &str) -> Result<usize, BrokerError> {
        Ok(0)
    }

    async fn give_up(&self, _: &QueueName) -> Result<usize, BrokerError> {
        Ok(0)
    }

    async fn hazards(&self) -> Result<Vec<Hazard>, BrokerError> {
        Ok(Vec::new())
    }
}

impl Connect for Fake {
    fn broker(&self, _: &Address) -> Result<Arc<dyn Inspector>, EndpointError> {
        Ok(Arc::new(self.clone()))
    }

    fn results(&self, address: &Address) -> Result<Arc<dyn Store>, EndpointError> {
        Redis.results(address)
    }
}

/// An operator with a sampler.
struct Scaling {
    operator: Operator,
    broker: Fake,
    look: Look,
    pools: Writer<Guarded>,
    woken: mpsc::UnboundedReceiver<ObjectRef<Guarded>>,
}

impl Scaling {
    fn new() -> Self {
        let mut operator = Operator::new();
        let (pools_reader, pools) = store();
        if let Some(context) = Arc::get_mut(&mut operator.context) {
            context.stores.pools = pools_reader;
        }
        let broker = Fake::default();
        let (sampler, _) = Sampler::new(Arc::new(broker.clone()));
        if let Some(context) = Arc::get_mut(&mut operator.context) {
            context.sampler = sampler.clone();
        }
        let (wake, woken) = mpsc::unbounded_channel();
        let queue = QueueName { name: "a".to_owned(), priority_steps: vec![0], dead_letter: "b".to_owned() };
        let key = QueueKey { namespace: "photos".to_owned(), name: "thumbnails".to_owned() };
        sampler.watch(key, Watch { broker: Address::default(), queue, results: None });
        let look = Look {
            scope: Scope::Namespace("photos".to_owned()),
            cluster: operator.context.cluster.clone(),
            stores: operator.context.stores.clone(),
            synced: operator.context.synced.clone(),
            sampler,
            decisions: operator.context.decisions.clone(),
            metrics: Metrics::new(&Registry::default()).unwrap(),
            wake,
        };
        Self { operator, broker, look, pools, woken }
    }

    /// So many messages wait from now on; nothing, when the broker is away. Then it is looked at, and who was woken is
    /// said.
    async fn sample(&mut self, ready: Option<u64>) -> Vec<String> {
        *self.broker.0.lock().unwrap() = ready.map(|ready| Depth { ready, ..Depth::default() });
        let mut rounds = self.look.sampler.rounds();
        rounds.changed().await.unwrap();
        self.look.look(Timestamp::now());
        let mut woken = Vec::new();
        while let Ok(pool) = self.woken.try_recv() {
            woken.push(pool.name);
        }
        woken
    }

    fn pool(&mut self, pool: &WorkerPool) {
        self.pools.apply_watcher_event(&Event::Apply(DeserializeGuard(Ok(pool.clone()))));
    }

    fn replicas(&self) -> Value {
        self.operator.deployment()["spec"]["replicas"].clone()
    }

    fn event(&self, reason: &str) -> Option<Value> {
        let events = self.operator.server.all("/apis/events.k8s.io/v1/namespaces/photos/events");
        events.into_iter().find(|event| event["reason"] == reason)
    }
}

fn scaled(scaling: Value) -> WorkerPool {
    let plain = json!({ "maxReplicas": 10, "messagesPerReplica": 10 });
    pool_with(json!({ "scaling": crate::fixtures::with(plain, scaling) }))
}

#[tokio::test(start_paused = true)]
async fn a_pool_has_as_many_pods_as_its_work_is_worth_and_says_why() {
    let mut scaling = Scaling::new();
    let pool = scaled(json!({}));
    scaling.pool(&pool);
    let pool = scaling.operator.look_after(&pool).await;
    assert_eq!(scaling.replicas(), 0);

    assert_eq!(scaling.sample(Some(35)).await, ["resizer"]);
    scaling.operator.reconcile(&pool).await.unwrap();
    assert_eq!(scaling.replicas(), 4);
    assert_eq!(
        scaling.operator.server.calls(),
        ["PATCH deployments/resizer", "POST events", "PATCH workerpools/resizer/status"]
    );
    let event = scaling.event(reasons::SCALED_OUT).unwrap();
    let note = event["note"].as_str().unwrap();
    assert!(note.starts_with("0 -> 4 pods") && note.contains("ready 35"), "{note}");

    scaling.operator.watch();
    let status = scaling.operator.status(&pool).await;
    assert_eq!(status.desired_replicas, Some(4));
    let (decision, change) = (status.last_decision.unwrap(), status.last_scaled.unwrap());
    assert_eq!((decision.replicas, decision.from, decision.ready), (4, 0, Some(35)));
    assert_eq!((change.from, change.to), (0, 4));
    let active = conditions::find(&status.conditions, conditions::SCALING_ACTIVE).unwrap();
    assert_eq!((active.status.as_str(), active.reason.as_str()), ("True", reasons::SIGNAL_KNOWN));
    assert!(scaling.sample(Some(36)).await.is_empty(), "the same number for the same reason");
}

#[tokio::test(start_paused = true)]
async fn another_leader_moves_no_pod_by_itself() {
    let mut scaling = Scaling::new();
    let pool = scaled(json!({}));
    scaling.pool(&pool);
    scaling.sample(Some(70)).await;
    let pool = scaling.operator.look_after(&pool).await;
    assert_eq!(scaling.replicas(), 7);

    // It knows nothing, and there is nothing to do any more.
    scaling.operator.context.decisions.retain(|_| false);
    let context = Arc::get_mut(&mut scaling.operator.context);
    if let Some(context) = context {
        context.memory = Arc::default();
    }
    scaling.operator.reconcile(&pool).await.unwrap();
    assert_eq!(scaling.replicas(), 7);
    assert!(
        scaling.operator.server.calls().iter().all(|call| !call.contains("status")),
        "what was said stands"
    );
    scaling.sample(Some(0)).await;
    scaling.operator.reconcile(&pool).await.unwrap();
    assert_eq!(scaling.replicas(), 7);
    assert!(scaling.event(reasons::SCALED_IN).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_leaves_the_pods_as_they_are_and_a_condition_says_so() {
    let mut scaling = Scaling::new();
    let pool = scaled(json!({}));
    scaling.pool(&pool);
    scaling.sample(Some(70)).await;
    let pool = scaling.operator.look_after(&pool).await;
    assert_eq!(scaling.sample(None).await, ["resizer"]);
    scaling.operator.reconcile(&pool).await.unwrap();
    assert_eq!(scaling.replicas(), 7);
    let status = scaling.operator.status(&pool).await;
    let active = conditions::find(&status.conditions, conditions::SCALING_ACTIVE).unwrap();
    assert_eq!((active.status.as_str(), active.reason.as_str()), ("False", reasons::SIGNAL_UNKNOWN));
    assert!(active.message.ends_with("connection refused"), "{}", active.message);
    assert!(scaling.event(reasons::SIGNAL_UNKNOWN).is_some());
    assert_eq!(scaling.sample(Some(70)).await, ["resizer"]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_handed_back_has_what_replicas_says() {
    let mut scaling = Scaling::new();
    scaling.pool(&scaled(json!({})));
    scaling.sample(Some(70)).await;
    scaling.operator.look_after(&scaled(json!({}))).await;
    let by_hand = pool_with(json!({ "replicas": 3, "scaling": { "mode": "Manual" } }));
    scaling.pool(&by_hand);
    scaling.sample(Some(70)).await;
    scaling.operator.look_after(&by_hand).await;
    assert_eq!(scaling.replicas(), 3);
    let status = scaling.operator.status(&by_hand).await;
    assert_eq!((status.desired_replicas, status.last_decision), (Some(3), None));
    assert!(conditions::find(&status.conditions, conditions::SCALING_ACTIVE).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_lead_decides_nothing() {
    let mut scaling = Scaling::new();
    scaling.pool(&scaled(json!({})));
    scaling.sample(Some(70)).await;
    let key = ("photos".to_owned(), "resizer".to_owned());
    assert!(scaling.look.decisions.latest(&key).is_some());
    scaling.look.cluster = Cluster::new(scaling.operator.server.client(), Leadership::never(), "operator-1");
    assert!(scaling.sample(Some(90)).await.is_empty());
    assert!(scaling.look.decisions.latest(&key).is_none());
}

#[tokio::test(start_paused = true)]
async fn of_fewer_pods_those_go_first_that_do_nothing() {
    let mut scaling = Scaling::new();
    let load = |host: &str, held| Report {
        namespace: "photos".to_owned(),
        pool: "resizer".to_owned(),
        host: host.to_owned(),
        load: Load { held, ..Load::default() },
        ..Report::default()
    };
    *scaling.broker.1.lock().unwrap() = vec![
        load("resizer-1", 1),
        load("resizer-2", 0),
        Report { pool: "other".to_owned(), ..load("resizer-3", 0) },
    ];
    let three = scaling.operator.look_after(&pool_with(json!({ "replicas": 3 }))).await;
    for pod in ["resizer-1", "resizer-2", "resizer-3"] {
        let pod = json!({ "metadata": {
            "name": pod, "namespace": "photos", "labels": { names::POOL: "resizer" }, "annotations": {},
        } });
        scaling
            .operator
            .server
            .put(&format!("{CORE}/pods/{}", pod["metadata"]["name"].as_str().unwrap()), pod.clone());
        let pod: Pod = serde_json::from_value(pod).unwrap();
        scaling.operator.pods.apply_watcher_event(&Event::Apply(pod));
    }
    scaling.sample(Some(0)).await;
    scaling.operator.reconcile(&three).await.unwrap();
    assert_eq!(scaling.operator.server.calls(), Vec::<String>::new());

    let one = pool_with(json!({ "replicas": 1 }));
    scaling.operator.reconcile(&one).await.unwrap();
    let mut calls = scaling.operator.server.calls();
    calls[..2].sort();
    assert_eq!(
        calls[..3],
        ["PATCH pods/resizer-2", "PATCH pods/resizer-3", "PATCH deployments/resizer"],
        "{calls:?}"
    );
}
