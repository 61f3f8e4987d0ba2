//! The end of each turn of the worker's loop: tells what has begun, asks for messages, says that it lives, says what
//! there is to say.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use petiole_broker::Begun;
use petiole_contract::control::ToRunner;

use crate::receive::Request;
use crate::run::Effects;
use crate::worker::Worker;

/// Between two signs of life to the runner.
pub(crate) const ALIVE: Duration = Duration::from_secs(1);

/// Messages that have ended and are not committed yet; more, and no further ones are fetched. Twice what is being
/// committed at a time: their results wait here.
const UNCOMMITTED: usize = 512;

/// The most messages that one request asks for. An answer, and what is made of it, is when the worker's memory is
/// largest.
const REQUEST: usize = 128;

impl Worker {
    /// Tells the broker which attempts have begun, when it is time to.
    pub(crate) fn note(&mut self, now: Instant) {
        let Some(session) = &self.session else { return };
        if let Some(tags) = self.noting.next(&mut self.runs, now) {
            session.note(tags);
        }
    }

    /// Asks for messages, when there is room for some and no request is under way.
    pub(crate) fn ask(&mut self) {
        let Some(session) = &self.session else { return };
        if self.requested || !self.working || !self.control.loaded {
            return;
        }
        let uncommitted = session.holding.len().saturating_sub(self.runs.count().0 + self.asking.len());
        // Those that ask for their starts have their places here already.
        let wants = self.runs.wants().saturating_sub(self.asking.len());
        if wants > 0 && uncommitted < UNCOMMITTED {
            let want = wants.min(REQUEST);
            let begun = Begun { tags: self.runs.begun(), places: self.runs.places() };
            self.noting.requested(begun.places, self.runs.starts());
            self.requested = session.request(Request { want, begun });
        }
    }

    /// Tells the runner that this worker lives.
    pub(crate) fn stay_alive(&mut self, now: Instant) {
        if now.duration_since(self.said_alive) < ALIVE {
            return;
        }
        self.said_alive = now;
        if let Some(runner) = self.runner {
            let mut alive = Effects::default();
            alive.send(runner, &ToRunner::Alive {}, &[]);
            self.apply(alive);
        }
    }

    /// The end of a turn: what there is to say is said.
    pub(crate) fn speak(&mut self, now: Instant) {
        if self.control.events.is_due(now) {
            let vitals = self.vitals();
            self.control.events.heartbeat(vitals, Timestamp::now(), now);
            self.control.revoked.purge(Timestamp::now());
        }
        self.control.flush();
    }
}
