//! Settling messages: one script for a batch, with results and chords when those are on the same server.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::PoisonError;

use jiff::Timestamp;
use petiole_results::redis::{Call, fitting, seconds};

use redis::Value;

use super::consumer::RedisConsumer;
use super::effects::{Routes, mark, plain_record};
use super::parking::Entry;
use super::scripts::{SETTLE, SETTLE_EFFECTS};
use super::table::Table;
use super::weigh::moves;
use super::{Queue, during, message_of, tag};
use crate::dead_letter::bury;
use crate::{BrokerError, Disposition, Refusal, Settled, Settlement, Tag, message};

/// The most effects that one script writes beside what becomes of the messages: each costs Redis some microseconds,
/// for which nobody else is served. One settlement is never cut.
const MAX_EFFECTS: usize = 512;

/// A settlement that may be written, and where its messages go.
struct Writable<'a> {
    settlement: &'a Settlement,
    routes: Routes<'a>,
}

impl RedisConsumer {
    pub(super) async fn settle_all(&self, batch: &[Settlement]) -> Result<Vec<Settled>, BrokerError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        if self.fitting_effects(batch) < batch.len() {
            return self.settle_apart(batch).await;
        }
        self.settle_parts(batch, std::slice::from_ref(&(0..batch.len()))).await
    }

    /// Settles a batch by more than one script. What is requeued comes last, and of that the last part first: what is
    /// pushed last is served first.
    async fn settle_apart(&self, batch: &[Settlement]) -> Result<Vec<Settled>, BrokerError> {
        let (back, gone): (Vec<_>, Vec<_>) =
            (0..batch.len()).partition(|at| batch[*at].disposition == Disposition::Requeue);
        let places = [gone.as_slice(), &back].concat();
        let batch: Vec<_> = places.iter().map(|at| batch[*at].clone()).collect();
        let mut parts = self.parts(&batch, 0..gone.len());
        parts.extend(self.parts(&batch, gone.len()..batch.len()).into_iter().rev());
        let settled = self.settle_parts(&batch, &parts).await?;
        let mut answers: Vec<_> = places.into_iter().zip(settled).collect();
        answers.sort_unstable_by_key(|(at, _)| *at);
        Ok(answers.into_iter().map(|(_, settled)| settled).collect())
    }

    /// Cuts this range of a batch into what one script settles.
    fn parts(&self, batch: &[Settlement], mut range: Range<usize>) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        while !range.is_empty() {
            let end = range.start + self.fitting_effects(&batch[range.clone()]);
            parts.push(range.start..end);
            range.start = end;
        }
        parts
    }

    /// Settles the parts of a batch in their order. The answers stand in the order of the batch.
    async fn settle_parts(
        &self,
        batch: &[Settlement],
        parts: &[Range<usize>],
    ) -> Result<Vec<Settled>, BrokerError> {
        let mut settled = vec![None; batch.len()];
        for range in parts {
            let part = &batch[range.clone()];
            match self.settle_part(part).await {
                Ok(answers) => {
                    for (at, answer) in range.clone().zip(self.recall(part, answers)) {
                        settled[at] = Some(answer);
                    }
                }
                Err(error) => {
                    self.remember(batch, &settled);
                    return Err(error);
                }
            }
        }
        // From now on the caller knows: nothing of this batch is asked for again.
        let marks = batch.iter().filter_map(mark);
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).extend(marks);
        // A script answers for each.
        Ok(settled.into_iter().map(|settled| settled.unwrap_or(Settled::Lost)).collect())
    }

    async fn settle_part(&self, part: &[Settlement]) -> Result<Vec<Settled>, BrokerError> {
        let mut refused = Vec::new();
        let mut writable = Vec::with_capacity(part.len());
        for (at, settlement) in part.iter().enumerate() {
            let routes = match settlement.sends.as_slice() {
                [] => Routes::new(),
                sends => match self.routes(sends).await? {
                    Ok(routes) => routes,
                    Err(refusal) => {
                        refused.push((at, refusal));
                        continue;
                    }
                },
            };
            writable.push(Writable { settlement, routes });
        }
        let mut answers = self.write(&writable).await?;
        // In their order, so that each is put where it belongs.
        for (at, refusal) in refused {
            answers.insert(at, Settled::Refused(refusal));
        }
        Ok(answers)
    }

    async fn write(&self, part: &[Writable<'_>]) -> Result<Vec<Settled>, BrokerError> {
        if part.is_empty() {
            return Ok(Vec::new());
        }
        let messages = self.messages(part).await?;
        let table = self.table();
        let results_db = self.results.as_ref().map_or(self.connection.endpoint().db(), |results| results.db);
        let forgotten = std::mem::take(&mut *self.answered.lock().unwrap_or_else(PoisonError::into_inner));
        let effects = !forgotten.is_empty()
            || part.iter().any(|writable| self.has_effects(writable.settlement, &writable.routes));
        let mut call = if effects { &SETTLE_EFFECTS } else { &SETTLE }.call(3 + table.queues.len());
        call.arg(self.keys.leases())
            .arg(self.keys.celery().unacked())
            .arg(self.keys.celery().unacked_index());
        for queue in &table.queues {
            call.arg(&queue.held);
        }
        call.arg(&self.worker).arg(&self.tag_prefix);
        call.arg(results_db).arg(self.connection.endpoint().db()).arg(part.len());
        for Writable { settlement, .. } in part {
            self.put(&mut call, &table, settlement, messages.get(&settlement.tag).map(Vec::as_slice));
        }
        if effects {
            for (at, Writable { settlement, routes }) in part.iter().enumerate() {
                self.put_effects(&mut call, at + 1, settlement, routes);
            }
            for mark in &forgotten {
                call.arg(0).arg("forget").arg(self.keys.done(&self.worker)).arg(mark);
            }
        }
        let answer = self.connection.run(call).await.map_err(during("settle messages"));
        let Ok(Value::Array(answers)) = answer else {
            self.answered.lock().unwrap_or_else(PoisonError::into_inner).extend(forgotten);
            return Err(match answer? {
                Value::Int(_) => BrokerError::LeaseEnded,
                _ => BrokerError::LeaseLost,
            });
        };
        let settled = part.iter().map(|writable| writable.settlement).zip(answers);
        Ok(settled.map(|(settlement, answer)| read_answer(settlement, answer)).collect())
    }

    /// Adds one settlement to the call. A message that was not found is held no longer: that is found out by the
    /// script, whatever it is told to do with it.
    fn put(&self, call: &mut Call<'_>, table: &Table, settlement: &Settlement, raw: Option<&[u8]>) {
        let (queue, sequence) = tag::parts(settlement.tag);
        let fate = table.queues.get(queue).map_or(Fate::Ack, |queue| self.fate(settlement, queue, raw));
        call.arg(sequence).arg(queue + 1).arg(fate.name());
        match (plain_record(settlement), &self.results) {
            (Some(record), Some(results)) => {
                call.arg(seconds(record.expires));
                call.arg(results.keys.task(&record.task_id)).arg(&record.document);
            }
            _ => {
                call.arg("");
            }
        }
        match fate {
            Fate::Keep | Fate::Ack => {}
            Fate::Head(list, message) => {
                call.arg(list).arg(&*message);
            }
            Fate::Tail(list, message) => {
                call.arg(list).arg(message);
            }
            Fate::Park(queue, due, entry) => {
                call.arg(&queue.parked).arg(&queue.messages).arg(due).arg(entry.id).arg(entry.text);
            }
        }
    }

    /// What becomes of the message. One that was not found is held no longer.
    fn fate<'a>(&self, settlement: &Settlement, queue: &'a Queue, raw: Option<&'a [u8]>) -> Fate<'a> {
        if matches!(settlement.disposition, Disposition::Keep | Disposition::Acked) {
            return Fate::Keep;
        }
        let Some(raw) = raw else { return Fate::Ack };
        let celery = self.keys.celery();
        let step = || message::step(raw, &queue.name.priority_steps);
        let dead = |reason: &str| {
            let dead = bury(raw, reason, &queue.name.name, step(), Timestamp::now());
            Fate::Tail(celery.list(&queue.name.dead_letter, 0), dead)
        };
        let park =
            |until: Timestamp, raw: &[u8]| Fate::Park(queue, message::due(until), Entry::of(step(), raw));
        match &settlement.disposition {
            Disposition::Keep | Disposition::Acked => Fate::Keep,
            Disposition::Ack => Fate::Ack,
            Disposition::Requeue => {
                Fate::Head(celery.list(&queue.name.name, step()), message::redelivered(raw))
            }
            Disposition::DeadLetter(reason) => dead(reason),
            Disposition::Park(until) => park(*until, raw),
            Disposition::Retry { until, retries, body } => {
                match message::retry(raw, *until, *retries, body.as_deref()) {
                    Ok(again) => park(*until, &again),
                    Err(error) => dead(&message::not_retried(&error)),
                }
            }
        }
    }

    /// The messages that go somewhere, read back from the server: the worker has only what it needs to run them.
    async fn messages(&self, part: &[Writable<'_>]) -> Result<HashMap<Tag, Vec<u8>>, BrokerError> {
        let settlements = part.iter().map(|writable| writable.settlement);
        let moved = settlements.filter(|settlement| moves(settlement));
        let tags: Vec<_> = moved.map(|settlement| settlement.tag).collect();
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
        let table = self.table();
        let found = tags.iter().zip(entries).filter_map(|(tag, entry)| {
            let queue = table.queues.get(tag::parts(*tag).0)?;
            Some((*tag, message_of(entry?, &queue.tail)))
        });
        Ok(found.collect())
    }

    /// How many of these settlements go into one script.
    fn fitting_effects(&self, rest: &[Settlement]) -> usize {
        let bytes = |settlement: &Settlement| {
            let records = settlement.records.iter().map(|record| record.document.len());
            let sends = settlement.sends.iter().map(|send| send.message.len());
            let part = settlement.chord.as_ref().map_or(0, |part| part.member.len());
            records.sum::<usize>() + sends.sum::<usize>() + part + self.weights.moved(settlement)
        };
        let mut effects = 0;
        let fits = |settlement: &&Settlement| {
            effects += settlement.starts.len() + settlement.sends.len();
            effects += settlement.records.len().saturating_sub(1) + usize::from(settlement.chord.is_some());
            effects <= MAX_EFFECTS
        };
        let few = rest.iter().take_while(fits).count().max(1);
        fitting(rest[..few].iter().map(bytes))
    }

    /// Notes what may have been settled although the caller learns of an error.
    fn remember(&self, batch: &[Settlement], settled: &[Option<Settled>]) {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        for (settlement, settled) in batch.iter().zip(settled) {
            if !matches!(settled, Some(Settled::Lost)) {
                unanswered.insert(settlement.tag, settlement.disposition.clone());
            }
        }
    }

    /// Takes the answers. A message that is not held any more was settled by an earlier call whose answer was lost, if
    /// there was one that wanted the same.
    fn recall(&self, part: &[Settlement], answers: Vec<Settled>) -> Vec<Settled> {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |(settlement, settled): (&Settlement, Settled)| {
            let before = unanswered.remove(&settlement.tag);
            let same = before.as_ref() == Some(&settlement.disposition);
            if settled == Settled::Lost || !matches!(settlement.disposition, Disposition::Keep) {
                self.weights.remove(settlement.tag);
            }
            if settled == Settled::Lost && same { Settled::Done } else { settled }
        };
        part.iter().zip(answers).map(read).collect()
    }
}

/// What becomes of a message, as the script takes it.
enum Fate<'a> {
    Keep,
    Ack,
    /// List, message.
    Head(String, Cow<'a, [u8]>),
    /// List, message.
    Tail(String, Vec<u8>),
    /// Queue, when it is due, entry.
    Park(&'a Queue, i64, Entry),
}

impl Fate<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Ack => "ack",
            Self::Head(..) => "head",
            Self::Tail(..) => "tail",
            Self::Park(..) => "park",
        }
    }
}

fn read_answer(settlement: &Settlement, answer: Value) -> Settled {
    match (answer, &settlement.chord) {
        (Value::Int(1), _) => Settled::Done,
        (Value::Int(2), Some(part)) => Settled::ChordComplete(part.claimed()),
        (Value::Int(3), _) => Settled::ClaimLost,
        (Value::BulkString(key), _) => {
            Settled::Refused(Refusal::WrongKey(String::from_utf8_lossy(&key).into_owned()))
        }
        _ => Settled::Lost,
    }
}
