//! Taking messages.

use petiole_protocol::envelope::Envelope;
use redis::Value;

use super::consumer::RedisConsumer;
use super::scripts::RECEIVE;
use super::{during, tag};
use crate::{BrokerError, Delivery};

/// The most that one call takes: a few milliseconds of Redis' time, for which nobody else is served. The script
/// hands twice as many values to one command, of which Lua allows some thousands.
const MOST: usize = 256;

impl RedisConsumer {
    pub(super) async fn take(&self, want: usize) -> Result<Vec<Delivery>, BrokerError> {
        let want = want.min(MOST);
        if want == 0 {
            return Ok(Vec::new());
        }
        let taking = self.under_way.begin(want);
        let mut call = RECEIVE.call(3 + 4 * self.queues.len() + self.lists.len());
        call.arg(self.keys.leases())
            .arg(self.keys.celery().unacked())
            .arg(self.keys.celery().unacked_index());
        for queue in &self.queues {
            call.arg(&queue.held).arg(&queue.parked).arg(&queue.messages).arg(&queue.list);
        }
        for (list, _) in &self.lists {
            call.arg(list);
        }
        call.arg(&self.worker).arg(&self.tag_prefix).arg(want).arg(taking.first()).arg(self.queues.len());
        for queue in &self.queues {
            call.arg(&queue.tail);
        }
        for (_, queue) in &self.lists {
            call.arg(queue + 1);
        }
        match self.connection.run(call).await.map_err(during("receive messages"))? {
            Value::Array(taken) => Ok(deliveries(taken, taking.first())),
            Value::Int(_) => Err(BrokerError::LeaseEnded),
            _ => Err(BrokerError::LeaseLost),
        }
    }
}

fn deliveries(taken: Vec<Value>, first: u64) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for list in taken {
        let Value::Array(list) = list else { continue };
        let mut list = list.into_iter();
        let (Some(Value::Int(queue)), Some(Value::Array(messages))) = (list.next(), list.next()) else {
            continue;
        };
        let queue = usize::try_from(queue - 1).unwrap_or_default();
        for message in messages {
            let Value::BulkString(raw) = message else { continue };
            let sequence = first + deliveries.len() as u64;
            let envelope = Envelope::from_redis(&raw);
            deliveries.push(Delivery { tag: tag::tag(queue, sequence), queue, envelope });
        }
    }
    deliveries
}
