//! Looks at every pool of a scope that scales itself, as soon as a broker was sampled and each second.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use petiole_api::{WorkerPool, WorkerPoolStatus};
use petiole_broker::Report;
use petiole_scale::Scaling;
use petiole_scale::history::Change;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::decisions::{Before, Decisions};
use super::{before, signal, spec};
use crate::cluster::{Cluster, is_controlled_by};
use crate::metrics::Metrics;
use crate::pool::{Guarded, PoolKey};
use crate::sampler::Sampler;
use crate::stores::Stores;
use crate::synced::Synced;
use crate::watches::Scope;

/// Between two looks where nothing was sampled: windows end, and samples get old.
const EACH: Duration = Duration::from_secs(1);
/// Between two looks in any case: several brokers are not sampled at the same moment.
const APART: Duration = Duration::from_millis(100);

/// What looks at pools.
pub struct Look {
    /// Whose pools.
    pub scope: Scope,
    /// Whether this replica leads.
    pub cluster: Cluster,
    /// What is watched.
    pub stores: Stores,
    /// Whether all of it was listed once.
    pub synced: Synced,
    /// What was seen of the queues.
    pub sampler: Sampler,
    /// What was decided.
    pub decisions: Arc<Decisions>,
    /// What is counted.
    pub metrics: Metrics,
    /// Wakes the controller for a pool.
    pub wake: mpsc::UnboundedSender<ObjectRef<Guarded>>,
}

impl Look {
    /// Looks until it is dropped.
    pub async fn run(self) {
        let mut rounds = self.sampler.rounds();
        let mut ticks = interval(EACH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Ok(()) = rounds.changed() => {}
                _ = ticks.tick() => {}
            }
            self.look(Timestamp::now());
            sleep(APART).await;
        }
    }

    /// Looks once.
    pub fn look(&self, now: Timestamp) {
        if !self.cluster.leads() || !self.synced.get() {
            // Whoever leads may have changed what was known here.
            self.decisions.retain(|(namespace, _)| !self.scope.holds(namespace));
            return;
        }
        let pools = self.stores.pools.state();
        let pools: Vec<&WorkerPool> = pools.iter().filter_map(readable).collect();
        let capacities = signal::Capacities::of(pools.iter().copied());
        let mut scaled = HashSet::new();
        for pool in pools {
            // What cannot be read is said when the pool is looked after.
            if let Ok(Some(scaling)) = spec::decided(pool) {
                let key = (pool.namespace().unwrap_or_default(), pool.name_any());
                self.decide(pool, &key, &scaling, &capacities, now);
                scaled.insert(key);
            }
        }
        self.decisions.retain(|key| scaled.contains(key) || !self.scope.holds(&key.0));
    }

    fn decide(
        &self,
        pool: &WorkerPool,
        key: &PoolKey,
        scaling: &Scaling,
        capacities: &signal::Capacities,
        now: Timestamp,
    ) {
        let queue = signal::first_queue(pool);
        let loads = queue.as_ref().and_then(|queue| self.sampler.loads(queue));
        let of_pool = |report: &&Report| (&report.namespace, &report.pool) == (&key.0, &key.1);
        let reports = loads.as_ref().map(|loads| loads.iter().filter(of_pool));
        let waits = queue.is_some_and(|queue| self.sampler.waits(&queue, key));
        let own = || signal::own(pool, loads.iter().flat_map(|all| all.iter()).filter(of_pool), waits);
        let work = signal::work(pool, capacities, |queue| self.sampler.latest(queue), now);
        let work = work.map(|work| work + own());
        let before = || self.before(pool, key, scaling);
        let looked = self.decisions.look(key, scaling, work, reports, before, now);
        let Some((decision, differs)) = looked else { return };
        self.metrics.pools.decided(key, decision.reason);
        if differs {
            // Nobody listens any more when the operator ends.
            let _ = self.wake.send(crate::pool::object_ref(key));
        }
    }

    /// What another leader, or an earlier life of this one, has left behind.
    fn before(&self, pool: &WorkerPool, key: &PoolKey, scaling: &Scaling) -> Before {
        let deployment = self.stores.deployments.get(&ObjectRef::<Deployment>::new(&key.1).within(&key.0));
        let ours =
            deployment.filter(|deployment| is_controlled_by(&**deployment, pool.meta().uid.as_deref()));
        let wanted = before(ours.as_deref(), pool.status.as_ref()).and_then(|wanted| wanted.try_into().ok());
        let WorkerPoolStatus { last_decision, last_scaled, .. } = pool.status.clone().unwrap_or_default();
        let milliseconds = last_decision.and_then(|decision| decision.task_milliseconds);
        let milliseconds = milliseconds.and_then(|milliseconds| u64::try_from(milliseconds).ok());
        let count = |replicas: i32| u32::try_from(replicas).unwrap_or_default();
        Before {
            replicas: wanted.unwrap_or(scaling.min),
            change: last_scaled.map(|change| Change {
                at: change.time.0,
                from: count(change.from),
                to: count(change.to),
            }),
            task_seconds: milliseconds.map(|milliseconds| Duration::from_millis(milliseconds).as_secs_f64()),
        }
    }
}

fn readable(pool: &Arc<DeserializeGuard<WorkerPool>>) -> Option<&WorkerPool> {
    pool.0.as_ref().ok().filter(|pool| pool.metadata.deletion_timestamp.is_none())
}
