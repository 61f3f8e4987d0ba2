//! Remote control and events that nobody meant.

use jiff::Timestamp;
use petiole_protocol::control::{Command, Reply, Request};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::event::Heard;
use petiole_protocol::json;
use petiole_protocol::message::Accept;

use crate::seeds;

fn envelope(bytes: &[u8]) -> Envelope {
    Envelope {
        content_type: Some("application/json".to_owned()),
        body: bytes.to_vec().into(),
        ..Envelope::default()
    }
}

#[test]
fn any_request_is_a_command_or_is_answered() {
    crate::fuzz("control", seeds::control("request"), |bytes| {
        let request = match Request::read(&envelope(bytes), &Accept::default(), Timestamp::UNIX_EPOCH) {
            Ok(request) => request,
            Err(refused) => return refused.to_string().chars().take(24).collect(),
        };
        let selected = request.selects("worker@host");
        let _ = request.is_expired(seeds::now());
        match Command::read(&request.method, &request.arguments) {
            Ok(command) => {
                let command = format!("{command:?}");
                let name = command.split(|char: char| !char.is_alphanumeric()).next();
                format!("{} {selected} {}", name.unwrap_or_default(), request.reply_to.is_some())
            }
            Err(answer) => {
                assert_eq!(json::check(answer.as_str().as_bytes()), Ok(answer.as_str()));
                // What follows names what was mutated.
                answer.as_str().chars().take(24).collect()
            }
        }
    });
}

#[test]
fn any_reply_is_one_or_is_not() {
    crate::fuzz("reply", seeds::control("reply"), |bytes| match Reply::read(&envelope(bytes)) {
        Ok(reply) => format!("{} revoked", reply.revoked().len().min(3)),
        Err(refused) => refused.to_string(),
    });
}

#[test]
fn any_events_are_heard_or_are_not() {
    crate::fuzz("event", seeds::events(), |bytes| match Heard::read(&envelope(bytes)) {
        Ok(events) => {
            let names: Vec<_> = events.iter().map(|event| event.name().is_some()).take(3).collect();
            format!("{names:?}")
        }
        Err(refused) => refused.to_string(),
    });
}
