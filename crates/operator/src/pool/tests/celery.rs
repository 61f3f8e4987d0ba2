//! A pool whose image runs its own worker, which speaks on a broker in memory.

use std::collections::HashMap;

use petiole_broker::memory::{Fault, MemoryBroker};
use petiole_broker::{Address as To, Inspector, Mailbox, Node, QueueName};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::keys::EVENT_EXCHANGE;
use petiole_results::Store;
use petiole_results::redis::EndpointError;

use super::*;
use crate::fixtures::celery_pool;
use crate::pool::celery::look::Look;
use crate::pool::celery::tests::pod;
use crate::sampler::address::Address;
use crate::sampler::connect::{Connect, Redis};
use crate::sampler::{QueueKey, Sampler, Watch};

struct Memory(MemoryBroker);

impl Connect for Memory {
    fn broker(&self, _: &Address) -> Result<Arc<dyn Inspector>, EndpointError> {
        Ok(Arc::new(self.0.clone()))
    }

    fn results(&self, address: &Address) -> Result<Arc<dyn Store>, EndpointError> {
        Redis.results(address)
    }
}

fn key() -> QueueKey {
    QueueKey { namespace: "photos".to_owned(), name: "thumbnails".to_owned() }
}

/// An operator, and what looks at its pool.
struct Own {
    operator: Operator,
    broker: MemoryBroker,
    look: Look,
    pools: Writer<Guarded>,
}

impl Own {
    fn new(spec: Value) -> Self {
        let operator = Operator::new();
        let broker = MemoryBroker::new(Arc::new(Timestamp::now), None);
        let (sampler, _) = Sampler::new(Arc::new(Memory(broker.clone())));
        let (pools_reader, mut pools) = store();
        pools.apply_watcher_event(&Event::Apply(DeserializeGuard(Ok(celery_pool(spec)))));
        let queue = QueueName { name: "a".to_owned(), priority_steps: vec![0], dead_letter: "b".to_owned() };
        sampler.watch(key(), Watch { broker: Address::default(), queue, results: None });
        let look = Look {
            cluster: operator.context.cluster.clone(),
            stores: Stores { pools: pools_reader, ..operator.context.stores.clone() },
            synced: operator.context.synced.clone(),
            sampler,
            deleted: HashMap::new(),
        };
        Self { operator, broker, look, pools }
    }

    /// There is a pod of the pool.
    fn pod(&mut self, name: &str) {
        let mut pod = pod(name, 0, None);
        pod.metadata.labels = Some([(names::POOL.to_owned(), "resizer".to_owned())].into());
        self.operator.pods.apply_watcher_event(&Event::Apply(pod));
    }

    /// Its worker sends a heartbeat.
    async fn beat(&self, pod: &str, active: u64) {
        let body = format!(
            r#"{{"hostname": "celery@{pod}", "type": "worker-heartbeat", "active": {active}, "processed": 5}}"#
        );
        let to = To { exchange: EVENT_EXCHANGE.to_owned(), routing_key: "worker.heartbeat".to_owned() };
        let event = Envelope { body: body.into(), ..Envelope::default() };
        self.broker.mailbox(Node::new(pod)).broadcast(&[(to, event)]).await.unwrap();
    }

    /// What was called by looks that come after so many samples.
    async fn look(&mut self, samples: usize) -> Vec<String> {
        for _ in 0..samples {
            self.look.look(Timestamp::now()).await;
            self.look.sampler.rounds().changed().await.unwrap();
        }
        self.look.look(Timestamp::now()).await;
        self.operator.server.calls()
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_takes_tasks_once_its_worker_is_heard_and_says_what_it_holds() {
    let mut own = Own::new(json!({}));
    own.pod("own-1");
    assert!(own.look(3).await.is_empty(), "nothing was heard yet");
    own.beat("own-1", 2).await;
    own.beat("not-ours", 7).await;
    assert_eq!(own.look(1).await, ["PATCH pods/own-1/status"]);
    let loads = own.look.sampler.loads(&key()).unwrap();
    let said: Vec<_> = loads.iter().map(|report| (report.host.as_str(), report.load.held)).collect();
    assert_eq!(said, [("own-1", 2)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_of_pods_while_the_broker_is_away() {
    let mut own = Own::new(json!({}));
    own.pod("own-1");
    own.look(2).await;
    own.beat("own-1", 0).await;
    own.broker.set_fault(Fault::Away);
    assert!(own.look(3).await.is_empty());
    own.broker.set_fault(Fault::None);
    assert_eq!(own.look(1).await, ["PATCH pods/own-1/status"]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_of_another_mode_is_left_alone() {
    let mut own = Own::new(json!({}));
    own.pools.apply_watcher_event(&Event::Apply(DeserializeGuard(Ok(pool()))));
    own.pod("own-1");
    own.look(2).await;
    own.beat("own-1", 2).await;
    assert!(own.look(2).await.is_empty());
}

#[tokio::test]
async fn a_pool_whose_image_runs_its_own_worker_has_no_file_and_no_worker_of_ours() {
    let mut operator = Operator::new();
    let pool = operator.look_after(&celery_pool(json!({}))).await;
    let calls = operator.server.all(&format!("{CORE}/configmaps"));
    assert!(calls.is_empty(), "{calls:?}");
    assert_eq!(pool.status.unwrap().worker_image, None);
}

#[tokio::test]
async fn workers_that_nobody_hears_are_told_of() {
    let mut own = Own::new(json!({}));
    own.pod("own-1");
    let pool = celery_pool(json!({}));
    own.operator.look_after(&pool).await;
    let observed = observe::observe(&pool, &own.operator.context).await.unwrap();
    let known =
        status::Known { live: &observed.live, latest: None, worker_image: "", tells_autoscalers: false };
    let refusal = Err(Refusal::new(reasons::TASK_REFUSED, "for this test"));
    let now = Timestamp::from_second(1_800_000_000 + 500).unwrap();
    let refused = status::status(&pool, &refusal, &known, now);
    let degraded = conditions::find(&refused.conditions, conditions::DEGRADED).unwrap();
    assert_eq!(degraded.reason, reasons::TASK_REFUSED, "what is refused comes first");
    let deployment = observed.live.deployment.as_deref().cloned().unwrap();
    let applied = Ok(apply::Applied { deployment, replicas: 1, draining: 0, drain_goes_on: false });
    let silent = status::status(&pool, &applied, &known, now);
    let degraded = conditions::find(&silent.conditions, conditions::DEGRADED).unwrap();
    assert_eq!((degraded.status.as_str(), degraded.reason.as_str()), ("True", reasons::WORKERS_SILENT));
}
