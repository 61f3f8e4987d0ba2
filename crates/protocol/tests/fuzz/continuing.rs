//! Canvases that nobody meant: what follows a task is a few messages that say whose they are, or an error.

use petiole_protocol::canvas::{self, CanvasError, FollowUps, SavedGroup, Sender, Target};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::json::{self, Object};
use petiole_protocol::message::Message;
use petiole_protocol::record::Exception;

use crate::seeds;

/// The most bytes that one task may send, all messages together: what the canvas itself is held to, and room for
/// envelopes.
const MOST: usize = 2 * canvas::MAX_BYTES;

/// As a task of a chord's header gets them, so that parts are counted too.
const HEADERS: &[u8] =
    br#"{"task": "t", "id": "i", "root_id": "r", "group": "g", "group_index": 3, "stamps": {}, "stamped_headers": []}"#;

/// Each input as the body of a task that has ended, and who sends what follows it.
fn after_tasks(name: &str, outcome: impl Fn(&Message, &Sender<'_>) -> String) {
    crate::fuzz(name, seeds::canvases(), |bytes| {
        let envelope = Envelope {
            headers: Object::read(HEADERS).unwrap(),
            content_type: Some("application/json".to_owned()),
            body: bytes.to_vec().into(),
            ..Envelope::default()
        };
        let Ok(message) = Message::read(&envelope) else { return "no message".to_owned() };
        let route = |_: &str| Target::Queue("q".to_owned());
        let sender = Sender {
            origin: "w@h",
            delivery: "d",
            route: &route,
            inherit_priority: true,
            extended: true,
            now: seeds::now(),
        };
        outcome(&message, &sender)
    });
}

#[test]
fn any_canvas_goes_on_or_fails_its_task() {
    after_tasks("canvas", |message, sender| {
        let failed = canvas::after_failure(message, &Exception::new("m", "E", "x"), sender);
        let after = sent(&failed);
        match canvas::after_success(message, "[1, {}]", sender) {
            Ok(follow_ups) => format!("{} and {after}", sent(&follow_ups)),
            Err(error) => {
                let _ = error.exception();
                error.to_string()
            }
        }
    });
}

#[test]
fn any_signature_replaces_a_task_or_is_added_to_its_chord_or_fails_it() {
    after_tasks("replaced", |message, sender| {
        // What follows the task is as good a signature as any.
        let embed = message.follow_ups();
        let signatures = [embed.callbacks, embed.chain].into_iter().flatten();
        let signatures = signatures.filter_map(|list| json::elements(list.as_bytes()).ok()).flatten();
        let Some(signature) = signatures.chain(embed.chord).next() else { return "no signature".to_owned() };
        let told = |made: Result<FollowUps, CanvasError>| match made {
            Ok(follow_ups) => sent(&follow_ups),
            Err(error) => {
                let _ = error.exception();
                error.to_string()
            }
        };
        let replaced = told(canvas::replaced(message, signature, sender));
        format!("{replaced} and {}", told(canvas::added_to_chord(message, [signature], sender)))
    });
}

/// Checks that who gets what is sent knows whose it is; and a word for what it is.
fn sent(follow_ups: &FollowUps) -> String {
    let mut bytes = 0;
    for outgoing in &follow_ups.sends {
        let raw = outgoing.envelope.to_redis();
        bytes += raw.len();
        // An option that is wrong (an `eta` that is no time) is for who gets it to refuse, and to tell the client.
        let (id, task) = match Message::read(&Envelope::from_redis(&raw).unwrap()) {
            Ok(message) => (Some(message.id), Some(message.task)),
            Err(refused) => (refused.id, refused.task),
        };
        assert_eq!((id.as_ref(), task.as_ref()), (Some(&outgoing.id), Some(&outgoing.task)));
    }
    assert!(bytes <= MOST, "{bytes} bytes");
    for record in &follow_ups.records {
        Object::read(record.document.as_bytes()).unwrap();
    }
    for start in &follow_ups.starts {
        assert!(start.saved.as_ref().is_none_or(|saved| SavedGroup::read(saved).is_some()));
    }
    let FollowUps { starts, sends, records, parts, refused, .. } = follow_ups;
    let some = |count: usize| count.min(3);
    let lengths = [starts.len(), sends.len(), records.len(), parts.len()].map(some);
    format!("{lengths:?} {}", refused.is_some())
}
