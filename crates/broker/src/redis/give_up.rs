//! Giving a queue up: what we have parked of it goes back to Celery's lists.

use petiole_results::redis::Connection;

use super::during;
use super::keys::{Keys, SCHEMA};
use super::lease::known_schema;
use super::scripts::GIVE_UP;
use crate::{BrokerError, QueueName};

/// The key of a queue's parked messages, behind this prefix: for people, who have to look there themselves.
pub fn parked_key(prefix: &str, queue: &str) -> String {
    Keys::new(prefix).parked(queue)
}

/// Puts all parked messages of a queue back, some hundreds at a time. Says how many.
pub(super) async fn give_up(
    connection: &Connection,
    keys: &Keys,
    queue: &QueueName,
) -> Result<usize, BrokerError> {
    let (mut total, mut left) = put_back(connection, keys, queue).await?;
    // No more than there were: a worker that still takes from the queue may park them as fast as they come back.
    let most = total + left;
    while left > 0 && total < most {
        let (returned, now_left) = put_back(connection, keys, queue).await?;
        (total, left) = (total + returned, now_left);
    }
    Ok(total)
}

/// Says how many went back, and how many are left.
async fn put_back(
    connection: &Connection,
    keys: &Keys,
    queue: &QueueName,
) -> Result<(usize, usize), BrokerError> {
    let mut call = GIVE_UP.call(5);
    call.arg(keys.schema()).arg(keys.parked(&queue.name)).arg(keys.parked_messages(&queue.name));
    call.arg(keys.celery().list(&queue.name, 0)).arg(keys.lines(&queue.name));
    call.arg(SCHEMA);
    let (schema, returned, left): (u64, usize, usize) =
        connection.run(call).await.map_err(during("return parked messages"))?;
    known_schema(schema)?;
    Ok((returned, left))
}
