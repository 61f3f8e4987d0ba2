//! Settling messages: one script for a batch, with the records when the results are on the same server.

use std::collections::HashMap;
use std::sync::PoisonError;

use jiff::Timestamp;
use petiole_protocol::keys::SEPARATOR;
use petiole_results::redis::{Call, fitting, seconds};

use redis::Value;

use super::consumer::RedisConsumer;
use super::scripts::SETTLE;
use super::{during, message_of, tag};
use crate::{BrokerError, Disposition, Settled, Settlement, Tag, message};

impl RedisConsumer {
    pub(super) async fn settle_all(&self, batch: &[Settlement]) -> Result<Vec<Settled>, BrokerError> {
        let mut settled = Vec::with_capacity(batch.len());
        while settled.len() < batch.len() {
            let rest = &batch[settled.len()..];
            let size = |settlement: &Settlement| {
                settlement.record.as_ref().map_or(0, |record| record.document.len())
            };
            let part = &rest[..fitting(rest.iter().map(size))];
            match self.settle_part(part).await {
                Ok(answers) => settled.extend(self.recall(part, &answers)),
                Err(error) => {
                    self.remember(batch, &settled);
                    return Err(error);
                }
            }
        }
        Ok(settled)
    }

    async fn settle_part(&self, part: &[Settlement]) -> Result<Vec<bool>, BrokerError> {
        let messages = self.messages(part).await?;
        let results_db = self.results.as_ref().map_or(self.connection.endpoint().db(), |results| results.db);
        let mut call = SETTLE.call(3 + self.queues.len());
        call.arg(self.keys.leases())
            .arg(self.keys.celery().unacked())
            .arg(self.keys.celery().unacked_index());
        for queue in &self.queues {
            call.arg(&queue.held);
        }
        call.arg(&self.worker).arg(&self.tag_prefix);
        call.arg(results_db).arg(self.connection.endpoint().db()).arg(part.len());
        for settlement in part {
            self.put(&mut call, settlement, messages.get(&settlement.tag).map(Vec::as_slice));
        }
        match self.connection.run(call).await.map_err(during("settle messages"))? {
            Value::Array(answers) => Ok(answers.into_iter().map(|answer| answer == Value::Int(1)).collect()),
            Value::Int(_) => Err(BrokerError::LeaseEnded),
            _ => Err(BrokerError::LeaseLost),
        }
    }

    /// Adds one settlement to the call. A message that was not found is held no longer: that is found out by the
    /// script, whatever it is told to do with it.
    fn put(&self, call: &mut Call<'_>, settlement: &Settlement, raw: Option<&[u8]>) {
        let (queue, sequence) = tag::parts(settlement.tag);
        let fate = match (&settlement.disposition, raw) {
            (Disposition::Keep, _) => "keep",
            (Disposition::Requeue, Some(_)) => "head",
            (Disposition::DeadLetter(_), Some(_)) => "tail",
            (Disposition::Park(_), Some(_)) => "park",
            (_, _) => "ack",
        };
        call.arg(sequence).arg(queue + 1).arg(fate);
        match (&settlement.record, &self.results) {
            (Some(record), Some(results)) => {
                call.arg(seconds(record.expires));
                call.arg(results.keys.task(&record.task_id)).arg(&record.document);
            }
            _ => {
                call.arg("");
            }
        }
        let (Some(queue), Some(raw)) = (self.queues.get(queue), raw) else { return };
        let celery = self.keys.celery();
        let step = || message::step(raw, &queue.name.priority_steps);
        match &settlement.disposition {
            Disposition::Keep | Disposition::Ack => {}
            Disposition::Requeue => {
                call.arg(celery.list(&queue.name.name, step())).arg(&*message::redelivered(raw));
            }
            Disposition::DeadLetter(reason) => {
                let dead = message::dead_letter(raw, reason, &queue.name.name, Timestamp::now());
                call.arg(celery.list(&queue.name.dead_letter, 0)).arg(dead);
            }
            Disposition::Park(until) => {
                call.arg(&queue.parked).arg(until.as_millisecond());
                call.arg(parked(&format!("{}{sequence}", self.tag_prefix), step(), raw));
            }
        }
    }

    /// The messages that go somewhere, read back from the server: the worker has only what it needs to run them.
    async fn messages(&self, part: &[Settlement]) -> Result<HashMap<Tag, Vec<u8>>, BrokerError> {
        let moved = |settlement: &&Settlement| {
            !matches!(settlement.disposition, Disposition::Keep | Disposition::Ack)
        };
        let tags: Vec<_> = part.iter().filter(moved).map(|settlement| settlement.tag).collect();
        self.held_messages(&tags).await
    }

    /// The messages of these tags, as far as they are still held.
    pub(super) async fn held_messages(&self, tags: &[Tag]) -> Result<HashMap<Tag, Vec<u8>>, BrokerError> {
        if tags.is_empty() {
            return Ok(HashMap::new());
        }
        let mut read = redis::cmd("HMGET");
        read.arg(self.keys.celery().unacked());
        for tag in tags {
            read.arg(format!("{}{}", self.tag_prefix, tag::parts(*tag).1));
        }
        let entries: Vec<Option<Vec<u8>>> =
            self.connection.query(&read).await.map_err(during("read held messages"))?;
        let found = tags.iter().zip(entries).filter_map(|(tag, entry)| {
            let queue = self.queues.get(tag::parts(*tag).0)?;
            Some((*tag, message_of(entry?, &queue.tail)))
        });
        Ok(found.collect())
    }

    /// Notes what may have been settled although the caller learns of an error.
    fn remember(&self, batch: &[Settlement], settled: &[Settled]) {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, settlement) in batch.iter().enumerate() {
            if settled.get(at) != Some(&Settled::Lost) {
                unanswered.insert(settlement.tag, settlement.disposition.clone());
            }
        }
    }

    /// Reads the script's answers. A message that is not held any more was settled by an earlier call whose answer
    /// was lost, if there was one that wanted the same.
    fn recall(&self, part: &[Settlement], answers: &[bool]) -> Vec<Settled> {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |(settlement, done): (&Settlement, &bool)| {
            let before = unanswered.remove(&settlement.tag);
            if *done || before.as_ref() == Some(&settlement.disposition) {
                Settled::Done
            } else {
                Settled::Lost
            }
        };
        part.iter().zip(answers).map(read).collect()
    }
}

/// A member of the parked messages: `due.lua` takes it apart. The tag keeps two messages of the same text apart.
fn parked(tag: &str, step: u8, raw: &[u8]) -> Vec<u8> {
    let suffix = if step == 0 { String::new() } else { format!("{SEPARATOR}{step}") };
    [tag.as_bytes(), b"\n", suffix.as_bytes(), b"\n", raw].concat()
}
