//! Listening: requests that are for this node and still wanted, read.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use petiole_broker::{Heard, Mailbox};
use petiole_process::log::Chain;
use petiole_process::metrics::IntCounterVec;
use petiole_protocol::control::{Answer, Command, ReplyTo, Request};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::event::Clock;
use petiole_protocol::message::Accept;
use tokio::sync::mpsc;

use super::{Bindings, ControlEvent};

/// A request to this node.
#[derive(Debug)]
pub struct Asked {
    /// What is asked; or what is answered because it cannot be read.
    pub command: Result<Command, Answer>,
    /// Where the answer goes; `None` when none is wanted.
    pub reply_to: Option<ReplyTo>,
}

/// The reason of a request that was passed over because it is no message.
const MALFORMED: &str = "Malformed";

/// Between two lines of the log about requests that were passed over.
const QUIET: Duration = Duration::from_secs(10);

/// What of remote control is read, and what becomes of the rest.
pub(super) struct Reading {
    accept: Accept,
    refused: IntCounterVec,
    /// When the log was last told of a request that was passed over, and of how many it was not told since.
    told: Option<Instant>,
    untold: u64,
}

impl Reading {
    /// For workers that read this of tasks. What is passed over is counted.
    pub(super) fn new(accept: Accept, refused: IntCounterVec) -> Self {
        Self { accept: accept.of_control(), refused, told: None, untold: 0 }
    }

    /// A request is passed over. Anybody can send as many as they like: the log has one line in a while.
    fn pass_over(&mut self, reason: &str, why: &(dyn std::error::Error + 'static), now: Instant) {
        self.refused.with_label_values(&[reason]).inc();
        if self.told.is_some_and(|told| now.duration_since(told) < QUIET) {
            self.untold += 1;
            return;
        }
        self.told = Some(now);
        let others = std::mem::take(&mut self.untold);
        tracing::warn!(reason, others, error = %Chain(why), "a request of remote control was passed over");
    }
}

/// Listens until the receiver is gone.
pub(super) async fn listen(
    mailbox: &dyn Mailbox,
    nodename: &str,
    bindings: &Bindings,
    clock: &Clock,
    mut reading: Reading,
    events: &mpsc::Sender<ControlEvent>,
) {
    loop {
        let event = match mailbox.next().await {
            Heard::Listening => {
                // A broker that has lost its data has lost these as well.
                let bindings = bindings.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Err(error) = mailbox.bind(&bindings).await {
                    tracing::warn!(error = %Chain(&error), "the queues are not bound to their exchanges");
                }
                Some(ControlEvent::Listening)
            }
            Heard::Deaf(error) => {
                tracing::debug!(error = %Chain(&error), "remote control cannot be heard; trying again");
                None
            }
            Heard::Request(Err(malformed)) => {
                reading.pass_over(MALFORMED, &malformed, Instant::now());
                None
            }
            Heard::Request(Ok(envelope)) => asked(&envelope, nodename, clock, &mut reading, Timestamp::now())
                .map(|asked| ControlEvent::Asked(asked.into())),
        };
        if let Some(event) = event
            && events.send(event).await.is_err()
        {
            return;
        }
    }
}

/// What this node is asked, if it is. Every request moves its clock.
fn asked(
    envelope: &Envelope,
    nodename: &str,
    clock: &Clock,
    reading: &mut Reading,
    now: Timestamp,
) -> Option<Asked> {
    let request = match Request::read(envelope, &reading.accept, now) {
        Ok(request) => request,
        Err(refused) => {
            reading.pass_over(refused.reason(), &refused, Instant::now());
            return None;
        }
    };
    clock.adjust(request.clock.unwrap_or_default());
    if !request.selects(nodename) || request.is_expired(now) {
        return None;
    }
    let command = Command::read(&request.method, &request.arguments);
    Some(Asked { command, reply_to: request.reply_to })
}

#[cfg(test)]
mod tests {
    use petiole_process::metrics::Registry;
    use petiole_protocol::json::Object;

    use super::*;
    use crate::metrics::Metrics;

    fn reading() -> Reading {
        Reading::new(Accept::default(), Metrics::new(&Registry::default()).unwrap().control_refused)
    }

    fn request(headers: &str, body: &str) -> Envelope {
        Envelope {
            headers: Object::read(headers.as_bytes()).unwrap(),
            content_type: Some("application/json".to_owned()),
            body: body.to_owned().into(),
            ..Envelope::default()
        }
    }

    #[test]
    fn only_requests_to_this_node_that_are_still_wanted_are_taken_up() {
        let (clock, now) = (Clock::default(), Timestamp::from_second(100).unwrap());
        let mut reading = reading();
        let mut taken =
            |headers: &str, body: &str| asked(&request(headers, body), "w@h", &clock, &mut reading, now);
        assert_eq!(taken("{}", r#"{"method": "ping"}"#).unwrap().command, Ok(Command::Ping));
        assert!(taken("{}", r#"{"method": "ping", "destination": ["a@h"]}"#).is_none());
        assert!(taken(r#"{"expires": 99.5}"#, r#"{"method": "ping"}"#).is_none());
        assert!(taken("{}", "[]").is_none());
    }

    #[test]
    fn every_request_moves_the_clock() {
        let clock = Clock::default();
        let other = request(r#"{"clock": 41}"#, r#"{"method": "ping", "destination": ["a@h"]}"#);
        assert!(asked(&other, "w@h", &clock, &mut reading(), Timestamp::UNIX_EPOCH).is_none());
        assert_eq!(clock.value(), 42);
    }

    #[test]
    fn a_request_that_cannot_be_read_is_answered_as_celery_does() {
        let unknown = request("{}", r#"{"method": "nonexistent"}"#);
        let asked = asked(&unknown, "w@h", &Clock::default(), &mut reading(), Timestamp::UNIX_EPOCH).unwrap();
        let Err(answer) = asked.command else { panic!() };
        assert_eq!(answer.as_str(), r#"{"error": "KeyError('nonexistent')"}"#);
    }

    #[test]
    fn what_is_passed_over_is_counted_by_its_reason_and_told_now_and_then() {
        let (mut reading, now) = (reading(), Instant::now());
        let yaml = Envelope {
            content_type: Some("application/x-yaml".to_owned()),
            ..request("{}", "{method: ping}")
        };
        let clock = Clock::default();
        for _ in 0..3 {
            assert!(asked(&yaml, "w@h", &clock, &mut reading, Timestamp::UNIX_EPOCH).is_none());
        }
        assert_eq!(reading.refused.with_label_values(&["ContentDisallowed"]).get(), 3);
        assert_eq!(reading.untold, 2);
        let why = std::fmt::Error;
        reading.pass_over(MALFORMED, &why, now + 2 * QUIET);
        assert_eq!((reading.untold, reading.refused.with_label_values(&[MALFORMED]).get()), (0, 1));
    }
}
