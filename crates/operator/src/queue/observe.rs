//! observe: the Secret keys that a `TaskQueue` names. Judges nothing.

use petiole_api::TaskQueue;
use petiole_api::conditions::reasons;

use super::Context;
use crate::cluster::ClusterError;
use crate::sampler::QueueKey;
use crate::sampler::sample::Sample;
use crate::secrets::{AGE, AGE_REFUSED, Values};

/// Reads the keys, or takes what was read a short while ago.
pub(super) async fn observe(
    queue: &TaskQueue,
    key: &QueueKey,
    context: &Context,
) -> Result<Values, ClusterError> {
    let results = queue.spec.results.as_ref().map(petiole_api::connection::Results::connection);
    let connections = [Some(queue.spec.broker.connection()), results];
    let keys =
        connections.into_iter().flatten().flat_map(|connection| connection.secret_keys()).cloned().collect();
    let refused = context.sampler.latest(key).is_some_and(|sample| is_refused(&sample));
    let age = if refused { AGE_REFUSED } else { AGE };
    context.secrets.values(&context.cluster, &key.namespace, &keys, age).await
}

/// What was read is refused: it may have been rotated since.
fn is_refused(sample: &Sample) -> bool {
    let problems = [
        sample.broker.as_ref().and_then(|answer| answer.as_ref().err()),
        sample.results.as_ref().and_then(|answer| answer.as_ref().err()),
    ];
    problems.into_iter().flatten().any(|problem| problem.reason == reasons::REFUSED)
}
