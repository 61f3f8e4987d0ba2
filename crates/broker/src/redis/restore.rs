//! Putting the messages of a worker that has ended back to the heads of their lists.

use std::collections::HashSet;

use jiff::Timestamp;
use petiole_results::redis::Connection;
use redis::Value;

use super::keys::Keys;
use super::scripts::RESTORE;
use super::{Queue, attempts, during, message_of, tag, weigh};
use crate::lost::End;
use crate::{BrokerError, Worker, message};

/// How many messages one script puts back, at most. The worker's lease was ended for good before, so that it makes no
/// difference whether all go at once.
const BATCH: usize = 64;

/// A worker that has ended.
struct Ended<'a> {
    worker: &'a Worker,
    queues: Vec<Queue>,
    /// The numbers of the attempts that had begun.
    started: HashSet<u64>,
    how: End,
}

/// A held message, by its number and its queue's.
type HeldAs = (u64, usize);

/// Puts back what the worker holds, and forgets the worker. Its lease was ended for good. Says how many went back.
/// Any number of callers may do this at once, and any of them may stop halfway.
pub(super) async fn restore(
    connection: &Connection,
    keys: &Keys,
    worker: &Worker,
    how: End,
) -> Result<usize, BrokerError> {
    let queues = Queue::all(keys, worker);
    let mut ask = redis::pipe();
    for queue in &queues {
        ask.cmd("SMEMBERS").arg(&queue.held);
    }
    ask.cmd("MGET").arg(keys.started(&worker.incarnation)).arg(keys.begun(&worker.incarnation));
    let (held, started) = read(connection, &ask).await?;
    let started = started.iter().flat_map(|note| attempts::read(note.as_deref())).collect();
    let numbered = held.into_iter().enumerate();
    let mut held: Vec<HeldAs> = numbered
        .flat_map(|(queue, numbers)| numbers.into_iter().map(move |number| (number, queue)))
        .collect();
    // The last one that is pushed is the first to be served: that must be the one that was taken first.
    held.sort_unstable_by(|one, other| other.cmp(one));

    let of = Ended { worker, queues, started, how };
    let prefix = tag::prefix(&worker.incarnation);
    let tags: Vec<_> = held.iter().map(|(number, _)| format!("{prefix}{number}")).collect();
    let (mut held, mut tags) = (held.as_slice(), tags.as_slice());
    let mut restored = 0;
    let batches = weigh::batches(connection, keys, tags, BATCH).await?;
    // A worker that holds nothing is forgotten by a batch of nothing.
    for count in if batches.is_empty() { vec![0] } else { batches } {
        restored += put_back(connection, keys, &of, (&held[..count], &tags[..count])).await?;
        (held, tags) = (&held[count..], &tags[count..]);
    }
    Ok(restored)
}

/// What the worker held, by queue, and what it said of the attempts that had begun.
async fn read(
    connection: &Connection,
    ask: &redis::Pipeline,
) -> Result<(Vec<Vec<u64>>, Vec<Option<String>>), BrokerError> {
    let doing = "read what a worker held";
    let mut answers: Vec<Value> = connection.query_all(ask).await.map_err(during(doing))?;
    let read = || {
        let started = redis::from_redis_value(answers.pop().unwrap_or(Value::Nil))?;
        let held = answers.into_iter().map(redis::from_redis_value).collect::<Result<_, _>>()?;
        Ok::<_, redis::ParsingError>((held, started))
    };
    read().map_err(|source| BrokerError::Refused { doing, source: Box::new(source) })
}

async fn put_back(
    connection: &Connection,
    keys: &Keys,
    Ended { worker, queues, started, how }: &Ended<'_>,
    (batch, tags): (&[HeldAs], &[String]),
) -> Result<usize, BrokerError> {
    let mut read = redis::cmd("HMGET");
    read.arg(keys.celery().unacked()).arg(tags);
    let entries: Vec<Option<Vec<u8>>> = if batch.is_empty() {
        Vec::new()
    } else {
        connection.query(&read).await.map_err(during("read what a worker held"))?
    };

    let now = Timestamp::now();
    let mut call = RESTORE.call(8 + 2 * queues.len());
    call.arg(keys.leases()).arg(keys.workers());
    call.arg(keys.celery().unacked()).arg(keys.celery().unacked_index());
    call.arg(keys.done(&worker.incarnation)).arg(keys.started(&worker.incarnation));
    call.arg(keys.begun(&worker.incarnation)).arg(keys.wish(&worker.incarnation));
    for queue in queues {
        call.arg(&queue.held).arg(keys.consumers(&queue.name.name));
    }
    call.arg(&worker.incarnation).arg(tag::prefix(&worker.incarnation));
    for ((number, queue), entry) in batch.iter().zip(entries) {
        let place = &queues[*queue];
        let raw = message_of(entry.unwrap_or_default(), &place.tail);
        let list = keys.celery().list(&place.name.name, message::step(&raw, &place.name.priority_steps));
        let back = how.put_back(&raw, started.contains(number), worker, now);
        call.arg(number).arg(queue + 1).arg(list).arg(&*back);
    }
    connection.run(call).await.map_err(during("put a worker's messages back"))
}
