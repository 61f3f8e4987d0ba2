//! Taking messages.

use std::time::{Duration, Instant};

use petiole_protocol::envelope::Envelope;
use redis::Value;

use super::consumer::RedisConsumer;
use super::scripts::RECEIVE;
use super::{Queue, attempts, during, tag};
use crate::rates::microseconds;
use crate::shares::Plan;
use crate::{Begun, BrokerError, Delivery, SLACK};

/// The most that one call takes: a few milliseconds of Redis' time, for which nobody else is served. The script
/// hands twice as many values to one command, of which Lua allows some thousands.
const MOST: usize = 256;

impl RedisConsumer {
    pub(super) async fn take(&self, want: usize, begun: &Begun) -> Result<Vec<Delivery>, BrokerError> {
        let want = want.min(MOST);
        if want == 0 {
            return Ok(Vec::new());
        }
        let table = self.follow().await?;
        let plan = self.intake.plan(want, table.queues.len());
        let queues: Vec<_> = plan.order.iter().filter_map(|index| table.queues.get(*index)).collect();
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let (lists, limits) = (in_order(&queues, plan.quotas.is_none()), self.intake.limits());
        let taking = self.under_way.begin(want);
        let mut call = RECEIVE.call(5 + 5 * queues.len() + lists.len());
        call.arg(self.keys.leases())
            .arg(self.keys.celery().unacked())
            .arg(self.keys.celery().unacked_index())
            .arg(&self.gates);
        for queue in &queues {
            call.arg(&queue.held).arg(&queue.parked).arg(&queue.messages).arg(&queue.list).arg(&queue.lines);
        }
        for (_, list) in &lists {
            call.arg(list);
        }
        call.arg(self.keys.begun(&self.worker));
        call.arg(&self.worker).arg(&self.tag_prefix).arg(want).arg(taking.first());
        call.arg(microseconds(SLACK)).arg(queues.len()).arg(limits.len());
        for (at, queue) in queues.iter().enumerate() {
            call.arg(&queue.tail);
            match plan.quotas.as_ref().and_then(|quotas| quotas.get(at)) {
                Some(quota) => call.arg(quota),
                None => call.arg(""),
            };
        }
        for (task, interval) in limits.iter() {
            call.arg(task).arg(microseconds(*interval));
        }
        for (at, _) in &lists {
            call.arg(at + 1);
        }
        call.arg(attempts::written(&begun.tags)).arg(begun.places);
        match self.connection.run(call).await.map_err(during("receive messages"))? {
            Value::Array(taken) => {
                let mut taken = taken.into_iter();
                self.turn_is_in(taken.next().as_ref());
                Ok(self.deliveries(taken, &plan, taking.first()))
            }
            Value::Int(_) => Err(BrokerError::LeaseEnded),
            _ => Err(BrokerError::LeaseLost),
        }
    }

    /// What was taken, of queues that have their place in the plan.
    fn deliveries(&self, taken: impl Iterator<Item = Value>, plan: &Plan, first: u64) -> Vec<Delivery> {
        let (mut deliveries, mut counts) = (Vec::new(), vec![0; plan.order.len()]);
        for list in taken {
            let Value::Array(list) = list else { continue };
            let mut list = list.into_iter();
            let (Some(Value::Int(number)), Some(Value::Array(messages)), counted) =
                (list.next(), list.next(), list.next())
            else {
                continue;
            };
            let at = usize::try_from(number - 1).unwrap_or_default();
            let Some(queue) = plan.order.get(at).copied() else { continue };
            counts[at] += messages.len();
            for message in messages {
                let Value::BulkString(raw) = message else { continue };
                let tag = tag::tag(queue, first + deliveries.len() as u64);
                self.weights.add(tag, &raw);
                deliveries.push(Delivery {
                    tag,
                    queue,
                    counted: counted == Some(Value::Int(1)),
                    envelope: Envelope::from_redis(&raw),
                });
            }
        }
        self.intake.took(plan, &counts);
        deliveries
    }

    /// Notes after how many microseconds there is something to take from a line, as a script has said it.
    fn turn_is_in(&self, wait: Option<&Value>) {
        let wait = match wait {
            Some(Value::Int(wait)) => u64::try_from(*wait).ok().map(Duration::from_micros),
            _ => None,
        };
        self.turn.set(wait.and_then(|wait| Instant::now().checked_add(wait)));
    }
}

/// The lists in the order in which they are emptied, each with its queue's place. Strictly: the most urgent step of all
/// queues first, as kombu does, within a step the queues in their order. Otherwise each queue by itself.
fn in_order<'a>(queues: &[&'a Queue], strict: bool) -> Vec<(usize, &'a str)> {
    let all = queues.iter().enumerate();
    let mut lists: Vec<_> = all
        .flat_map(|(at, queue)| queue.lists.iter().map(move |(step, list)| (*step, at, list.as_str())))
        .collect();
    if strict {
        lists.sort_by_key(|(step, at, _)| (*step, *at));
    }
    lists.into_iter().map(|(_, at, list)| (at, list)).collect()
}
