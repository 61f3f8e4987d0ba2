//! Starts of tasks that have a limit.
//!
//! ```text
//!   petiole:gates:<pool>             hash         task → when it has started last
//!   petiole:lines:<queue>            set          tasks that have a line
//!   petiole:lines:<queue>…<task>     sorted set   name of a parked message → its place in line
//! ```
//!
//! The messages themselves are parked where those are that wait for their time (`parking.rs`): they are listed, revoked
//! and given back in the same way, by whoever knows nothing of lines.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use petiole_protocol::keys::priority_step;
use redis::Value;
use tokio::sync::Notify;

use super::consumer::RedisConsumer;
use super::parking::suffix;
use super::scripts::START;
use super::{during, milliseconds, tag};
use crate::rates::microseconds;
use crate::{BrokerError, OVERDUE, Rates, SLACK, Start, Turn};

/// How many messages one script lets start or parks.
const BATCH: usize = 128;

/// Where turns follow each other quickly, they are waited for by so much at a time: all that have come are taken at once.
const TOGETHER: Duration = Duration::from_millis(10);

/// When there is something to take from a line, as far as this consumer knows.
#[derive(Debug, Default)]
pub(super) struct NextTurn {
    at: Mutex<Option<Instant>>,
    sooner: Notify,
}

impl NextTurn {
    /// As it was found by a look at all lines.
    pub(super) fn set(&self, at: Option<Instant>) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Something was put into a line.
    fn add(&self, at: Instant) {
        let mut known = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none_or(|known| at < known) {
            *known = Some(at);
            self.sooner.notify_one();
        }
    }

    /// Returns when there is something; never, when nothing is known.
    pub(super) async fn wait(&self) {
        let start = Instant::now();
        loop {
            let sooner = self.sooner.notified();
            let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(at) = at else {
                sooner.await;
                continue;
            };
            let at = at.max(start + TOGETHER);
            tokio::select! {
                () = tokio::time::sleep_until(at.into()) => return,
                () = sooner => {}
            }
        }
    }
}

#[async_trait]
impl Rates for RedisConsumer {
    async fn start(&self, batch: &[Start]) -> Result<Vec<Turn>, BrokerError> {
        let mut turns = Vec::with_capacity(batch.len());
        for part in batch.chunks(BATCH) {
            turns.extend(self.start_part(part).await?);
        }
        Ok(turns)
    }
}

impl RedisConsumer {
    async fn start_part(&self, part: &[Start]) -> Result<Vec<Turn>, BrokerError> {
        let (table, limits) = (self.table(), self.intake.limits());
        let mut turns = vec![Turn::Now; part.len()];
        let mut asked = Vec::with_capacity(part.len());
        let mut call = START.call(4 + 4 * table.queues.len());
        call.arg(self.keys.leases())
            .arg(self.keys.celery().unacked())
            .arg(self.keys.celery().unacked_index())
            .arg(&self.gates);
        for queue in &table.queues {
            call.arg(&queue.held).arg(&queue.parked).arg(&queue.messages).arg(&queue.lines);
        }
        call.arg(&self.worker).arg(&self.tag_prefix);
        call.arg(microseconds(SLACK)).arg(milliseconds(OVERDUE)).arg(table.queues.len());
        for queue in &table.queues {
            call.arg(&queue.tail);
        }
        for (at, Start { tag, task, id, priority }) in part.iter().enumerate() {
            let (queue, sequence) = tag::parts(*tag);
            let (Some(interval), Some(place)) = (limits.get(task), table.queues.get(queue)) else { continue };
            asked.push(at);
            let steps = &place.name.priority_steps;
            let step = priority_step(*priority, steps);
            let rank = steps.iter().filter(|other| **other < step).count();
            call.arg(sequence).arg(queue + 1).arg(task).arg(microseconds(*interval).max(1));
            call.arg(id).arg(suffix(step)).arg(rank);
        }
        if asked.is_empty() {
            return Ok(turns);
        }
        let mut answers = match self.connection.run(call).await.map_err(during("let tasks start"))? {
            Value::Array(answers) => answers.into_iter(),
            Value::Int(_) => return Err(BrokerError::LeaseEnded),
            _ => return Err(BrokerError::LeaseLost),
        };
        if let Some(Value::Int(wait)) = answers.next()
            && let Ok(wait) = u64::try_from(wait)
            && let Some(at) = Instant::now().checked_add(Duration::from_micros(wait))
        {
            self.turn.add(at);
        }
        for (at, answer) in asked.into_iter().zip(answers) {
            turns[at] = match answer {
                Value::Int(1) => Turn::Now,
                Value::Int(0) => Turn::Later,
                _ => Turn::Lost,
            };
            if turns[at] != Turn::Now {
                self.weights.remove(part[at].tag);
            }
        }
        Ok(turns)
    }
}
