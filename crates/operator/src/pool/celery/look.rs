//! Looks at every pool of a scope whose image runs its own worker, as soon as a broker was sampled.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use petiole_api::conditions::reasons;
use petiole_api::worker_pool::Mode;
use petiole_api::{WorkerPool, names};
use petiole_process::log::Chain;
use tokio::time::{MissedTickBehavior, interval};

use super::gate::{Gate, gate};
use super::stuck::stuck;
use crate::cluster::Cluster;
use crate::pool::PoolKey;
use crate::pool::scale::signal;
use crate::sampler::Sampler;
use crate::sampler::fleet::Word;
use crate::stores::{Stores, has_ended};
use crate::synced::Synced;

/// Between two looks: a worker that has come up is ready within this time.
const EACH: Duration = Duration::from_secs(1);
/// So many pods are written at the same time.
const WRITING: usize = 8;

/// What looks at pools.
pub struct Look {
    /// Whether this replica leads; and where is written.
    pub cluster: Cluster,
    /// What is watched.
    pub stores: Stores,
    /// Whether all of it was listed once.
    pub synced: Synced,
    /// What the workers say.
    pub sampler: Sampler,
    /// When a stuck pod of a pool was deleted last.
    pub deleted: HashMap<PoolKey, Timestamp>,
}

impl Look {
    /// Looks until it is dropped.
    pub async fn run(mut self) {
        let mut ticks = interval(EACH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look(Timestamp::now()).await;
        }
    }

    /// Looks once.
    pub async fn look(&mut self, now: Timestamp) {
        if !self.cluster.leads() || !self.synced.get() {
            return;
        }
        for guarded in self.stores.pools.state() {
            let Ok(pool) = &guarded.0 else { continue };
            let is_own = pool.spec.mode == Mode::Celery && pool.metadata.deletion_timestamp.is_none();
            if is_own {
                self.look_at(pool, now).await;
            }
        }
        self.deleted.retain(|_, at| now.duration_since(*at) < super::stuck::APART);
    }

    async fn look_at(&mut self, pool: &WorkerPool, now: Timestamp) {
        let queues: Vec<_> = signal::queues(pool).collect();
        let Some(queue) = queues.first() else { return };
        let key = (pool.namespace().unwrap_or_default(), pool.name_any());
        let mut pods = Stores::of_pool(&self.stores.pods, &key.0, &key.1);
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none() && !has_ended(pod));
        let names: Vec<String> = pods.iter().map(|pod| pod.name_any()).collect();
        self.sampler.expect(&queues, key.clone(), names.iter().cloned().collect());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // While the broker is away nothing is judged.
        let Some(words) = self.sampler.words(queue, &names) else { return };
        self.open(&key.0, &pods, &words, now).await;
        let silence = pool.spec.celery.as_ref().and_then(|celery| celery.silence.finite());
        let last = self.deleted.get(&key).copied();
        let known = pods.iter().zip(words);
        let Some((pod, silent)) = silence.and_then(|silence| stuck(known, silence.get(), last, now)) else {
            return;
        };
        let (name, uid) = (pod.name_any(), pod.uid());
        match self.cluster.delete::<Pod>(&key.0, &name, uid).await {
            Ok(()) => {
                tracing::warn!(namespace = key.0, pod = name, "its worker answers no more: it is deleted");
                let note = format!(
                    "pod {name} is deleted: its worker has said nothing for {} s, and does not answer a ping",
                    silent.as_secs()
                );
                self.cluster.tell(&pool.object_ref(&()), reasons::WORKER_STUCK, false, &note).await;
                self.deleted.insert(key, now);
            }
            // The next look tries again.
            Err(error) => tracing::warn!(pod = name, error = %Chain(&error), "failed to delete a stuck pod"),
        }
    }

    /// Writes of each pod whether it takes tasks.
    async fn open(&self, namespace: &str, pods: &[Arc<Pod>], words: &[Word], now: Timestamp) {
        let write = |(pod, word): (&Arc<Pod>, &Word)| {
            let (gate, name) = (gate(pod, word), pod.name_any());
            async move {
                let Some(Gate { open, reason, message }) = gate else { return };
                let status = if open { "True" } else { "False" };
                let condition = serde_json::json!({
                    "type": names::TAKES_TASKS, "status": status, "reason": reason, "message": message,
                    "lastTransitionTime": now.to_string(),
                });
                let written = self.cluster.set_condition::<Pod>(namespace, &name, &condition).await;
                if let Err(error) = written {
                    tracing::warn!(pod = name, error = %Chain(&error), "failed to say that a pod takes tasks");
                }
            }
        };
        let writes = pods.iter().zip(words).map(write);
        futures_util::stream::iter(writes).buffer_unordered(WRITING).collect::<()>().await;
    }
}
