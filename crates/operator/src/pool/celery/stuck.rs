//! Which worker answers no more: its pod is deleted, and another one comes in its place. Pure.
//!
//! There is no liveness probe: `celery inspect ping` in a container takes seconds of its CPU each time, and the kubelet
//! would kill workers when the broker is away.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::{is_heard, runs_since};
use crate::sampler::fleet::Word;

/// Between two pods of a pool: what makes a worker stuck may make others so, and replacing them all would help nobody.
pub(super) const APART: SignedDuration = SignedDuration::from_mins(1);
/// A container that has started so recently, and was not heard since, may still import its application.
const STARTING: SignedDuration = SignedDuration::from_mins(5);
/// So long it is waited for the answer to a ping.
const ANSWER: SignedDuration = SignedDuration::from_secs(10);

/// The pod that is to go: of those whose workers have said nothing for as long as `silence`, and have not answered a ping,
/// the one that is silent for longest. None that was never heard, and none of which anything may have been missed.
pub(super) fn stuck<'a>(
    pods: impl Iterator<Item = (&'a Arc<Pod>, Word)>,
    silence: Duration,
    last: Option<Timestamp>,
    now: Timestamp,
) -> Option<(&'a Arc<Pod>, SignedDuration)> {
    if last.is_some_and(|last| now.duration_since(last) < APART) {
        return None;
    }
    let silence = SignedDuration::try_from(silence).unwrap_or(SignedDuration::MAX);
    let silent = |(pod, word): (&'a Arc<Pod>, Word)| {
        let since = word.heard.map_or(word.listening, |heard| heard.max(word.listening));
        let silent = now.duration_since(since);
        let runs = runs_since(pod).is_some_and(|started| {
            word.heard.is_some_and(|heard| heard >= started) || now.duration_since(started) >= STARTING
        });
        let owes = word.owes.is_some_and(|asked| now.duration_since(asked) >= ANSWER);
        (is_heard(pod) && runs && owes && silent >= silence).then_some((pod, silent))
    };
    pods.filter_map(silent).max_by_key(|(_, silent)| *silent)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, pod};
    use super::*;

    const SILENCE: Duration = Duration::from_mins(1);

    fn word(heard: Option<i64>, listening: i64, owes: Option<i64>) -> Word {
        Word { heard: heard.map(at), listening: at(listening), owes: owes.map(at), drained: false }
    }

    fn chosen(pods: &[(Arc<Pod>, Word)], last: Option<i64>, now: i64) -> Option<String> {
        let all = pods.iter().map(|(pod, word)| (pod, *word));
        let (pod, _) = stuck(all, SILENCE, last.map(at), at(now))?;
        pod.metadata.name.clone()
    }

    fn old(name: &str) -> Arc<Pod> {
        Arc::new(pod(name, -1000, Some("True")))
    }

    #[test]
    fn who_is_silent_and_owes_an_answer_goes() {
        let pods = [
            (old("talks"), word(Some(99), 0, None)),
            (old("silent"), word(Some(30), 0, Some(45))),
            (old("longer"), word(Some(20), 0, Some(35))),
        ];
        assert_eq!(chosen(&pods, None, 100).as_deref(), Some("longer"));
        assert_eq!(chosen(&pods, Some(70), 100), None, "another one went just now");
        assert_eq!(chosen(&pods, Some(30), 100).as_deref(), Some("longer"));
        assert_eq!(chosen(&pods, None, 79), None, "not silent for long enough");
    }

    #[test]
    fn who_was_not_asked_or_could_not_be_heard_stays() {
        assert_eq!(chosen(&[(old("a"), word(Some(0), 0, None))], None, 100), None, "not asked");
        assert_eq!(chosen(&[(old("a"), word(Some(0), 0, Some(95)))], None, 100), None, "asked just now");
        assert_eq!(
            chosen(&[(old("a"), word(Some(0), 50, Some(60)))], None, 100),
            None,
            "the broker was away"
        );
        assert_eq!(chosen(&[(old("a"), word(None, 0, Some(10)))], None, 100).as_deref(), Some("a"));
    }

    #[test]
    fn who_only_starts_stays() {
        let word = word(None, 0, Some(10));
        let never_heard = Arc::new(pod("a", -1000, None));
        let started_again = Arc::new(pod("a", 0, Some("True")));
        assert_eq!(chosen(&[(never_heard, word), (started_again, word)], None, 200), None);
    }
}
