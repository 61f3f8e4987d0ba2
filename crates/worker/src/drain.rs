//! Stopping: running tasks end, the others go back, then the runner may exit and the lease may go.
//!
//! It begins at the runner (the kubelet tells a sidecar last), or at the worker itself outside a pod. Running tasks may
//! end (Celery's warm shutdown), until the grace period is nearly over or somebody has no time for that: then they are
//! killed and go back, too (its soft and its cold shutdown).

use std::time::Instant;

use petiole_contract::control::ToRunner;

use crate::run::Effects;
use crate::worker::{Worker, part};

/// How far the worker is with stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Not at all.
    No,
    /// What runs may end.
    Draining,
    /// Everything is settled and committed.
    Drained,
}

impl Worker {
    pub(crate) fn start_drain(&mut self, now: Instant, effects: &mut Effects) {
        if self.drain != Drain::No {
            return;
        }
        let (held, running) = self.runs.count();
        tracing::info!(held, running, "draining: running tasks end, the others go back");
        self.drain = Drain::Draining;
        self.drain_until = self.patience.and_then(|patience| now.checked_add(patience));
        self.ready.missing(part::TASK, "draining");
        self.runs.drain(now, effects);
    }

    /// The end of a drain: everything is settled and committed, so the runner may exit and the lease may go.
    pub(crate) async fn finish_drain(&mut self) {
        let committed = self.session.as_ref().is_none_or(|session| session.holding.is_empty());
        if self.drain != Drain::Draining || !self.runs.is_empty() || !committed || !self.unfenced.is_empty() {
            return;
        }
        if let Some(session) = self.session.take() {
            session.end().await;
        }
        self.drain = Drain::Drained;
        self.drain_until = None;
        tracing::info!("drained");
        if let Some(runner) = self.runner {
            let mut effects = Effects::default();
            effects.send(runner, &ToRunner::Drained {}, &[]);
            self.apply(effects);
        }
    }
}
