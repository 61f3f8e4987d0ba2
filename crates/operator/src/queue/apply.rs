//! apply: what is to be asked goes to the sampler, and what it saw last comes back.

use crate::sampler::sample::Sample;
use crate::sampler::{QueueKey, Sampler, Watch};

/// What was seen of a queue that the sampler knows as it is wanted now.
#[derive(Debug)]
pub(super) struct Applied {
    /// What was seen last.
    pub(super) sample: Sample,
}

/// One that is being deleted and cannot be asked about any more is asked about as before: its Secret may go first, and
/// messages may still have to be put back.
pub(super) fn apply(sampler: &Sampler, key: &QueueKey, watch: Option<Watch>, leaves: bool) -> Applied {
    match watch {
        Some(watch) => sampler.watch(key.clone(), watch),
        None if leaves => {}
        None => sampler.forget(key),
    }
    Applied { sample: sampler.latest(key).unwrap_or_default() }
}
