//! How the operator is put together, and the order in which it stops.
//!
//! ```text
//!   signal ──> controllers end what they are at ──> the Lease is given back ──> the admin endpoint ends
//! ```

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use kube::{Api, Client};
use petiole_process::admin::{Admin, AdminError};
use petiole_process::log::Chain;
use petiole_process::metrics::{RegisterError, Registry};
use petiole_process::ready::Readiness;
use petiole_process::shutdown::{self, ListenError};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::cluster::{ApiError, Cluster};
use crate::external::access::Access;
use crate::external::api::Calls;
use crate::external::identity;
use crate::external::server::{Desk, Known, Server};
use crate::flags::Flags;
use crate::invalid::Invalid;
use crate::leader::{Candidate, Leadership};
use crate::metrics::Metrics;
use crate::pace::{Pace, Turns};
use crate::pool::build::Images;
use crate::pool::kills::Kills;
use crate::pool::memory::Memory;
use crate::pool::scale::decisions::Decisions;
use crate::pool::scale::drains::Drains;
use crate::pool::{self, PoolKey};
use crate::queue;
use crate::sampler::connect::Redis;
use crate::sampler::{QueueKey, Sampler};
use crate::scope::{self, Running, Shared};
use crate::secrets::Secrets;
use crate::stores::Stores;
use crate::watches::Scope;

/// How long the controllers may take to end what they are at. The rest of a pod's usual 30 s is for what comes after.
const STOP: Duration = Duration::from_secs(15);
/// Between two rounds of forgetting what is gone.
const FORGET: u32 = 30;

/// Why the operator could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// There is no way to the API server.
    #[error("failed to find the API server: run in a pod, or set KUBECONFIG")]
    Client(#[source] ApiError),
    /// See its source.
    #[error(transparent)]
    Listen(ListenError),
    /// See its source.
    #[error(transparent)]
    Metrics(RegisterError),
    /// See its source.
    #[error(transparent)]
    Admin(AdminError),
    /// The address is taken, or not ours.
    #[error("failed to listen on the address for external metrics")]
    ExternalMetrics(#[source] std::io::Error),
}

/// Works until it is told to stop.
pub async fn run(flags: Flags) -> Result<(), OperatorError> {
    let Flags {
        namespaces,
        all_namespaces,
        worker_image,
        worker_image_pull_policy,
        namespace,
        name,
        lease,
        admin,
        external_metrics,
        external_metrics_service,
    } = flags;
    let stop = shutdown::on_signal().map_err(OperatorError::Listen)?;
    let (ready, registry) = (Readiness::default(), Registry::default());
    let metrics = Metrics::new(&registry).map_err(OperatorError::Metrics)?;
    let admin = Admin::listen(admin).await.map_err(OperatorError::Admin)?;
    let client = Client::try_default().await.map_err(|error| OperatorError::Client(error.into()))?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let external = match external_metrics.zip(external_metrics_service) {
        Some((address, name)) => {
            Some((Server::listen(address).await.map_err(OperatorError::ExternalMetrics)?, name))
        }
        None => None,
    };
    let scopes = scopes(namespaces, all_namespaces, &namespace);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), ?scopes, worker_image, name, "operator starts");

    let leases = Api::namespaced(client.clone(), &namespace);
    let (candidate, leadership) = Candidate::new(leases, lease, name.clone());
    let cluster = Cluster::new(client.clone(), leadership.clone(), name);
    let (sampler, changed) = Sampler::new(Arc::new(Redis));
    let shared = Shared {
        client: client.clone(),
        cluster: cluster.clone(),
        leadership: leadership.clone(),
        sampler: sampler.clone(),
        ready: ready.clone(),
        metrics: metrics.clone(),
        stop: stop.clone(),
    };
    let turns = Turns::default();
    let works = Works {
        queues: Arc::new(queue::Context {
            cluster: cluster.clone(),
            sampler: sampler.clone(),
            secrets: Secrets::default(),
            pace: Arc::new(Pace::new(turns.clone())),
            invalid: Invalid::default(),
        }),
        memory: Arc::default(),
        secrets: Arc::default(),
        kills: Arc::default(),
        decisions: Arc::default(),
        drains: Arc::default(),
        pace: Arc::new(Pace::new(turns)),
        images: Images { worker: worker_image, pull_policy: worker_image_pull_policy },
        tells_autoscalers: external.is_some(),
    };
    let (running, stores) = start(&scopes, &shared, &works, changed);

    // Probes are answered until the very end, and so are autoscalers.
    let served = CancellationToken::new();
    if let Some((server, name)) = external {
        let calls = Calls::new(client, leadership.clone(), namespace, name);
        let (publish, identity) = watch::channel(None);
        let keeping = identity::keep(calls.clone(), publish, ready.clone());
        tokio::spawn(served.clone().run_until_cancelled_owned(keeping));
        let known = scopes.iter().zip(&running).map(|(scope, running)| Known {
            scope: scope.clone(),
            stores: running.stores.clone(),
            synced: running.synced.clone(),
        });
        let desk =
            Desk { calls, access: Access::default(), sampler: sampler.clone(), known: known.collect() };
        tokio::spawn(server.serve(desk, identity, served.clone()));
    }
    let serving = tokio::spawn(serve(admin, ready, registry, served.clone()));
    let keeping = tokio::spawn(keep(stores, works, sampler, metrics, leadership));
    candidate
        .run(stop, async {
            timeout(STOP, join_all(running.into_iter().map(|scope| scope.work))).await.is_ok()
        })
        .await;
    keeping.abort();
    served.cancel();
    let _ = serving.await;
    tracing::info!("operator has stopped");
    Ok(())
}

fn scopes(namespaces: Vec<String>, all: bool, own: &str) -> Vec<Scope> {
    if all {
        return vec![Scope::All];
    }
    let mut namespaces: Vec<String> = namespaces.into_iter().filter(|one| !one.is_empty()).collect();
    if namespaces.is_empty() {
        namespaces.push(own.to_owned());
    }
    namespaces.sort();
    namespaces.dedup();
    namespaces.into_iter().map(Scope::Namespace).collect()
}

/// What the scopes' controllers have in common.
struct Works {
    queues: Arc<queue::Context>,
    memory: Arc<Memory>,
    /// Of the pools. The queues read other keys of other Secrets.
    secrets: Arc<Secrets>,
    kills: Arc<Kills>,
    decisions: Arc<Decisions>,
    drains: Arc<Drains>,
    pace: Arc<Pace<PoolKey>>,
    images: Images,
    /// Whether external metrics are served.
    tells_autoscalers: bool,
}

fn start(
    scopes: &[Scope],
    shared: &Shared,
    works: &Works,
    changed: mpsc::UnboundedReceiver<QueueKey>,
) -> (Vec<Running>, Vec<(Scope, Stores)>) {
    let mut routes = Vec::new();
    let mut running = Vec::new();
    let mut stores = Vec::new();
    for scope in scopes {
        let (route, of_scope) = mpsc::unbounded_channel();
        routes.push((scope.clone(), route));
        let pools = |stores, synced| pool::Context {
            cluster: shared.cluster.clone(),
            stores,
            synced,
            images: works.images.clone(),
            memory: works.memory.clone(),
            secrets: works.secrets.clone(),
            tells_autoscalers: works.tells_autoscalers,
            kills: works.kills.clone(),
            sampler: shared.sampler.clone(),
            decisions: works.decisions.clone(),
            drains: works.drains.clone(),
            pace: works.pace.clone(),
            invalid: Invalid::default(),
        };
        let started = scope::start(scope, shared, of_scope, works.queues.clone(), pools);
        stores.push((scope.clone(), started.stores.clone()));
        running.push(started);
    }
    tokio::spawn(route(changed, routes));
    (running, stores)
}

/// Tells each scope of its own queues.
async fn route(
    mut changed: mpsc::UnboundedReceiver<QueueKey>,
    routes: Vec<(Scope, mpsc::UnboundedSender<QueueKey>)>,
) {
    while let Some(key) = changed.recv().await {
        for (_, route) in routes.iter().filter(|(scope, _)| scope.holds(&key.namespace)) {
            // A scope that has ended hears nothing.
            let _ = route.send(key.clone());
        }
    }
}

async fn serve(admin: Admin, ready: Readiness, registry: Registry, stop: CancellationToken) {
    if let Err(error) = admin.serve(ready, registry, stop).await {
        tracing::error!(error = %Chain(&error), "the admin endpoint has ended");
    }
}

/// Each second, what is seen goes to the metrics; now and then, what is gone is forgotten.
async fn keep(
    stores: Vec<(Scope, Stores)>,
    works: Works,
    sampler: Sampler,
    metrics: Metrics,
    leadership: Leadership,
) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0_u32.. {
        ticks.tick().await;
        metrics.leader.with_label_values::<&str>(&[]).set(i64::from(leadership.leads()));
        metrics.sample(&sampler, Timestamp::now());
        for (scope, stores) in &stores {
            metrics.pools.look(scope, stores);
        }
        if tick % FORGET == 0 {
            forget(&stores, &works, &sampler);
        }
    }
}

fn forget(stores: &[(Scope, Stores)], works: &Works, sampler: &Sampler) {
    let of =
        |namespace: &str| stores.iter().find(|(scope, _)| scope.holds(namespace)).map(|(_, stores)| stores);
    let queue = |key: &QueueKey| {
        of(&key.namespace).is_some_and(|stores| stores.queues.get(&queue::object_ref(key)).is_some())
    };
    let pool =
        |key: &PoolKey| of(&key.0).is_some_and(|stores| stores.pools.get(&pool::object_ref(key)).is_some());
    sampler.retain(queue);
    works.queues.pace.retain(queue);
    works.queues.secrets.forget_unused();
    works.secrets.forget_unused();
    works.pace.retain(pool);
    works.memory.retain(pool);
    works.drains.retain(pool);
    works.kills.retain(pool);
}
