//! How much of `unacked` is moved at a time. A script that moves messages holds everybody else up, and an answer that
//! carries them stands in Redis' memory until it is read: so both are bounded by bytes, and large messages go few at a
//! time.

use petiole_results::redis::Connection;

use super::during;
use super::keys::Keys;
use crate::BrokerError;

/// So many bytes are enough for one call.
const BYTES: usize = 4 << 20;

/// Cuts these tags, in their order, into batches of at most `most`: the length of each.
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

/// How many lengths are asked for at once.
const ASKED: usize = 500;

/// The lengths of batches that are as long as they may be, with one message at least.
fn cut(lengths: &[usize], most: usize) -> Vec<usize> {
    let (mut batches, mut count, mut bytes) = (Vec::new(), 0, 0_usize);
    for length in lengths {
        if count > 0 && (count >= most || bytes.saturating_add(*length) > BYTES) {
            batches.push(count);
            (count, bytes) = (0, 0);
        }
        (count, bytes) = (count + 1, bytes.saturating_add(*length));
    }
    if count > 0 {
        batches.push(count);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_before_it_has_too_many_messages_or_too_many_bytes() {
        assert_eq!(cut(&[], 3), Vec::<usize>::new());
        assert_eq!(cut(&[1; 7], 3), [3, 3, 1]);
        assert_eq!(cut(&[BYTES / 2; 5], 3), [2, 2, 1]);
        assert_eq!(cut(&[1, BYTES * 9, usize::MAX, 1, 1], 3), [1, 1, 1, 2]);
    }
}
