//! Putting the messages of a worker that has ended back to the heads of their lists.

use petiole_results::redis::Connection;

use super::keys::Keys;
use super::scripts::RESTORE;
use super::{Queue, during, message_of, tag};
use crate::{BrokerError, Worker, message};

/// How many messages one script puts back. The worker's lease was ended for good before, so that it makes no
/// difference whether all go at once.
const BATCH: usize = 64;

/// A held message, by its number and its queue's.
type HeldAs = (u64, usize);

/// Puts back what the worker holds, and forgets the worker. Its lease was ended for good. Says how many went back.
/// Any number of callers may do this at once, and any of them may stop halfway.
pub(super) async fn restore(
    connection: &Connection,
    keys: &Keys,
    worker: &Worker,
) -> Result<usize, BrokerError> {
    let queues = Queue::all(keys, worker);
    let mut ask = redis::pipe();
    for queue in &queues {
        ask.cmd("SMEMBERS").arg(&queue.held);
    }
    let held: Vec<Vec<u64>> = connection.query_all(&ask).await.map_err(during("read what a worker held"))?;
    let numbered = held.into_iter().enumerate();
    let mut held: Vec<HeldAs> = numbered
        .flat_map(|(queue, numbers)| numbers.into_iter().map(move |number| (number, queue)))
        .collect();
    // The last one that is pushed is the first to be served: that must be the one that was taken first.
    held.sort_unstable_by(|one, other| other.cmp(one));

    let mut restored =
        put_back(connection, keys, worker, &queues, held.get(..BATCH).unwrap_or(&held)).await?;
    for batch in held.get(BATCH..).unwrap_or_default().chunks(BATCH) {
        restored += put_back(connection, keys, worker, &queues, batch).await?;
    }
    Ok(restored)
}

async fn put_back(
    connection: &Connection,
    keys: &Keys,
    worker: &Worker,
    queues: &[Queue],
    batch: &[HeldAs],
) -> Result<usize, BrokerError> {
    let prefix = tag::prefix(&worker.incarnation);
    let mut read = redis::cmd("HMGET");
    read.arg(keys.celery().unacked());
    for (number, _) in batch {
        read.arg(format!("{prefix}{number}"));
    }
    let entries: Vec<Option<Vec<u8>>> = if batch.is_empty() {
        Vec::new()
    } else {
        connection.query(&read).await.map_err(during("read what a worker held"))?
    };

    let mut call = RESTORE.call(5 + 2 * queues.len());
    call.arg(keys.leases()).arg(keys.workers());
    call.arg(keys.celery().unacked()).arg(keys.celery().unacked_index());
    call.arg(keys.done(&worker.incarnation));
    for queue in queues {
        call.arg(&queue.held).arg(keys.consumers(&queue.name.name));
    }
    call.arg(&worker.incarnation).arg(prefix);
    for ((number, queue), entry) in batch.iter().zip(entries) {
        let place = &queues[*queue];
        let raw = message_of(entry.unwrap_or_default(), &place.tail);
        let list = keys.celery().list(&place.name.name, message::step(&raw, &place.name.priority_steps));
        call.arg(number).arg(queue + 1).arg(list).arg(&*message::redelivered(&raw));
    }
    connection.run(call).await.map_err(during("put a worker's messages back"))
}
