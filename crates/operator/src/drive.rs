//! Runs a controller: what it does is timed and counted, what fails is said and waits.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use petiole_process::log::Chain;

use crate::backoff::Backoff;
use crate::cluster::Kind;
use crate::metrics::Metrics;

/// Runs a controller until it is stopped.
pub async fn drive<K, C, E, F>(
    controller: Controller<K>,
    kind: &'static str,
    metrics: Metrics,
    context: Arc<C>,
    reconcile: fn(Arc<K>, Arc<C>) -> F,
) where
    K: Kind,
    C: Send + Sync + 'static,
    E: Error + Send + 'static,
    F: Future<Output = Result<Action, E>> + Send + 'static,
{
    let backoff = Arc::new(Backoff::default());
    let failed = backoff.clone();
    let run = controller.run(
        move |object, context| {
            let (metrics, backoff) = (metrics.clone(), backoff.clone());
            async move {
                let (key, started) = (ObjectRef::from_obj(&*object), Instant::now());
                let done = reconcile(object, context).await;
                metrics.seconds.with_label_values(&[kind]).observe(started.elapsed().as_secs_f64());
                let outcome = if done.is_ok() { "ok" } else { "error" };
                metrics.reconciles.with_label_values(&[kind, outcome]).inc();
                if done.is_ok() {
                    backoff.succeeded(&key);
                }
                done
            }
        },
        move |object, _, _| Action::requeue(failed.failed(ObjectRef::from_obj(&*object))),
        context,
    );
    run.for_each(|done| async {
        match done {
            Ok(_) => {}
            Err(controller::Error::ReconcilerFailed(error, object)) => {
                tracing::warn!(kind, %object, error = %Chain(&error), "failed; it is tried again");
            }
            // Gone before its turn came; or a watch that failed, which has said so itself.
            Err(error) => tracing::debug!(kind, %error, "the controller goes on"),
        }
    })
    .await;
}
