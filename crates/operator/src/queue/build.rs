//! build: a validated `TaskQueue` → what the sampler is to ask. Pure.

use super::validate::Validated;
use crate::sampler::Watch;

/// What is asked; nothing, when the broker has no address.
pub(super) fn build(queue: &Validated) -> Option<Watch> {
    let Validated { queue, broker, results, hazards: _ } = queue;
    let broker = broker.as_ref().ok()?.clone();
    let results = results.as_ref().and_then(|results| results.as_ref().ok()).cloned();
    Some(Watch { broker, queue: queue.clone(), results })
}
