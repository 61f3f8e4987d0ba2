//! What a settlement writes beside what becomes of its message, as arguments of the script.
//!
//! ```text
//!   sends ──exchanges──> routes: lists and channels, or a refusal ──> effects
//! ```

use petiole_protocol::keys::{PRIORITY_STEPS, priority_step};
use petiole_results::Precedence;
use petiole_results::chord::DONE;
use petiole_results::redis::{Call, milliseconds, precedence, seconds};

use super::consumer::RedisConsumer;
use super::tag;
use crate::{BrokerError, Disposition, Outgoing, Refusal, Settlement, Target};

/// How many messages one push takes: Lua hands that many values to a command, and some thousands at most.
const PUSH: usize = 500;

/// Where a settlement's messages go.
pub(super) type Routes<'a> = Vec<Route<'a>>;

/// Where a message goes.
#[derive(Debug)]
pub(super) enum Route<'a> {
    /// Behind the others of this list.
    List(String, &'a [u8]),
    /// To whoever listens to this channel.
    Channel(String, &'a [u8]),
}

impl RedisConsumer {
    /// Finds out where the messages of a settlement go.
    pub(super) async fn routes<'a>(
        &self,
        sends: &'a [Outgoing],
    ) -> Result<Result<Routes<'a>, Refusal>, BrokerError> {
        let mut routes = Vec::with_capacity(sends.len());
        for Outgoing { to, priority, message } in sends {
            match to {
                Target::Queue(queue) => routes.push(Route::List(self.list(queue, *priority), message)),
                Target::Exchange { exchange, routing_key } => {
                    let queues =
                        self.exchanges.queues(&self.connection, &self.keys, exchange, routing_key).await?;
                    if queues.is_empty() {
                        let (exchange, routing_key) = (exchange.clone(), routing_key.clone());
                        return Ok(Err(Refusal::Unrouted { exchange, routing_key }));
                    }
                    routes
                        .extend(queues.iter().map(|queue| Route::List(self.list(queue, *priority), message)));
                }
                Target::Fanout { exchange, routing_key } => {
                    let db = self.connection.endpoint().db();
                    routes.push(Route::Channel(self.keys.fanout(db, exchange, routing_key), message));
                }
            }
        }
        Ok(Ok(routes))
    }

    fn list(&self, queue: &str, priority: u8) -> String {
        let table = self.table();
        let own = table.queues.iter().find(|own| own.name.name == queue);
        let steps = own.map_or(&PRIORITY_STEPS[..], |own| &own.name.priority_steps);
        self.keys.celery().list(queue, priority_step(priority, steps))
    }

    /// Whether a settlement has effects: more than what becomes of its message, and a record of a usual result.
    pub(super) fn has_effects(&self, settlement: &Settlement, routes: &Routes<'_>) -> bool {
        let Settlement { tag: _, starts, sends: _, records, chord, finish, disposition } = settlement;
        let stored = !starts.is_empty()
            || chord.is_some()
            || finish.is_some()
            || (!records.is_empty() && plain_record(settlement).is_none());
        *disposition == Disposition::Acked || !routes.is_empty() || (stored && self.results.is_some())
    }

    /// Adds the effects of one settlement to the call. `number` is its place in the batch, from 1 on.
    pub(super) fn put_effects(
        &self,
        call: &mut Call<'_>,
        number: usize,
        settlement: &Settlement,
        routes: &Routes<'_>,
    ) {
        let mut effects = Effects { call, number };
        if settlement.disposition == Disposition::Acked {
            effects.begin("free");
        }
        if let Some(mark) = mark(settlement) {
            effects.begin("once").arg(self.keys.done(&self.worker)).arg(mark);
        }
        effects.push(routes);
        let Some(results) = &self.results else { return };
        let group = |group: &str| results.groups.group(group);
        for start in &settlement.starts {
            let call = effects.begin("start").arg(group(&start.group)).arg(start.size);
            call.arg(seconds(start.expires)).arg(start.saved.as_deref().unwrap_or_default());
        }
        if plain_record(settlement).is_none() {
            for record in &settlement.records {
                let call = effects.begin("record").arg(results.keys.task(&record.task_id));
                call.arg(&record.document).arg(seconds(record.expires)).arg(precedence(record.precedence));
            }
        }
        if let Some(part) = &settlement.chord {
            let call = effects.begin("part").arg(group(&part.group)).arg(part.name()).arg(part.score());
            call.arg(&part.member).arg(part.added()).arg(seconds(part.expires));
            call.arg(milliseconds(part.claim)).arg(part.claimed().token);
        }
        if let Some(claim) = &settlement.finish {
            effects.begin("finish").arg(group(&claim.group)).arg(&claim.token).arg(DONE.as_secs());
        }
    }
}

/// The mark of a settlement that may be done once only, as it stands on the server.
pub(super) fn mark(settlement: &Settlement) -> Option<String> {
    let mark = settlement.mark()?;
    Some(format!("{}:{mark:016x}", tag::parts(settlement.tag).1))
}

/// The record that the script takes along with the message: most settlements have one, of a usual result.
pub(super) fn plain_record(settlement: &Settlement) -> Option<&petiole_results::Record> {
    match settlement.records.as_slice() {
        [record] if record.precedence == Precedence::Result => Some(record),
        _ => None,
    }
}

/// A call to which effects are added.
struct Effects<'a, 'b> {
    call: &'a mut Call<'b>,
    number: usize,
}

impl<'b> Effects<'_, 'b> {
    fn begin(&mut self, kind: &str) -> &mut Call<'b> {
        self.call.arg(self.number).arg(kind)
    }

    /// Messages for one list that follow each other are one push.
    fn push(&mut self, routes: &Routes<'_>) {
        let mut rest = routes.as_slice();
        while let [first, ..] = rest {
            match first {
                Route::Channel(channel, message) => {
                    self.begin("publish").arg(channel).arg(*message);
                    rest = &rest[1..];
                }
                Route::List(list, _) => {
                    let same = |route: &&Route<'_>| matches!(route, Route::List(other, _) if other == list);
                    let (push, later) = rest.split_at(rest.iter().take(PUSH).take_while(same).count());
                    let call = self.begin("send").arg(list).arg(push.len());
                    for route in push {
                        let (Route::List(_, message) | Route::Channel(_, message)) = route;
                        call.arg(*message);
                    }
                    rest = later;
                }
            }
        }
    }
}
