//! Taking up messages whose delivery was cut off: the server says that we hold them, and nobody here knows them.

use std::collections::HashSet;
use std::sync::PoisonError;

use petiole_protocol::envelope::Envelope;

use super::consumer::RedisConsumer;
use super::{during, tag, weigh};
use crate::{BrokerError, Delivery, Disposition, Settlement, Tag};

/// The most that one call takes up. What is left is found by the next.
const MOST: usize = 64;

impl RedisConsumer {
    pub(super) async fn take_up(
        &self,
        knows: &(dyn Fn(Tag) -> bool + Sync),
    ) -> Result<Vec<Delivery>, BrokerError> {
        // Looked up before the server is asked: a call that begins or ends meanwhile is left to the next time.
        let under_way = self.under_way.now();
        let mut ask = redis::pipe();
        ask.cmd("ZSCORE").arg(self.keys.leases()).arg(&self.worker);
        for queue in &self.table().queues {
            ask.cmd("SMEMBERS").arg(&queue.held);
        }
        let (lease, held) = self.ask_held(&ask).await?;
        if lease.is_none_or(|ends| ends < 0.0) {
            return Err(BrokerError::LeaseLost);
        }
        let unknown: HashSet<Tag> = held
            .iter()
            .enumerate()
            .flat_map(|(queue, held)| held.iter().map(move |sequence| (queue, *sequence)))
            .filter(|(_, sequence)| !under_way.iter().any(|numbers| numbers.contains(sequence)))
            .map(|(queue, sequence)| tag::tag(queue, sequence))
            .filter(|tag| !knows(*tag))
            .collect();
        let mut stray: Vec<Tag> = {
            let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
            let stray = suspects.intersection(&unknown).copied().collect();
            *suspects = unknown;
            stray
        };
        stray.sort_unstable();
        stray.truncate(MOST);
        let names: Vec<_> =
            stray.iter().map(|tag| format!("{}{}", self.tag_prefix, tag::parts(*tag).1)).collect();
        let batches = weigh::batches(&self.connection, &self.keys, &names, MOST).await?;
        stray.truncate(batches.first().copied().unwrap_or_default());
        {
            let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
            suspects.retain(|tag| !stray.contains(tag));
        }
        let mut messages = self.held_messages(&stray).await?;
        self.forget(stray.iter().filter(|tag| !messages.contains_key(tag))).await?;
        let delivered = stray.into_iter().filter_map(|tag| {
            let raw = messages.remove(&tag)?;
            self.weights.add(tag, &raw);
            let envelope = Envelope::from_redis(&raw);
            // A start that may have been counted is asked for again: too few are better than too many.
            Some(Delivery { tag, queue: tag::parts(tag).0, counted: false, envelope })
        });
        Ok(delivered.collect())
    }

    /// Messages that a Celery worker has restored are no longer held: settling them finds that out, and clears up.
    async fn forget(&self, gone: impl Iterator<Item = &Tag>) -> Result<(), BrokerError> {
        let settle = |tag: &Tag| Settlement::new(*tag, Disposition::Ack);
        self.settle_all(&gone.map(settle).collect::<Vec<_>>()).await.map(drop)
    }

    async fn ask_held(&self, ask: &redis::Pipeline) -> Result<(Option<f64>, Vec<Vec<u64>>), BrokerError> {
        let answers: Vec<redis::Value> =
            self.connection.query_all(ask).await.map_err(during("compare held messages"))?;
        let read = || {
            let mut answers = answers.into_iter();
            let lease = redis::from_redis_value(answers.next().unwrap_or(redis::Value::Nil))?;
            let held = answers.map(redis::from_redis_value).collect::<Result<_, _>>()?;
            Ok::<_, redis::ParsingError>((lease, held))
        };
        read().map_err(|source| BrokerError::Refused {
            doing: "compare held messages",
            source: Box::new(source),
        })
    }
}
