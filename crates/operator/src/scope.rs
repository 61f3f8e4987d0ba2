//! One scope (a namespace, or all of them): its watches, its stores, its two controllers.
//!
//! ```text
//!   watches ──> stores
//!      └─touched──> controllers <── leadership gained, everything listed, a broker's state changed
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{poll_fn, select};
use futures_util::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Resource, ResourceExt};
use petiole_process::ready::Readiness;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::drive::drive;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::pool::Guarded as WorkerPool;
use crate::pool::celery;
use crate::pool::scale::autoscaler::stamp;
use crate::pool::scale::look::Look;
use crate::queue::Guarded as TaskQueue;
use crate::sampler::{QueueKey, Sampler};
use crate::stores::{Stores, pool_of};
use crate::synced::Synced;
use crate::watches::{Scope, Watches, slim, unseen};
use crate::{ends, pool, queue};

/// Objects of one kind that are looked after at the same time: each may wait for the API server.
const CONCURRENCY: u16 = 8;

/// What every scope needs.
pub struct Shared {
    /// The client of the watches.
    pub client: Client,
    /// Reads and writes.
    pub cluster: Cluster,
    /// Whether this replica leads.
    pub leadership: Leadership,
    /// What asks the brokers.
    pub sampler: Sampler,
    /// Who is still missing.
    pub ready: Readiness,
    /// What is counted.
    pub metrics: Metrics,
    /// Ends the controllers.
    pub stop: CancellationToken,
}

/// A scope at work.
pub struct Running {
    /// What is known of it.
    pub stores: Stores,
    /// Whether all of it was listed once.
    pub synced: Synced,
    /// Its work, until it is stopped.
    pub work: JoinHandle<()>,
}

/// Starts a scope. `changed` says of which queues the brokers' state has changed.
pub fn start(
    scope: &Scope,
    shared: &Shared,
    changed: mpsc::UnboundedReceiver<QueueKey>,
    queues: Arc<queue::Context>,
    pools: impl FnOnce(Stores, Synced) -> pool::Context,
) -> Running {
    let Shared { client, cluster, leadership, sampler, ready, metrics, stop } = shared;
    let (synced, was_synced) = Synced::new();
    let watches = Watches { scope, client, ready, synced: &synced };
    let (see_queue, queues_seen) = mpsc::unbounded_channel();
    let slim_queue = |queue: &mut TaskQueue| slim(queue.meta_mut());
    let (queues_store, queue_watch) = watches.every("TaskQueues", slim_queue, move |event| {
        // Nobody listens any more when the operator ends.
        let _ = see_queue.send(event.clone());
    });
    tokio::spawn(queue::leave::run(queues_seen, queues_store.clone(), queues.clone()));
    let (pools_store, pool_watch) =
        watches.every("WorkerPools", |pool: &mut WorkerPool| slim(pool.meta_mut()), unseen);
    let (deployments, deployment_watch) = watches.of_pools(
        "Deployments",
        |deployment: &mut Deployment| {
            slim(&mut deployment.metadata);
            let replicas = deployment.spec.take().and_then(|spec| spec.replicas);
            deployment.spec = Some(DeploymentSpec { replicas, ..DeploymentSpec::default() });
        },
        unseen,
    );
    let (config_maps, config_map_watch) = watches.of_pools("ConfigMaps", metadata, unseen);
    let (service_accounts, service_account_watch) = watches.of_pools("ServiceAccounts", metadata, unseen);
    let (budgets, budget_watch) = watches.of_pools("PodDisruptionBudgets", metadata, unseen);
    let (see_pod, pods_seen) = mpsc::unbounded_channel();
    let slim_pod = |pod: &mut Pod| {
        slim(&mut pod.metadata);
        pool::kills::keep_limits(pod);
    };
    let (pods, pod_watch) = watches.of_pools("Pods", slim_pod, move |event| {
        // Nobody listens any more when the operator ends.
        let _ = see_pod.send(event.clone());
    });
    tokio::spawn(ends::run(pods_seen, cluster.clone(), sampler.clone()));
    // Anybody's: one that scales a pool wrongly has no label of ours.
    let (autoscalers, autoscaler_watch) = watches.every("HorizontalPodAutoscalers", slim_autoscaler, unseen);
    let stores = Stores {
        queues: queues_store.clone(),
        pools: pools_store.clone(),
        deployments,
        config_maps,
        service_accounts,
        budgets,
        pods,
        autoscalers,
    };
    // A queue that is touched wakes its own controller and the pools that take from it.
    let (touch, touched) = mpsc::unbounded_channel();
    let wake = touch.clone();
    let on = stores.clone();
    let queue_watch = queue_watch.inspect_ok(move |queue| {
        for pool in on.pools_on(&queue.namespace().unwrap_or_default(), &queue.name_any()) {
            let _ = touch.send(pool);
        }
    });

    let config = || controller::Config::default().concurrency(CONCURRENCY);
    let queue_controller = Controller::for_stream(queue_watch, queues_store)
        .with_config(config())
        .reconcile_on(received(changed).map(|key| queue::object_ref(&key)))
        .reconcile_all_on(leadership.gained())
        .graceful_shutdown_on(stop.clone().cancelled_owned());
    let pool_controller = Controller::for_stream(pool_watch, pools_store)
        .with_config(config())
        .owns_stream(deployment_watch)
        .owns_stream(config_map_watch)
        .owns_stream(service_account_watch)
        .owns_stream(budget_watch)
        .watches_stream(pod_watch, |pod| {
            let of = |pool: &str| ObjectRef::new(pool).within(&pod.namespace().unwrap_or_default());
            pool_of(&pod).map(of)
        })
        .watches_stream(autoscaler_watch, |autoscaler| {
            let of = |pool: &str| ObjectRef::new(pool).within(&autoscaler.namespace().unwrap_or_default());
            pool::foreign::scales(&autoscaler).map(of)
        })
        .reconcile_on(received(touched))
        .reconcile_all_on(select(leadership.gained(), received(was_synced)))
        .graceful_shutdown_on(stop.clone().cancelled_owned());

    let pools = Arc::new(pools(stores.clone(), synced.clone()));
    let own = celery::look::Look {
        cluster: cluster.clone(),
        stores: stores.clone(),
        synced: synced.clone(),
        sampler: sampler.clone(),
        deleted: HashMap::new(),
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(own.run()));
    let look = Look {
        scope: scope.clone(),
        cluster: cluster.clone(),
        stores: stores.clone(),
        synced: synced.clone(),
        sampler: sampler.clone(),
        decisions: pools.decisions.clone(),
        metrics: metrics.clone(),
        wake,
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(look.run()));
    let queues_work = drive(queue_controller, "TaskQueue", metrics.clone(), queues, queue::reconcile);
    let pools_work = drive(pool_controller, "WorkerPool", metrics.clone(), pools, pool::reconcile);
    let work = tokio::spawn(async {
        tokio::join!(queues_work, pools_work);
    });
    Running { stores, synced, work }
}

fn metadata<K: k8s_openapi::Resource>(object: &mut PartialObjectMeta<K>) {
    slim(&mut object.metadata);
}

fn slim_autoscaler(autoscaler: &mut HorizontalPodAutoscaler) {
    slim(&mut autoscaler.metadata);
    stamp(autoscaler);
    let conditions = autoscaler.status.take().and_then(|status| status.conditions);
    autoscaler.status = Some(HorizontalPodAutoscalerStatus { conditions, ..Default::default() });
    if let Some(spec) = &mut autoscaler.spec {
        (spec.metrics, spec.behavior) = (None, None);
    }
}

fn received<T: Send + 'static>(
    mut from: mpsc::UnboundedReceiver<T>,
) -> impl Stream<Item = T> + Send + 'static {
    poll_fn(move |context| from.poll_recv(context))
}
