//! Whether everything that is watched was listed once. Before that, much would look as if it were not there.
//!
//! kube's `Store::wait_until_ready` cannot be used for it: it wakes one waiter, and the controller is one already.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

/// Whether everything was listed once. Clones share one answer.
#[derive(Debug, Clone)]
pub struct Synced {
    missing: Arc<AtomicUsize>,
    done: mpsc::UnboundedSender<()>,
}

/// A watch that was not listed yet.
#[derive(Debug)]
pub struct Unlisted(Synced);

impl Synced {
    /// Nothing is missing yet. The other end hears each time that nothing is missing any more.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<()>) {
        let (done, when_done) = mpsc::unbounded_channel();
        (Self { missing: Arc::default(), done }, when_done)
    }

    /// One more watch that has to be listed.
    pub fn expect(&self) -> Unlisted {
        self.missing.fetch_add(1, Ordering::AcqRel);
        Unlisted(self.clone())
    }

    /// Whether everything was listed.
    pub fn get(&self) -> bool {
        self.missing.load(Ordering::Acquire) == 0
    }
}

impl Unlisted {
    /// It was listed, and its store holds what there is.
    pub fn listed(self) {
        if self.0.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Nobody listens any more when the scope ends.
            let _ = self.0.done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_was_listed_when_the_last_watch_was() {
        let (synced, mut done) = Synced::new();
        let (one, other) = (synced.expect(), synced.expect());
        one.listed();
        assert!(!synced.get() && done.try_recv().is_err());
        other.listed();
        assert!(synced.get() && done.try_recv().is_ok());
    }
}
