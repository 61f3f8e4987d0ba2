//! The five steps together, with an API server in memory.

mod autoscaler;
mod celery;
mod certificates;
mod scaling;

use http::StatusCode;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::store::{Writer, store};
use kube::runtime::watcher::Event;
use petiole_api::conditions::{self, READY, reasons};
use petiole_api::{TaskQueue, WorkerPoolStatus, names};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::api_server::ApiServer;
use crate::fixtures::{pool, pool_with, queue};
use crate::leader::Leadership;
use crate::pace::Turns;
use crate::pool::scale::autoscaler::stamp;
use crate::synced::Synced;

const APPS: &str = "/apis/apps/v1/namespaces/photos";
const CORE: &str = "/api/v1/namespaces/photos";

/// An operator that leads, and stores that are filled by hand.
struct Operator {
    server: ApiServer,
    context: Arc<Context>,
    queues: Writer<DeserializeGuard<TaskQueue>>,
    deployments: Writer<Deployment>,
    config_maps: Writer<PartialObjectMeta<k8s_openapi::api::core::v1::ConfigMap>>,
    service_accounts: Writer<PartialObjectMeta<k8s_openapi::api::core::v1::ServiceAccount>>,
    budgets: Writer<PartialObjectMeta<k8s_openapi::api::policy::v1::PodDisruptionBudget>>,
    pods: Writer<Pod>,
    autoscalers: Writer<HorizontalPodAutoscaler>,
}

impl Operator {
    fn new() -> Self {
        let server = ApiServer::default();
        let (queues_reader, mut queues) = store();
        queues.apply_watcher_event(&Event::Apply(DeserializeGuard(Ok(queue("thumbnails")))));
        let (deployments_reader, deployments) = store();
        let (config_maps_reader, config_maps) = store();
        let (service_accounts_reader, service_accounts) = store();
        let (budgets_reader, budgets) = store();
        let (pods_reader, pods) = store();
        let (autoscalers_reader, autoscalers) = store();
        let stores = Stores {
            queues: queues_reader,
            pools: store().0,
            deployments: deployments_reader,
            config_maps: config_maps_reader,
            service_accounts: service_accounts_reader,
            budgets: budgets_reader,
            pods: pods_reader,
            autoscalers: autoscalers_reader,
        };
        let context = Arc::new(Context {
            cluster: Cluster::new(server.client(), Leadership::always(), "operator-0"),
            stores,
            synced: Synced::new().0,
            images: Images { worker: "petiole/worker:7".to_owned(), pull_policy: "Never".to_owned() },
            memory: Arc::default(),
            secrets: Arc::default(),
            tells_autoscalers: true,
            kills: Arc::default(),
            sampler: Sampler::new(Arc::new(crate::sampler::connect::Redis)).0,
            decisions: Arc::default(),
            drains: Arc::default(),
            pace: Arc::new(Pace::new(Turns::default())),
            invalid: Invalid::default(),
        });
        Self {
            server,
            context,
            queues,
            deployments,
            config_maps,
            service_accounts,
            budgets,
            pods,
            autoscalers,
        }
    }

    /// Brings the stores up to what the server has, as the watches would.
    fn watch(&mut self) {
        fn read<K: DeserializeOwned>(server: &ApiServer, path: &str) -> Option<K> {
            server.get(path).map(|object| serde_json::from_value(object).unwrap())
        }
        let server = &self.server;
        if let Some(object) = read(server, &format!("{APPS}/deployments/resizer")) {
            self.deployments.apply_watcher_event(&Event::Apply(object));
        }
        if let Some(object) = read(server, &format!("{CORE}/serviceaccounts/resizer")) {
            self.service_accounts.apply_watcher_event(&Event::Apply(object));
        }
        if let Some(object) = read(server, "/apis/policy/v1/namespaces/photos/poddisruptionbudgets/resizer") {
            self.budgets.apply_watcher_event(&Event::Apply(object));
        }
        if let Some(mut object) =
            read(server, "/apis/autoscaling/v2/namespaces/photos/horizontalpodautoscalers/resizer")
        {
            stamp(&mut object);
            self.autoscalers.apply_watcher_event(&Event::Apply(object));
        }
        if let Some(object) = read(server, &format!("{CORE}/configmaps/{}", self.config_map())) {
            self.config_maps.apply_watcher_event(&Event::Apply(object));
        }
    }

    /// The file that the Deployment names.
    fn config_map(&self) -> String {
        let deployment = self.deployment();
        deployment["spec"]["template"]["metadata"]["annotations"][names::CONFIG]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    fn deployment(&self) -> Value {
        self.server.get(&format!("{APPS}/deployments/resizer")).unwrap_or_default()
    }

    /// The Deployment's controller says so, of the spec that there is.
    fn deployment_status(&mut self, status: Value) {
        let mut deployment: Deployment = serde_json::from_value(self.deployment()).unwrap();
        let mut status: k8s_openapi::api::apps::v1::DeploymentStatus =
            serde_json::from_value(status).unwrap();
        status.observed_generation = deployment.metadata.generation;
        deployment.status = Some(status);
        self.deployments.apply_watcher_event(&Event::Apply(deployment));
    }

    async fn reconcile(&self, pool: &WorkerPool) -> Result<Action, PoolError> {
        super::reconcile(Arc::new(DeserializeGuard(Ok(pool.clone()))), self.context.clone()).await
    }

    /// Looks after a pool; gives it back with the status that was written.
    async fn look_after(&mut self, pool: &WorkerPool) -> WorkerPool {
        self.reconcile(pool).await.unwrap();
        self.watch();
        let mut pool = pool.clone();
        let outcome = self.status(&pool).await;
        pool.status = Some(outcome);
        pool
    }

    /// The status as the next look would have it.
    async fn status(&self, pool: &WorkerPool) -> WorkerPoolStatus {
        let observed = observe::observe(pool, &self.context).await.unwrap();
        let validated = validate::validate(pool, &observed.queues)
            .and_then(|validated| validated.with_certificates(observed.certificates.as_ref()));
        let latest = self.context.decisions.latest(&("photos".to_owned(), "resizer".to_owned()));
        let outcome = match validated {
            Ok(validated) => {
                let owner = pool.controller_owner_ref(&()).unwrap();
                let key = ("photos".to_owned(), "resizer".to_owned());
                let (live, latest) = (&observed.live, latest.as_ref());
                super::apply(&key, &validated, &owner, live, pool.status.as_ref(), latest, &self.context)
                    .await
                    .unwrap()
            }
            Err(refusal) => Err(refusal),
        };
        self.server.calls();
        let known = status::Known {
            live: &observed.live,
            latest: latest.as_ref(),
            worker_image: "petiole/worker:7",
            tells_autoscalers: self.context.tells_autoscalers,
        };
        status::status(pool, &outcome, &known, Timestamp::UNIX_EPOCH)
    }
}

#[tokio::test]
async fn a_new_pool_gets_everything_that_it_needs_in_order() {
    let operator = Operator::new();
    operator.reconcile(&pool()).await.unwrap();
    let map = operator.config_map();
    assert_eq!(
        operator.server.calls(),
        [
            "GET serviceaccounts/resizer".to_owned(),
            "PATCH serviceaccounts/resizer".to_owned(),
            format!("GET configmaps/{map}"),
            format!("PATCH configmaps/{map}"),
            "GET poddisruptionbudgets/resizer".to_owned(),
            "PATCH poddisruptionbudgets/resizer".to_owned(),
            "GET deployments/resizer".to_owned(),
            "PATCH deployments/resizer".to_owned(),
            "PATCH workerpools/resizer/status".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_second_look_at_an_unchanged_pool_makes_no_call() {
    let mut operator = Operator::new();
    let pool = operator.look_after(&pool()).await;
    operator.server.calls();
    operator.reconcile(&pool).await.unwrap();
    assert_eq!(operator.server.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn what_someone_else_has_changed_is_put_right() {
    let mut operator = Operator::new();
    let pool = operator.look_after(&pool()).await;
    let mut deployment = operator.deployment();
    deployment["spec"]["replicas"] = json!(7);
    operator.server.put(&format!("{APPS}/deployments/resizer"), deployment);
    operator.watch();
    operator.reconcile(&pool).await.unwrap();
    assert_eq!(operator.server.calls(), ["PATCH deployments/resizer"]);
    assert_eq!(operator.deployment()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn a_changed_file_goes_when_the_last_pod_that_started_with_it_has_ended() {
    let mut operator = Operator::new();
    operator.look_after(&pool()).await;
    let old = operator.config_map();
    let changed = operator.look_after(&pool_with(json!({ "concurrency": 2 }))).await;
    let delete = format!("DELETE configmaps/{old}");

    // The roll-out has not ended.
    operator.deployment_status(json!({ "replicas": 2, "updatedReplicas": 1 }));
    operator.reconcile(&changed).await.unwrap();
    assert!(!operator.server.calls().contains(&delete));

    // It has, but a pod still drains.
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": "resizer-1", "namespace": "photos", "labels": { names::POOL: "resizer" },
            "annotations": { names::CONFIG: old },
        },
    }))
    .unwrap();
    operator.pods.apply_watcher_event(&Event::Apply(pod.clone()));
    operator.deployment_status(json!({ "replicas": 1, "updatedReplicas": 1 }));
    operator.reconcile(&changed).await.unwrap();
    assert!(!operator.server.calls().contains(&delete));

    // It has ended, though its object stays.
    let status = json!({ "phase": "Failed" });
    let pod = Pod { status: serde_json::from_value(status).unwrap(), ..pod };
    operator.pods.apply_watcher_event(&Event::Apply(pod));
    operator.reconcile(&changed).await.unwrap();
    assert!(operator.server.calls().contains(&delete));
}

#[tokio::test]
async fn a_bad_spec_is_refused_and_what_runs_stays() {
    let mut operator = Operator::new();
    operator.look_after(&pool()).await;
    let before = operator.deployment();
    operator.server.refuse(
        "PATCH deployments",
        StatusCode::INTERNAL_SERVER_ERROR,
        "failed to create typed patch object (photos/resizer; apps/v1, Kind=Deployment): .spec.x: field not declared",
    );
    let bad = pool_with(json!({ "concurrency": 3 }));
    operator.reconcile(&bad).await.unwrap();
    assert_eq!(operator.deployment(), before);
    let status = operator.status(&bad).await;
    let ready = conditions::find(&status.conditions, READY).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", reasons::TEMPLATE_REFUSED));
    assert_eq!(ready.message, "the API server refuses the pods: .spec.x: field not declared");

    operator.server.accept();
    operator.reconcile(&bad).await.unwrap();
    assert_ne!(operator.deployment(), before);
}

#[tokio::test]
async fn a_queue_that_went_away_changes_nothing_that_runs() {
    let mut operator = Operator::new();
    let pool = operator.look_after(&pool()).await;
    operator.queues.apply_watcher_event(&Event::Delete(DeserializeGuard(Ok(queue("thumbnails")))));
    operator.reconcile(&pool).await.unwrap();
    assert_eq!(
        operator.server.calls(),
        ["PATCH workerpools/resizer/status", "POST events"],
        "it is said, and nothing else is done"
    );
}

#[tokio::test]
async fn what_belongs_to_someone_else_is_not_taken_over() {
    let operator = Operator::new();
    let theirs = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "resizer" } });
    operator.server.put(&format!("{CORE}/serviceaccounts/resizer"), theirs);
    operator.reconcile(&pool()).await.unwrap();
    let calls = operator.server.calls();
    assert_eq!(calls, ["GET serviceaccounts/resizer", "PATCH workerpools/resizer/status", "POST events"]);
}

#[tokio::test]
async fn a_template_with_an_identity_of_its_own_makes_ours_go() {
    let mut operator = Operator::new();
    operator.look_after(&pool()).await;
    let template = json!({
        "spec": { "serviceAccountName": "theirs", "containers": [{ "name": "task", "image": "a" }] },
    });
    let changed = operator.look_after(&pool_with(json!({ "template": template }))).await;
    operator.deployment_status(json!({ "replicas": 1, "updatedReplicas": 1 }));
    operator.reconcile(&changed).await.unwrap();
    assert!(operator.server.calls().contains(&"DELETE serviceaccounts/resizer".to_owned()));
}

#[tokio::test]
async fn an_error_of_the_server_is_tried_again() {
    let operator = Operator::new();
    operator.server.refuse("PATCH configmaps", StatusCode::FORBIDDEN, "no right");
    let error = operator.reconcile(&pool()).await.unwrap_err();
    let text = petiole_process::log::Chain(&error).to_string();
    assert!(
        text.starts_with("failed to apply what the WorkerPool is made of: failed to apply ConfigMap"),
        "{text}"
    );
    assert!(text.ends_with("the API server says: no right"), "{text}");
}

#[tokio::test]
async fn nothing_is_judged_before_everything_was_listed() {
    let mut operator = Operator::new();
    let (synced, _done) = Synced::new();
    let _unlisted = synced.expect();
    if let Some(context) = Arc::get_mut(&mut operator.context) {
        context.synced = synced;
    }
    operator.reconcile(&pool()).await.unwrap();
    assert_eq!(operator.server.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_container_that_was_killed_for_want_of_memory_is_told_of_once() {
    let mut operator = Operator::new();
    let pool = operator.look_after(&pool()).await;
    let end = json!({
        "reason": "OOMKilled", "exitCode": 137, "containerID": "containerd://0123456789abcdef01",
        "finishedAt": Timestamp::now(),
    });
    let pod = json!({
        "metadata": { "name": "resizer-1", "namespace": "photos", "labels": { names::POOL: "resizer" } },
        "status": { "containerStatuses": [{
            "name": "task", "image": "a", "imageID": "", "ready": true, "restartCount": 1,
            "lastState": { "terminated": end },
        }] },
    });
    operator.pods.apply_watcher_event(&Event::Apply(serde_json::from_value(pod).unwrap()));
    operator.reconcile(&pool).await.unwrap();
    assert_eq!(operator.server.calls(), ["POST events"]);
    let event = operator
        .server
        .get("/apis/events.k8s.io/v1/namespaces/photos/events/resizer.0123456789abcdef")
        .unwrap();
    assert_eq!((&event["reason"], &event["type"]), (&json!("TaskOOMKilled"), &json!("Warning")));
    assert_eq!(
        (&event["regarding"]["name"], &event["related"]["name"]),
        (&json!("resizer"), &json!("resizer-1"))
    );
    operator.reconcile(&pool).await.unwrap();
    assert_eq!(operator.server.calls(), Vec::<String>::new());

    // Another process that comes to lead finds the event there.
    let context = Arc::get_mut(&mut operator.context).unwrap();
    context.kills = Arc::default();
    operator.reconcile(&pool).await.unwrap();
    assert_eq!(operator.server.calls(), ["POST events"]);
    assert_eq!(
        operator
            .server
            .get("/apis/events.k8s.io/v1/namespaces/photos/events/resizer.0123456789abcdef")
            .unwrap(),
        event
    );
}
