//! Does what a command asks for, and what a revocation means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use petiole_broker::{Address, BoundQueue, MOST_LISTED, Parking, QueueName};
use petiole_process::log::Chain;
use petiole_protocol::control::AddConsumer;
use petiole_protocol::event::{HEARTBEAT, Vitals};
use petiole_protocol::keys::PRIORITY_STEPS;
use petiole_protocol::message::Accept;

use super::answer::{Act, answer, asks_for_parked};
use super::listen::Asked;
use super::remember::Write;
use super::speak::Reply;
use super::view::{Due, View};
use super::{ControlEvent, usage};
use crate::rates::interval;
use crate::run::{Effects, Revoked};
use crate::worker::Worker;

/// How long is waited for the broker's list of what is parked: `inspect` waits for a second.
const LIST: Duration = Duration::from_millis(500);

/// What follows the name of a queue that was added in the name of its dead-letter queue.
const DEAD_LETTER: &str = ".dead";

/// The outcome of attempts that have ended because their task was revoked, in metrics.
const REVOKED: &str = "revoked";

impl Worker {
    /// Something has happened in remote control.
    pub(crate) fn control_event(&mut self, event: ControlEvent, now: Instant, effects: &mut Effects) {
        match event {
            ControlEvent::Listening => {
                let vitals = self.vitals();
                self.control.events.online(vitals, Timestamp::now(), now);
            }
            ControlEvent::Asked(asked) if asked.command.as_ref().is_ok_and(asks_for_parked) => {
                self.list(asked);
            }
            ControlEvent::Asked(asked) => self.asked(*asked, &[], now, effects),
            ControlEvent::Listed(asked, parked) => self.asked(*asked, &parked, now, effects),
            ControlEvent::Revoked(revoked) => {
                let wall = Timestamp::now();
                self.control.loaded = true;
                let known = &mut self.control.revoked;
                // What is read again is no news: it would be kept for longer.
                let ids: Vec<_> = revoked.ids.iter().filter(|id| !known.has(id, wall)).collect();
                known.revoke(ids.into_iter().map(String::as_str), wall);
                let stamps: Vec<_> =
                    revoked.stamps.into_iter().map(|(name, value)| (name, vec![value])).collect();
                known.revoke_stamps(&stamps, wall);
                self.drop_revoked(wall, now, effects);
            }
        }
    }

    /// Fetches what is parked, and comes back with it.
    fn list(&self, asked: Box<Asked>) {
        let parking = self.session.as_ref().and_then(crate::session::Session::parking);
        let (queues, outbox) = (self.control.facts.queues.len(), self.control.outbox.clone());
        let accept = self.admit.accept().clone();
        tokio::spawn(async move {
            let parked = match parking {
                Some(parking) => {
                    tokio::time::timeout(LIST, due(parking, queues, &accept)).await.unwrap_or_default()
                }
                None => Vec::new(),
            };
            let _ = outbox.send(ControlEvent::Listed(asked, parked)).await;
        });
    }

    fn asked(&mut self, asked: Asked, parked: &[Due], now: Instant, effects: &mut Effects) {
        let (answer, acts) = match &asked.command {
            Err(refused) => (Some(refused.clone()), Vec::new()),
            Ok(command) => answer(command, &self.view(parked, now)),
        };
        if let (Some(to), Some(answer)) = (asked.reply_to, answer) {
            self.control.reply(Reply { to, answer });
        }
        for act in acts {
            self.carry_out(act, now, effects);
        }
    }

    fn view<'a>(&'a self, parked: &'a [Due], now: Instant) -> View<'a> {
        let control = &self.control;
        View {
            facts: &control.facts,
            now: Timestamp::now(),
            clock: control.clock.value(),
            uptime: now.duration_since(control.since),
            held: self.runs.held(now),
            processes: self.runs.pids(),
            wants: self.runs.wants(),
            parked,
            totals: &control.totals,
            revoked: &control.revoked,
            rates: self.admit.rates(),
            rusage: usage::of_this_process(),
            task_events: control.events.tasks_are_on(),
        }
    }

    fn carry_out(&mut self, act: Act, now: Instant, effects: &mut Effects) {
        let wall = Timestamp::now();
        match act {
            Act::Revoke(ids) => {
                tracing::info!(count = ids.len(), first = ids.first(), "tasks are revoked");
                self.control.revoked.revoke(ids.iter().map(String::as_str), wall);
                self.drop_revoked(wall, now, effects);
                if let Some(session) = &self.session {
                    session.unpark(ids.clone());
                }
                self.control.write(Write::Ids(ids));
            }
            Act::RevokeStamps(stamps) => {
                tracing::info!(count = stamps.len(), "tasks are revoked by their stamps");
                self.control.revoked.revoke_stamps(&stamps, wall);
                self.drop_revoked(wall, now, effects);
                self.control.write(Write::Stamps(stamps));
            }
            Act::Merge(ids) => {
                self.control.revoked.revoke(ids.iter().map(String::as_str), wall);
                self.drop_revoked(wall, now, effects);
            }
            Act::Terminate(attempts, signal) => self.runs.terminate(&attempts, signal, effects),
            Act::Limit(task, limits) => self.admit.limit(task, limits),
            Act::Rate(task, limit) => {
                tracing::info!(task, limit = limit.as_str(), "another rate limit");
                self.intake.limit(&task, interval(&limit));
                self.admit.rate(task, limit);
            }
            Act::Consume(queue) => self.consume(&queue),
            Act::Cancel(queue) => {
                tracing::info!(queue, "nothing more is taken from a queue");
                self.intake.cancel(&queue);
                self.control.facts.cancel(&queue);
            }
            Act::Resize(concurrency) => {
                tracing::info!(concurrency, "another number of tasks runs at a time");
                self.control.facts.concurrency = concurrency;
                self.runs.resize(concurrency, now, effects);
            }
            Act::TaskEvents(on) => self.control.events.turn_tasks(on),
            Act::Heartbeat => self.control.events.heartbeat_asked_for(wall),
            Act::Shutdown(message) => {
                tracing::info!(message, "told to stop by remote control");
                self.start_drain(now, effects);
            }
        }
    }

    /// Takes from a queue that the pool's file does not have: it is like the first one.
    fn consume(&mut self, AddConsumer { queue, exchange, routing_key, .. }: &AddConsumer) {
        tracing::info!(queue, "messages are taken from another queue");
        let first = self.intake.queues().into_iter().next();
        let index = self.intake.consume(QueueName {
            name: queue.clone(),
            priority_steps: first.map_or_else(|| PRIORITY_STEPS.to_vec(), |first| first.priority_steps),
            dead_letter: format!("{queue}{DEAD_LETTER}"),
        });
        self.control.facts.consume(index, queue);
        self.admit.consume(index);
        self.settle.consume(index, queue);
        let from = Address {
            exchange: exchange.as_ref().unwrap_or(queue).clone(),
            routing_key: routing_key.as_ref().unwrap_or(queue).clone(),
        };
        self.control.bind(BoundQueue { from, queue: queue.clone() });
    }

    /// What is held and has not started is looked at again.
    fn drop_revoked(&mut self, wall: Timestamp, now: Instant, effects: &mut Effects) {
        let revoked = &self.control.revoked;
        self.runs.revoke(|message| revoked.is_revoked(message, wall).is_some(), now, effects);
    }

    /// An attempt has ended because its task was revoked.
    pub(crate) fn revoked(&mut self, revoked: Revoked, wall: Timestamp) {
        let message = &revoked.work.message;
        tracing::info!(id = message.id, task = message.task, signal = revoked.signal, "revoked");
        let name = self.admit.label(&message.task);
        self.metrics.tasks.with_label_values(&[name, REVOKED]).inc();
        if revoked.signal.is_some() {
            self.control.count(&message.task);
        }
        self.control.events.revoked(&revoked, wall);
        let step = self.settle.revoked(revoked, wall);
        self.step(step);
    }

    /// The end of the worker.
    pub(crate) async fn leave(&mut self) {
        let vitals = self.vitals();
        self.control.events.offline(vitals, Timestamp::now());
        self.control.leave().await;
    }

    pub(crate) fn vitals(&self) -> Vitals {
        let active = u64::try_from(self.runs.count().1).unwrap_or(u64::MAX);
        let processed = self.control.processed() + active;
        Vitals { freq: HEARTBEAT, active, processed, loadavg: usage::load() }
    }
}

/// What is parked of so many queues, the earliest due first.
async fn due(parking: Arc<dyn Parking>, queues: usize, accept: &Accept) -> Vec<Due> {
    let mut found = Vec::new();
    let now = Timestamp::now();
    for queue in 0..queues {
        match parking.parked(queue, 0, MOST_LISTED).await {
            Ok(page) => {
                found.extend(page.iter().filter_map(|parked| Due::read(queue, parked, accept, now)));
            }
            Err(error) => tracing::debug!(error = %Chain(&error), "what is parked could not be listed"),
        }
    }
    found.sort_by_key(|due| due.due);
    found
}
