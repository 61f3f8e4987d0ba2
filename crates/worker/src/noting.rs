//! When the broker is told which attempts have begun, so that those are counted that take their worker down.
//!
//! What begins by being taken is noted with that, and so is what has begun until then. For the rest one note says all of
//! them, and at most one is under way. A task that takes its worker down lives long enough to be noted, or its message
//! comes back and is noted before it begins the next time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use petiole_broker::{Attempts, BrokerError, Tag};
use petiole_process::log::Chain;
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::run::Runs;
use crate::session::SessionEvent;

/// Between two notes of attempts that run anyway: a note costs Redis 10 to 30 us (`redis_cost`), so ten of them a second
/// cost it less than 0.05 % of a core for each worker. The first in a while is made at once.
const SPACING: Duration = Duration::from_millis(100);

/// The first and the longest wait before a note is made again.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What the broker was told in a session. Pure.
#[derive(Debug, Default)]
pub(crate) struct Noting {
    under_way: bool,
    last: Option<Instant>,
    /// How many attempts had started then.
    starts: u64,
    /// The last note named some, or the last taking of messages.
    named: bool,
    /// What the request under way says: how many begin by being taken, and how many attempts had started.
    request: (usize, u64),
}

impl Noting {
    /// What to tell now, if anything.
    pub(crate) fn next(&mut self, runs: &mut Runs, now: Instant) -> Option<Vec<Tag>> {
        let spaced = || self.last.is_none_or(|last| now.duration_since(last) >= SPACING);
        let due = if runs.is_draining() {
            // What is cut off by the end of the pod's grace period is not to blame for it.
            self.named
        } else {
            runs.waits_for_note() || (runs.starts() != self.starts && spaced())
        };
        if self.under_way || !due {
            return None;
        }
        let tags = runs.note();
        let named = !tags.is_empty();
        *self = Self { under_way: true, last: Some(now), starts: runs.starts(), named, ..*self };
        Some(tags)
    }

    /// Messages are asked for, and with that the broker is told what has begun.
    pub(crate) fn requested(&mut self, places: usize, starts: u64) {
        self.request = (places, starts);
    }

    /// The request is answered: with messages, or nothing was written. So many of those begin by it.
    pub(crate) fn answered(&mut self, with_messages: bool) -> usize {
        let (places, starts) = std::mem::take(&mut self.request);
        if !with_messages {
            return 0;
        }
        self.starts = self.starts.max(starts);
        self.named = true;
        places
    }

    /// The broker knows.
    pub(crate) fn written(&mut self) {
        self.under_way = false;
    }
}

/// Tells the broker each of these notes, until it knows or the lease is lost.
pub(crate) async fn note<A: Attempts + ?Sized>(
    attempts: Arc<A>,
    mut notes: mpsc::UnboundedReceiver<Vec<Tag>>,
    events: mpsc::UnboundedSender<SessionEvent>,
) {
    while let Some(tags) = notes.recv().await {
        let mut backoff = Backoff::new(RETRY);
        while let Err(error) = attempts.started(&tags).await {
            if matches!(error, BrokerError::LeaseLost) {
                return;
            }
            // Whoever receives or beats next says it aloud.
            tracing::debug!(error = %Chain(&error), "what has begun could not be noted; trying again");
            backoff.pause().await;
        }
        if events.send(SessionEvent::Noted).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use petiole_contract::pool::Mode;
    use petiole_protocol::envelope::Envelope;
    use petiole_protocol::message::Message;

    use super::*;
    use crate::run::Effects;
    use crate::work::{Limits, Work};

    fn work(tag: Tag, redelivered: bool) -> Box<Work> {
        let raw = format!(
            r#"{{"body": "[[], {{}}, {{}}]", "content-type": "application/json", "headers": {{"task": "a", "id": "{tag}", "redelivered": {redelivered}}}}}"#
        );
        let message = Message::read(&Envelope::from_redis(raw.as_bytes()).unwrap()).unwrap();
        let (plan, limits, retry) = (Arc::default(), Limits::default(), Arc::default());
        Box::new(Work {
            queue: 0,
            message,
            plan,
            limits,
            retry,
            mapping: None,
            last_chance: false,
            raw: None,
        })
    }

    fn take(runs: &mut Runs, tag: Tag, redelivered: bool, now: Instant) {
        runs.take(tag, work(tag, redelivered), now, &mut Effects::default());
    }

    fn take_noted(runs: &mut Runs, tag: Tag, now: Instant) {
        runs.take_noted(tag, work(tag, false), now, &mut Effects::default());
    }

    fn runs() -> (Runs, Instant) {
        let (mut runs, now) = (Runs::new(&Mode::Exec, 10), Instant::now());
        runs.runner_connected(1, now, &mut Effects::default());
        (runs, now)
    }

    #[test]
    fn the_first_note_is_made_at_once_and_the_next_some_time_later() {
        let (mut noting, (mut runs, now)) = (Noting::default(), runs());
        assert_eq!(noting.next(&mut runs, now), None);
        take(&mut runs, 1, false, now);
        assert_eq!(noting.next(&mut runs, now), Some(vec![1]));
        take(&mut runs, 2, false, now);
        assert_eq!(noting.next(&mut runs, now + SPACING), None, "one is under way");
        noting.written();
        assert_eq!(noting.next(&mut runs, now + SPACING / 2), None);
        assert_eq!(noting.next(&mut runs, now + SPACING).map(|tags| tags.len()), Some(2));
        noting.written();
        assert_eq!(noting.next(&mut runs, now + 2 * SPACING), None, "nothing has started since");
    }

    #[test]
    fn what_has_come_back_is_noted_at_once() {
        let (mut noting, (mut runs, now)) = (Noting::default(), runs());
        take(&mut runs, 1, false, now);
        noting.next(&mut runs, now);
        take(&mut runs, 2, true, now);
        assert_eq!(noting.next(&mut runs, now), None);
        noting.written();
        assert_eq!(noting.next(&mut runs, now).map(|tags| tags.len()), Some(2));
    }

    #[test]
    fn what_was_noted_with_its_taking_is_not_noted_again() {
        let (mut noting, (mut runs, now)) = (Noting::default(), runs());
        assert_eq!(runs.places(), 10);
        noting.requested(runs.places(), runs.starts());
        assert_eq!(noting.answered(true), 10);
        take_noted(&mut runs, 1, now);
        assert_eq!((noting.next(&mut runs, now), runs.begun(), runs.places()), (None, vec![1], 9));
        // One for which nothing was written is, and with it the other.
        noting.requested(runs.places(), runs.starts());
        assert_eq!(noting.answered(false), 0);
        take(&mut runs, 2, false, now);
        assert_eq!(noting.next(&mut runs, now).map(|tags| tags.len()), Some(2));
        noting.written();
        // What a request has told of needs no note, once it was answered with messages.
        take(&mut runs, 3, false, now);
        noting.requested(runs.places(), runs.starts());
        noting.answered(true);
        assert_eq!(noting.next(&mut runs, now + SPACING), None);
    }

    #[test]
    fn a_drain_takes_back_what_was_noted_with_a_taking() {
        let (mut noting, (mut runs, now)) = (Noting::default(), runs());
        noting.requested(runs.places(), runs.starts());
        noting.answered(true);
        take_noted(&mut runs, 1, now);
        runs.drain(now, &mut Effects::default());
        assert_eq!(noting.next(&mut runs, now), Some(Vec::new()));
    }

    #[test]
    fn a_drain_takes_the_note_back_once() {
        let (mut noting, (mut runs, now)) = (Noting::default(), runs());
        take(&mut runs, 1, false, now);
        noting.next(&mut runs, now);
        runs.drain(now, &mut Effects::default());
        assert_eq!(noting.next(&mut runs, now), None);
        noting.written();
        assert_eq!(noting.next(&mut runs, now), Some(Vec::new()));
        noting.written();
        assert_eq!(noting.next(&mut runs, now), None);
    }
}
