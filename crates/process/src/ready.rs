//! Who is still missing before this process is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The parts of a process that must be there before it is ready, and what each waits for.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    missing: Arc<Mutex<BTreeMap<&'static str, String>>>,
    been: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Readiness {
    /// Says that `part` is missing, and why. A readiness probe prints it.
    pub fn missing(&self, part: &'static str, why: impl Into<String>) {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(part, why.into());
    }

    /// Says that `part` is there.
    pub fn there(&self, part: &'static str) {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
        self.been.lock().unwrap_or_else(PoisonError::into_inner).insert(part);
    }

    /// Whether `part` is there, or has been before.
    pub fn was_there(&self, part: &'static str) -> bool {
        self.been.lock().unwrap_or_else(PoisonError::into_inner).contains(part)
    }

    /// What is missing, a line each; nothing when the process is ready.
    pub fn report(&self) -> Option<String> {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if missing.is_empty() {
            return None;
        }
        let lines: Vec<String> = missing.iter().map(|(part, why)| format!("{part}: {why}")).collect();
        Some(
            lines.join(
                "
",
            ) + "
",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_nothing_is_missing_any_more() {
        let ready = Readiness::default();
        ready.missing("broker", "connection refused");
        ready.missing("runner", "not connected yet");
        assert!(!ready.was_there("broker"));
        ready.there("broker");
        assert!(ready.was_there("broker"));
        assert_eq!(ready.report().as_deref(), Some("runner: not connected yet\n"));
        ready.there("runner");
        assert_eq!(ready.report(), None);
    }
}
