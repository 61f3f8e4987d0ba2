//! Doing as the operator wishes: a worker whose pod is to go takes no more, and finishes what runs. It can be called back
//! at any time until then, and has lost nothing.
//!
//! ```text
//!             wish: drain             nothing held, nothing runs
//!   working ─────────────> resting ─────────────────────────────> drained: the pod is not ready, and is taken away
//!      ^                      │                                       │
//!      └──────────────────────┴────────── wish: work, or it lapses ───┘
//! ```
//!
//! The pod stays ready while a task runs in it: of the pods of a `ReplicaSet` those go first that are not. Remote control,
//! events and the lease go on. SIGTERM begins the drain that ends (`drain.rs`), whatever was wished.

use std::time::Instant;

use petiole_broker::Wish;

use crate::drain::Drain;
use crate::run::Effects;
use crate::worker::{Worker, part};

impl Worker {
    /// Something else is wanted than before.
    pub(crate) fn wished(&mut self, wish: Wish, now: Instant, effects: &mut Effects) {
        let (held, running) = self.runs.count();
        match wish {
            Wish::Drain => {
                tracing::info!(held, running, "this pod is to go: running tasks end, no more are taken");
                self.runs.rest(now, effects);
                if let Some(session) = &self.session {
                    session.enough();
                }
            }
            Wish::Work => {
                tracing::info!(held, running, "this pod is to stay: taking tasks again");
                self.runs.wake();
            }
        }
        self.wish = wish;
    }

    /// Nothing is wished of a new incarnation yet.
    pub(crate) fn forget_wish(&mut self) {
        self.wish = Wish::Work;
        self.runs.wake();
    }

    /// Whether what is received goes back.
    pub(crate) fn takes_nothing(&self) -> bool {
        self.drain != Drain::No || self.wish == Wish::Drain
    }

    /// Says what this worker holds, and whether it has drained.
    pub(crate) fn count(&mut self) {
        let (held, running) = self.runs.count();
        let holding = self.session.as_ref().map_or(held, |session| session.holding.len());
        // What was acknowledged early is held no more, and still runs.
        let held = holding.max(held).max(self.unfenced.len());
        // What a request under way may bring is not known yet.
        let draining = self.wish == Wish::Drain && !self.requested;
        self.tally.counts(held, running, draining, Instant::now());
        if draining && held == 0 && running == 0 {
            self.ready.missing(part::WISH, "drained: the operator takes this pod away");
        } else {
            self.ready.there(part::WISH);
        }
    }
}
