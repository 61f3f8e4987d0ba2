//! Settling, in memory: the rules of `settle.lua`. Pure, but for the store that it writes to.

use jiff::Timestamp;
use petiole_protocol::keys::{PRIORITY_STEPS, priority_step};
use petiole_results::chord::Counted;
use petiole_results::memory::MemoryStore;

use super::state::{HeldMessage, Parked, State};
use crate::dead_letter::bury;
use crate::exchange::queues;
use crate::{
    BrokerError, Disposition, Outgoing, QueueName, Refusal, Settled, Settlement, Target, Worker, message,
};

/// A message on its way: queue, step, message.
type Routed<'a> = (String, u8, &'a [u8]);

impl State {
    pub(super) fn settle(
        &mut self,
        worker: &Worker,
        batch: &[Settlement],
        results: Option<&MemoryStore>,
        now: i64,
    ) -> Result<Vec<Settled>, BrokerError> {
        let mut settled = Vec::with_capacity(batch.len());
        for settlement in batch {
            settled.push(self.write(worker, settlement, results, now)?);
        }
        let moves = |(settlement, settled): &(&Settlement, &Settled)| {
            **settled == Settled::Done
                && !matches!(settlement.disposition, Disposition::Keep | Disposition::Acked)
        };
        let all = batch.iter().zip(&settled).filter(moves).map(|(settlement, _)| settlement);
        let (to_tails, others): (Vec<_>, Vec<_>) =
            all.partition(|settlement| matches!(settlement.disposition, Disposition::DeadLetter(_)));
        // From the last to the first, so that what goes to the head keeps its order.
        for settlement in to_tails.into_iter().chain(others.into_iter().rev()) {
            let held = self.live(&worker.incarnation, now)?.held.remove(&settlement.tag);
            if let Some(HeldMessage { queue, raw }) = held {
                self.dispose(&worker.queues[queue], raw, &settlement.disposition, now);
            }
        }
        Ok(settled)
    }

    /// Writes what a settlement says beside what becomes of the message.
    fn write(
        &mut self,
        worker: &Worker,
        settlement: &Settlement,
        results: Option<&MemoryStore>,
        now: i64,
    ) -> Result<Settled, BrokerError> {
        let routes = self.routes(worker, &settlement.sends);
        let mark = settlement.mark().map(|mark| (settlement.tag, mark));
        let lease = self.live(&worker.incarnation, now)?;
        if settlement.disposition != Disposition::Acked && !lease.held.contains_key(&settlement.tag) {
            return Ok(Settled::Lost);
        }
        let done = mark.is_some_and(|mark| lease.done.contains(&mark));
        let routes = match routes {
            Ok(routes) => routes,
            Err(refusal) => return Ok(Settled::Refused(refusal)),
        };
        let mut settled = Settled::Done;
        if let Some(results) = results {
            if let Some(claim) = &settlement.finish
                && !done
                && !results.claimed(claim)
            {
                return Ok(Settled::ClaimLost);
            }
            for start in settlement.starts.iter().filter(|_| !done) {
                results.start(start);
            }
            if let Some(part) = &settlement.chord
                && let Counted::Complete(claim) = results.part(part)
            {
                settled = Settled::ChordComplete(claim);
            }
            for record in &settlement.records {
                results.put(record);
            }
            if let Some(claim) = settlement.finish.as_ref().filter(|_| !done) {
                results.finish(claim);
            }
        }
        if !done {
            for (queue, step, message) in routes {
                self.push_tail(&queue, step, message.to_vec());
            }
        }
        if let Some(mark) = mark {
            self.live(&worker.incarnation, now)?.done.insert(mark);
        }
        Ok(settled)
    }

    /// Where messages go. To a fanout exchange nobody listens here.
    fn routes<'a>(&self, worker: &Worker, sends: &'a [Outgoing]) -> Result<Vec<Routed<'a>>, Refusal> {
        let step = |queue: &str, priority| {
            let own = worker.queues.iter().find(|own| own.name == queue);
            priority_step(priority, own.map_or(&PRIORITY_STEPS[..], |own| &own.priority_steps))
        };
        let mut routes = Vec::new();
        for Outgoing { to, priority, message } in sends {
            let fed = match to {
                Target::Queue(queue) => vec![queue.clone()],
                Target::Fanout { .. } => Vec::new(),
                Target::Exchange { exchange, routing_key } => {
                    let bindings = self.bindings.get(exchange).map(Vec::as_slice).unwrap_or_default();
                    let fed = queues(bindings, routing_key);
                    if fed.is_empty() {
                        let (exchange, routing_key) = (exchange.clone(), routing_key.clone());
                        return Err(Refusal::Unrouted { exchange, routing_key });
                    }
                    fed
                }
            };
            routes.extend(fed.into_iter().map(|queue| {
                let step = step(&queue, *priority);
                (queue, step, message.as_slice())
            }));
        }
        Ok(routes)
    }

    pub(super) fn dispose(&mut self, queue: &QueueName, raw: Vec<u8>, disposition: &Disposition, now: i64) {
        let step = message::step(&raw, &queue.priority_steps);
        match disposition {
            Disposition::Keep | Disposition::Ack | Disposition::Acked => {}
            Disposition::Requeue => {
                self.push_head(&queue.name, step, message::redelivered(&raw).into_owned());
            }
            Disposition::DeadLetter(reason) => {
                let at = Timestamp::from_millisecond(now).unwrap_or_default();
                let dead = bury(&raw, reason, &queue.name, step, at);
                self.push_tail(&queue.dead_letter, 0, dead);
            }
            Disposition::Park(until) => {
                self.park(queue, *until, Parked { step, raw });
            }
            Disposition::Retry { until, retries, body } => {
                match message::retry(&raw, *until, *retries, body.as_deref()) {
                    Ok(raw) => {
                        self.park(queue, *until, Parked { step, raw });
                    }
                    Err(error) => {
                        let reason = message::not_retried(&error);
                        self.dispose(queue, raw, &Disposition::DeadLetter(reason), now);
                    }
                }
            }
        }
    }
}
