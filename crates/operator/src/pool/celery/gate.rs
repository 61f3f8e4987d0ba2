//! Which pods are ready: those whose workers are heard on the broker. Pure.
//!
//! A probe would have to start a program that imports the application, again and again. And a worker that nobody hears is
//! not known to be drained or busy: it is unready as long as it was never heard, and not again because the broker is away.

use k8s_openapi::api::core::v1::Pod;
use petiole_api::conditions::reasons;

use super::is_heard;
use crate::sampler::fleet::Word;

/// What the condition of a pod is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Whether it takes tasks.
    pub open: bool,
    /// One of [`reasons`].
    pub reason: &'static str,
    /// For people.
    pub message: &'static str,
}

/// What is to be written of a pod; nothing, where it is as it was. A drained one is not ready: a `ReplicaSet` takes those
/// first.
pub(super) fn gate(pod: &Pod, word: &Word) -> Option<Gate> {
    let wanted = if word.drained {
        Gate {
            open: false,
            reason: reasons::DRAINED,
            message: "its worker takes no more, and has nothing left",
        }
    } else {
        word.heard?;
        Gate { open: true, reason: reasons::HEARD, message: "its worker is heard on the broker" }
    };
    (wanted.open != is_heard(pod)).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, pod};
    use super::*;

    #[test]
    fn a_pod_is_ready_once_its_worker_was_heard() {
        let word = |heard| Word { heard, listening: at(0), owes: None, drained: false };
        assert_eq!(gate(&pod("a", 0, None), &word(None)), None);
        assert!(gate(&pod("a", 0, None), &word(Some(at(1)))).is_some_and(|gate| gate.open));
        assert_eq!(gate(&pod("a", 0, Some("True")), &word(Some(at(1)))), None, "it is already");
    }

    #[test]
    fn a_pod_that_was_heard_stays_ready_when_nothing_is_heard() {
        let word = Word { heard: None, listening: at(100), owes: Some(at(110)), drained: false };
        assert_eq!(gate(&pod("a", 0, Some("True")), &word), None);
    }

    #[test]
    fn a_drained_pod_is_unready_until_it_takes_tasks_again() {
        let word = |drained| Word { heard: Some(at(1)), listening: at(0), owes: None, drained };
        let drained = gate(&pod("a", 0, Some("True")), &word(true)).unwrap();
        assert_eq!((drained.open, drained.reason), (false, reasons::DRAINED));
        assert_eq!(gate(&pod("a", 0, Some("False")), &word(true)), None);
        assert!(gate(&pod("a", 0, Some("False")), &word(false)).is_some_and(|gate| gate.open));
    }
}
