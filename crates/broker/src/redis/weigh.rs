//! How much of what is held is moved at a time. A script that moves messages holds everybody else up, and an answer that
//! carries them stands in Redis' memory until it is read: so both are bounded by bytes, and large messages go few at a
//! time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use petiole_results::redis::{Connection, fitting};

use super::during;
use super::keys::Keys;
use crate::{BrokerError, Disposition, Settlement, Tag};

/// How many lengths are asked for at once.
const ASKED: usize = 500;

/// What is shorter need not be known: as many as one script moves are no burden.
const LARGE: usize = 16 << 10;

/// What the large ones weigh of the messages that a worker holds.
#[derive(Debug, Default)]
pub(super) struct Weights(Mutex<HashMap<Tag, usize>>);

impl Weights {
    /// This message is held.
    pub(super) fn add(&self, tag: Tag, raw: &[u8]) {
        if raw.len() > LARGE {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tag, raw.len());
        }
    }

    /// It is held no longer.
    pub(super) fn remove(&self, tag: Tag) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&tag);
    }

    /// How many bytes a settlement moves, as far as they matter.
    pub(super) fn moved(&self, settlement: &Settlement) -> usize {
        if !moves(settlement) {
            return 0;
        }
        let weights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        weights.get(&settlement.tag).copied().unwrap_or_default()
    }
}

/// Whether its message goes somewhere.
pub(super) fn moves(settlement: &Settlement) -> bool {
    !matches!(settlement.disposition, Disposition::Keep | Disposition::Ack | Disposition::Acked)
}

/// Cuts these tags of `unacked`, in their order, into batches of at most `most`: the length of each.
pub(super) async fn batches(
    connection: &Connection,
    keys: &Keys,
    tags: &[String],
    most: usize,
) -> Result<Vec<usize>, BrokerError> {
    let mut lengths = Vec::with_capacity(tags.len());
    for some in tags.chunks(ASKED) {
        let mut ask = redis::pipe();
        for tag in some {
            ask.cmd("HSTRLEN").arg(keys.celery().unacked()).arg(tag);
        }
        let of_these: Vec<usize> = connection.query_all(&ask).await.map_err(during("weigh held messages"))?;
        lengths.extend(of_these);
    }
    Ok(cut(&lengths, most))
}

/// The lengths of batches that are as long as they may be.
fn cut(mut lengths: &[usize], most: usize) -> Vec<usize> {
    let mut batches = Vec::new();
    while !lengths.is_empty() {
        let count = fitting(lengths.iter().copied().take(most));
        batches.push(count);
        lengths = &lengths[count..];
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_before_it_has_too_many_messages_or_too_many_bytes() {
        const LARGEST: usize = 512 << 20;
        assert_eq!(cut(&[], 3), Vec::<usize>::new());
        assert_eq!(cut(&[1; 7], 3), [3, 3, 1]);
        assert_eq!(cut(&[1, LARGEST, LARGEST, 1, 1], 3), [1, 1, 1, 2]);
    }

    #[test]
    fn only_large_messages_that_go_somewhere_weigh() {
        let weights = Weights::default();
        weights.add(1, &vec![0; LARGE]);
        weights.add(2, &vec![0; LARGE + 1]);
        let moved = |tag, disposition| weights.moved(&Settlement::new(tag, disposition));
        assert_eq!(moved(1, Disposition::Requeue), 0);
        assert_eq!(moved(2, Disposition::Requeue), LARGE + 1);
        assert_eq!(moved(2, Disposition::Ack), 0);
        weights.remove(2);
        assert_eq!(moved(2, Disposition::Requeue), 0);
    }
}
