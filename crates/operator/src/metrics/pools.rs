//! What is measured of pools.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use petiole_api::WorkerPoolStatus;
use petiole_process::metrics::{IntCounterVec, IntGaugeVec, RegisterError, Registry};
use petiole_scale::Reason;

use crate::pool::PoolKey;
use crate::pool::scale::wanted_of;
use crate::stores::{Stores, pool_of};
use crate::watches::Scope;

/// The metrics of pools.
#[derive(Debug, Clone)]
pub struct PoolMetrics {
    replicas: IntGaugeVec,
    decisions: IntCounterVec,
    /// The pools of each scope, by its name.
    known: Arc<Mutex<BTreeMap<String, BTreeSet<PoolKey>>>>,
}

/// The states of `petiole_pool_replicas`.
const STATES: [&str; 4] = ["desired", "actual", "ready", "draining"];

impl PoolMetrics {
    /// Registers all of them.
    pub fn new(registry: &Registry) -> Result<Self, RegisterError> {
        Ok(Self {
            replicas: registry.gauge(
                "petiole_pool_replicas",
                "Pods of a WorkerPool: how many it should have (desired), has (actual), how many of these take \
                 tasks (ready), and how many finish theirs before they go (draining).",
                &["namespace", "worker_pool", "state"],
            )?,
            decisions: registry.counter(
                "petiole_pool_decisions_total",
                "How often it was decided how many pods a WorkerPool should have, by what has decided. Of the replica \
                 that leads.",
                &["namespace", "worker_pool", "reason"],
            )?,
            known: Arc::default(),
        })
    }

    /// A decision was made.
    pub fn decided(&self, (namespace, name): &PoolKey, reason: Reason) {
        self.decisions.with_label_values(&[namespace.as_str(), name, reason.as_str()]).inc();
    }

    /// Sets what is measured of the pools of a scope to what is known of them.
    pub fn look(&self, scope: &Scope, stores: &Stores) {
        let mut now = BTreeSet::new();
        for deployment in stores.deployments.state() {
            let Some(pool) = pool_of(&*deployment) else { continue };
            let key = (deployment.namespace().unwrap_or_default(), pool.to_owned());
            let pool = stores.pools.get(&crate::pool::object_ref(&key));
            let said = pool.as_ref().and_then(|pool| pool.0.as_ref().ok()?.status.as_ref());
            for (state, figure) in STATES.iter().zip(figures(&deployment, said)) {
                self.replicas.with_label_values(&[key.0.as_str(), &key.1, state]).set(figure.into());
            }
            now.insert(key);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.insert(format!("{scope:?}"), now.clone()).unwrap_or_default();
        for (namespace, name) in before.difference(&now) {
            for state in STATES {
                // What is not there need not be removed.
                let _ = self.replicas.remove_label_values(&[namespace.as_str(), name, state]);
            }
            for reason in Reason::ALL {
                let _ = self.decisions.remove_label_values(&[namespace.as_str(), name, reason.as_str()]);
            }
        }
    }
}

fn figures(deployment: &Deployment, said: Option<&WorkerPoolStatus>) -> [i32; 4] {
    let status = deployment.status.clone().unwrap_or_default();
    let desired = said.and_then(|said| said.desired_replicas).or_else(|| wanted_of(deployment));
    [
        desired.unwrap_or_default(),
        status.replicas.unwrap_or_default(),
        status.ready_replicas.unwrap_or_default(),
        said.map_or(0, |said| said.draining_replicas),
    ]
}
