//! The fast path: a worker pod that has ended is told of to its broker, which puts its messages back at once. Without
//! it they go back when the worker's lease runs out, a few seconds later.
//!
//! [`ended`] sees which pods have ended; this file tells the brokers.

mod ended;

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;
use petiole_process::log::Chain;
use tokio::sync::mpsc;
use tokio::time::sleep;

use self::ended::{Ended, Pods};
use crate::cluster::Cluster;
use crate::sampler::{QueueKey, Sampler};

/// A pod whose end nobody saw (its node is away, or it was deleted by force) may run on for a moment: the kubelet
/// that hears of it kills its containers within about 2 s. Its messages wait for as long and some more.
const UNSEEN: Duration = Duration::from_secs(4);

/// Looks at pods as they come by. `events` are those of a watch, from its beginning.
pub async fn run(mut events: mpsc::UnboundedReceiver<Event<Pod>>, cluster: Cluster, sampler: Sampler) {
    let mut pods = Pods::default();
    while let Some(event) = events.recv().await {
        for ended in pods.see(event) {
            if cluster.leads() {
                tokio::spawn(tell(ended, sampler.clone()));
            }
        }
    }
}

async fn tell(ended: Ended, sampler: Sampler) {
    let Ended { namespace, name, uid, task_queue, seen } = ended;
    if !seen {
        sleep(UNSEEN).await;
    }
    let queue = QueueKey { namespace, name: task_queue };
    match sampler.end(&queue, &uid).await {
        Ok(Some(0) | None) => {}
        Ok(Some(restored)) => {
            tracing::info!(
                namespace = queue.namespace,
                pod = name,
                restored,
                "the pod has ended: its messages are back"
            );
        }
        // Its lease runs out all the same.
        Err(error) => {
            tracing::warn!(namespace = queue.namespace, pod = name, error = %Chain(&error), "failed to tell of a pod's end");
        }
    }
}
