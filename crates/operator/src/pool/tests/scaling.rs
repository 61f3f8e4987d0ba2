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

/// A broker whose queues hold what it is told; nothing, when it is away. Its workers say what they are told, and are wished
/// to do what is kept.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Option<Depth>>>, Arc<Mutex<Vec<Report>>>, Arc<Mutex<Vec<(String, Wish)>>>);

#[async_trait]
impl Remote for Fake {
    fn answers_to(&self) -> &'static str {
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

    async fn wish(&self, wishes: &[(String, Wish)], _: Duration) -> Result<(), BrokerError> {
        self.2.lock().unwrap().extend_from_slice(wishes);
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

/// The pool's queue, and how it is asked about.
fn thumbnails() -> (QueueKey, Watch) {
    let queue = QueueName { name: "a".to_owned(), priority_steps: vec![0], dead_letter: "b".to_owned() };
    let key = QueueKey { namespace: "photos".to_owned(), name: "thumbnails".to_owned() };
    (key, Watch { broker: Address::default(), queue, results: None })
}

/// An operator with a sampler.
pub(super) struct Scaling {
    pub(super) operator: Operator,
    broker: Fake,
    look: Look,
    pools: Writer<Guarded>,
    woken: mpsc::UnboundedReceiver<ObjectRef<Guarded>>,
}

impl Scaling {
    pub(super) fn new() -> Self {
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
        let (key, watch) = thumbnails();
        sampler.watch(key, watch);
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
    pub(super) async fn sample(&mut self, ready: Option<u64>) -> Vec<String> {
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

    pub(super) fn pool(&mut self, pool: &WorkerPool) {
        self.pools.apply_watcher_event(&Event::Apply(DeserializeGuard(Ok(pool.clone()))));
    }

    pub(super) fn replicas(&self) -> Value {
        self.operator.deployment()["spec"]["replicas"].clone()
    }

    pub(super) fn event(&self, reason: &str) -> Option<Value> {
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

/// Without its password a queue cannot be asked about.
#[tokio::test(start_paused = true)]
async fn a_queue_whose_secret_was_removed_leaves_the_pods_as_they_are_and_a_condition_says_so() {
    let mut scaling = Scaling::new();
    let pool = scaled(json!({}));
    scaling.pool(&pool);
    scaling.sample(Some(70)).await;
    let pool = scaling.operator.look_after(&pool).await;
    let (key, watch) = thumbnails();
    scaling.look.sampler.forget(&key);
    scaling.look.look(Timestamp::now());
    assert_eq!(scaling.woken.try_recv().unwrap().name, "resizer");
    scaling.operator.reconcile(&pool).await.unwrap();
    assert_eq!(scaling.replicas(), 7);
    let status = scaling.operator.status(&pool).await;
    let active = conditions::find(&status.conditions, conditions::SCALING_ACTIVE).unwrap();
    assert_eq!((active.status.as_str(), active.reason.as_str()), ("False", reasons::SIGNAL_UNKNOWN));
    // It is there again.
    scaling.look.sampler.watch(key, watch);
    assert_eq!(scaling.sample(Some(70)).await, ["resizer"]);
    scaling.operator.reconcile(&pool).await.unwrap();
    assert_eq!(scaling.replicas(), 7);
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

impl Scaling {
    /// There is a pod of this name, which takes tasks or does not.
    fn pod(&mut self, name: &str, ready: bool) {
        let pod = json!({
            "metadata": {
                "name": name, "namespace": "photos", "labels": { names::POOL: "resizer" }, "annotations": {},
            },
            "status": { "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
        });
        self.operator.server.put(&format!("{CORE}/pods/{name}"), pod.clone());
        self.operator.pods.apply_watcher_event(&Event::Apply(serde_json::from_value(pod).unwrap()));
    }

    /// The `ReplicaSet` has taken a pod away.
    fn gone(&mut self, name: &str) {
        let pod = json!({ "metadata": { "name": name, "namespace": "photos" } });
        self.operator.pods.apply_watcher_event(&Event::Delete(serde_json::from_value(pod).unwrap()));
    }

    /// What the workers have said last; then the pool is looked after. Gives back the calls.
    async fn said(&mut self, loads: &[(&str, u64, bool)], pool: &WorkerPool) -> Vec<String> {
        let report = |(host, held, draining): &(&str, u64, bool)| Report {
            incarnation: format!("worker-{host}"),
            namespace: "photos".to_owned(),
            pool: "resizer".to_owned(),
            host: (*host).to_owned(),
            load: Load { held: *held, draining: *draining, ..Load::default() },
        };
        let other = Report { pool: "other".to_owned(), ..report(&("resizer-3", 0, false)) };
        *self.broker.1.lock().unwrap() = loads.iter().map(report).chain([other]).collect();
        self.sample(Some(0)).await;
        self.operator.reconcile(pool).await.unwrap();
        self.operator.watch();
        let calls = self.operator.server.calls();
        calls.into_iter().filter(|call| !call.contains("events") && !call.ends_with("/status")).collect()
    }

    fn wishes(&self) -> Vec<(String, Wish)> {
        std::mem::take(&mut *self.broker.2.lock().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_to_have_fewer_pods_has_them_when_they_have_drained() {
    let mut scaling = Scaling::new();
    let three = scaling.operator.look_after(&pool_with(json!({ "replicas": 3 }))).await;
    scaling.pod("resizer-1", true);
    scaling.pod("resizer-2", true);
    scaling.pod("resizer-3", false);
    let busy = [("resizer-1", 1, false), ("resizer-2", 2, false)];
    assert_eq!(scaling.said(&busy, &three).await, Vec::<String>::new());

    // One that takes no tasks goes at once; of the others, one is told.
    let one = WorkerPool { status: three.status.clone(), ..pool_with(json!({ "replicas": 1 })) };
    assert_eq!(scaling.said(&busy, &one).await, ["PATCH pods/resizer-3", "PATCH deployments/resizer"]);
    assert_eq!(scaling.replicas(), 2);
    assert_eq!(scaling.wishes(), [("worker-resizer-1".to_owned(), Wish::Drain)]);
    scaling.gone("resizer-3");
    let draining = [("resizer-1", 1, true), ("resizer-2", 2, false)];
    assert_eq!(scaling.said(&draining, &one).await, Vec::<String>::new());
    let status = scaling.operator.status(&one).await;
    assert_eq!((status.desired_replicas, status.draining_replicas), (Some(1), 1));

    // It has drained, and its pod says so.
    scaling.pod("resizer-1", false);
    let drained = [("resizer-1", 0, true), ("resizer-2", 2, false)];
    assert_eq!(scaling.said(&drained, &one).await, ["PATCH pods/resizer-1", "PATCH deployments/resizer"]);
    assert_eq!(scaling.replicas(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_announced_once_and_called_off_when_there_is_work_again() {
    let mut scaling = Scaling::new();
    let pool = scaled(
        json!({ "coolDownSeconds": 0, "behavior": { "scaleDown": { "stabilizationWindowSeconds": 0 } } }),
    );
    scaling.pool(&pool);
    scaling.sample(Some(20)).await;
    let pool = scaling.operator.look_after(&pool).await;
    assert_eq!(scaling.replicas(), 2);
    scaling.pod("resizer-1", true);
    scaling.pod("resizer-2", true);

    let busy = [("resizer-1", 1, false), ("resizer-2", 1, false)];
    scaling.said(&busy, &pool).await;
    assert_eq!(scaling.wishes().len(), 2);
    let (reason, note) = {
        let event = scaling.event(reasons::SCALED_IN).unwrap();
        (event["reason"].clone(), event["note"].as_str().unwrap().to_owned())
    };
    assert!(reason == reasons::SCALED_IN && note.starts_with("2 -> 0 pods"), "{note}");
    let draining = [("resizer-1", 1, true), ("resizer-2", 1, true)];
    scaling.said(&draining, &pool).await;
    assert_eq!((scaling.replicas(), scaling.operator.status(&pool).await.draining_replicas), (json!(2), 2));

    // As many as before: no pod has gone, and none is made.
    scaling.sample(Some(20)).await;
    scaling.operator.reconcile(&pool).await.unwrap();
    let back = [("worker-resizer-1", Wish::Work), ("worker-resizer-2", Wish::Work)];
    assert_eq!(scaling.wishes(), back.map(|(worker, wish)| (worker.to_owned(), wish)));
    assert_eq!(scaling.replicas(), 2);
}

#[tokio::test(start_paused = true)]
async fn another_leader_goes_on_with_the_drains_that_it_finds() {
    let mut scaling = Scaling::new();
    let pool = scaled(json!({ "minReplicas": 1 }));
    scaling.pool(&pool);
    scaling.sample(Some(20)).await;
    let pool = scaling.operator.look_after(&pool).await;
    let status =
        WorkerPoolStatus { desired_replicas: Some(1), draining_replicas: 1, ..pool.status.clone().unwrap() };
    let pool = WorkerPool { status: Some(status), ..pool };
    scaling.pool(&pool);
    scaling.operator.context.decisions.retain(|_| false);
    scaling.operator.context.drains.retain(|_| false);
    scaling.pod("resizer-1", true);
    scaling.pod("resizer-2", true);
    let draining = [("resizer-1", 1, false), ("resizer-2", 9, true)];
    scaling.said(&draining, &pool).await;
    assert_eq!(scaling.wishes(), [("worker-resizer-2".to_owned(), Wish::Drain)]);
    assert_eq!(scaling.replicas(), 2);
}
