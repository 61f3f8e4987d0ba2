//! Parked messages on the broker in memory.

use async_trait::async_trait;
use jiff::Timestamp;
use petiole_protocol::envelope::Envelope;

use super::worker::{MemoryWorker, delivery};
use crate::{BrokerError, Delivery, MOST_LISTED, Parked, Parking};

#[async_trait]
impl Parking for MemoryWorker {
    async fn parked(&self, queue: usize, offset: usize, limit: usize) -> Result<Vec<Parked>, BrokerError> {
        let worker = self.worker();
        let Some(queue) = worker.queues.get(queue) else { return Ok(Vec::new()) };
        self.broker.change("list parked messages", |state, _| {
            let page = state.parked(&queue.name).skip(offset).take(limit.min(MOST_LISTED));
            let read = |(due, raw): (i64, &[u8])| Parked {
                due: Timestamp::from_millisecond(due).unwrap_or(Timestamp::MAX),
                envelope: Envelope::from_redis(raw),
            };
            page.map(read).collect()
        })
    }

    async fn unpark(&self, ids: &[String]) -> Result<Vec<Delivery>, BrokerError> {
        let tags = self.tags(ids.len());
        let taken = self
            .broker
            .change("take parked messages", |state, now| state.unpark(&self.worker(), ids, tags, now))??;
        Ok(taken.into_iter().map(delivery).collect())
    }
}
