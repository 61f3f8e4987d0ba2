//! Listening: requests that are for this node and still wanted, read.

use std::sync::PoisonError;

use jiff::Timestamp;
use petiole_broker::{Heard, Mailbox};
use petiole_process::log::Chain;
use petiole_protocol::control::{Answer, Command, ReplyTo, Request};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::event::Clock;
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

/// Listens until the receiver is gone.
pub(super) async fn listen(
    mailbox: &dyn Mailbox,
    nodename: &str,
    bindings: &Bindings,
    clock: &Clock,
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
                tracing::warn!(error = %Chain(&malformed), "a request of remote control is no message");
                None
            }
            Heard::Request(Ok(envelope)) => asked(&envelope, nodename, clock, Timestamp::now())
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
fn asked(envelope: &Envelope, nodename: &str, clock: &Clock, now: Timestamp) -> Option<Asked> {
    let request = match Request::read(envelope) {
        Ok(request) => request,
        Err(refused) => {
            tracing::warn!(error = %Chain(&refused), "a request of remote control was passed over");
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
    use petiole_protocol::json::Object;

    use super::*;

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
        let taken = |headers: &str, body: &str| asked(&request(headers, body), "w@h", &clock, now);
        assert_eq!(taken("{}", r#"{"method": "ping"}"#).unwrap().command, Ok(Command::Ping));
        assert!(taken("{}", r#"{"method": "ping", "destination": ["a@h"]}"#).is_none());
        assert!(taken(r#"{"expires": 99.5}"#, r#"{"method": "ping"}"#).is_none());
        assert!(taken("{}", "[]").is_none());
    }

    #[test]
    fn every_request_moves_the_clock() {
        let clock = Clock::default();
        let other = request(r#"{"clock": 41}"#, r#"{"method": "ping", "destination": ["a@h"]}"#);
        assert!(asked(&other, "w@h", &clock, Timestamp::UNIX_EPOCH).is_none());
        assert_eq!(clock.value(), 42);
    }

    #[test]
    fn a_request_that_cannot_be_read_is_answered_as_celery_does() {
        let unknown = request("{}", r#"{"method": "nonexistent"}"#);
        let asked = asked(&unknown, "w@h", &Clock::default(), Timestamp::UNIX_EPOCH).unwrap();
        let Err(answer) = asked.command else { panic!() };
        assert_eq!(answer.as_str(), r#"{"error": "KeyError('nonexistent')"}"#);
    }
}
