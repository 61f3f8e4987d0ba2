//! Tags: what a delivery is called, here and on the server.
//!
//! ```text
//!   here        queue (16 bits) | sequence number (48 bits)
//!   on Redis    petiole:<worker>:<sequence number>
//! ```
//!
//! The queue is part of the number so that no table is needed to find the held set that a tag stands in.

use super::keys::TAG_PREFIX;
use crate::Tag;

const SEQUENCE_BITS: u32 = 48;
const SEQUENCE: u64 = (1 << SEQUENCE_BITS) - 1;

/// The tag of this sequence number, from the worker's queue of this index.
pub(super) fn tag(queue: usize, sequence: u64) -> Tag {
    ((queue as u64) << SEQUENCE_BITS) | (sequence & SEQUENCE)
}

/// The index of the worker's queue, and the sequence number.
pub(super) fn parts(tag: Tag) -> (usize, u64) {
    (usize::try_from(tag >> SEQUENCE_BITS).unwrap_or(usize::MAX), tag & SEQUENCE)
}

/// What stands before the sequence number in a worker's tags on Redis.
pub(super) fn prefix(worker: &str) -> String {
    format!("{TAG_PREFIX}{worker}:")
}

/// The worker whose tag this is, if it is one of ours.
pub(super) fn worker_of(tag: &str) -> Option<&str> {
    tag.strip_prefix(TAG_PREFIX)?.rsplit_once(':').map(|(worker, _)| worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_says_its_queue_and_its_number() {
        assert_eq!(parts(tag(3, 12_345)), (3, 12_345));
        assert_ne!(tag(0, 7), tag(1, 7));
    }

    #[test]
    fn a_tag_of_ours_says_its_worker() {
        assert_eq!(worker_of(&format!("{}42", prefix("pod-1.a"))), Some("pod-1.a"));
        assert_eq!(worker_of("e151581d-d695-4dec-ba4b-eb0a9f7a57c5"), None);
    }
}
