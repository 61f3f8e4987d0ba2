//! The marks by which a `ReplicaSet` knows which pods are to go. Pure.
//!
//! It chooses by itself: those that are not ready, then those with the lowest cost, which stands in an annotation. Only pods
//! that are to go are marked, just before there are to be fewer: a mark that was set earlier would be of another time.

use super::choice::Candidate;

/// What the annotation of a pod is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) struct Mark {
    /// The pod.
    pub(in crate::pool) pod: String,
    /// Whether it is to go before others; otherwise a mark of an earlier time is taken away.
    pub(in crate::pool) goes: bool,
}

/// The marks that are missing or of an earlier time. A mark that the user has set is left alone.
pub(super) fn marks(candidates: &[Candidate], goes: impl Fn(&str) -> bool) -> Vec<Mark> {
    let differs = |candidate: &Candidate| {
        let goes = goes(&candidate.name);
        (goes != candidate.marked).then(|| Mark { pod: candidate.name.clone(), goes })
    };
    candidates.iter().filter_map(differs).collect()
}
