//! Chords that nobody counts.

use petiole_protocol::canvas::builtin::{Decision, Unlock};

use super::*;
use crate::settle::Unlocking;

/// A look at the header of `g`, as the message of that many tries.
fn unlocked(decision: Decision, retries: u32, kwargs: &str) -> (Step, Verdict) {
    let body = r#"{"task": "total", "args": [], "options": {"task_id": "body", "queue": "mail"}}"#;
    let raw = serde_json::json!({
        "body": format!(r#"[["g", {body}], {{"result": [[["a", null], null]]{kwargs}}}, {{}}]"#),
        "content-type": "application/json",
        "headers": { "task": "celery.chord_unlock", "id": "1", "retries": retries },
        "properties": {},
    });
    let message = Message::read(&Envelope::from_redis(raw.to_string().as_bytes()).unwrap()).unwrap();
    let unlock = Unlock::read(&message).unwrap();
    let work = Box::new(Work { message, ..*work("", "", Task::default()) });
    settle().unlocked(7, Unlocking { work, unlock }, decision, NOW)
}

#[test]
fn a_header_that_has_not_ended_is_looked_at_again_after_a_while() {
    let again = |retries, kwargs: &str| match unlocked(Decision::Again, retries, kwargs) {
        (Step { settlement, ending: None, .. }, Verdict::Retried(_)) => settlement.disposition,
        other => panic!("{other:?}"),
    };
    let after = |milliseconds: i64, retries| {
        let until = NOW + jiff::SignedDuration::from_millis(milliseconds);
        Disposition::Retry { until, retries, body: None }
    };
    assert_eq!(again(0, ""), after(1000, 1), "Celery's interval, without end");
    assert_eq!(again(900, r#", "interval": 0.5"#), after(500, 901));
    assert_eq!(again(2, r#", "max_retries": 3"#), after(1000, 3));
}

#[test]
fn a_header_that_has_ended_calls_its_body_with_the_values() {
    let values = vec!["1".to_owned(), "[2]".to_owned()];
    let (Step { settlement, .. }, verdict) = unlocked(Decision::Body(values), 4, "");
    assert_eq!(settlement.disposition, Disposition::Ack);
    assert_eq!(verdict, Verdict::Succeeded(Bytes::from_static(b"null")));
    assert_eq!(settlement.records, [], "it has no record of its own");
    let [sent] = &settlement.sends[..] else { panic!("{:?}", settlement.sends) };
    assert_eq!(sent.to, Target::Queue("mail".to_owned()));
    let message = Message::read(&Envelope::from_redis(&sent.message).unwrap()).unwrap();
    assert_eq!((&*message.id, &*message.task, message.args()), ("body", "total", "[[1, [2]]]"));
}

#[test]
fn a_chord_fails_with_its_header_and_when_nobody_looks_any_more() {
    let failed = |decision, retries, kwargs: &str| {
        let (Step { settlement, .. }, verdict) = unlocked(decision, retries, kwargs);
        assert_eq!((settlement.sends.len(), settlement.disposition), (0, Disposition::Ack));
        let [record] = &settlement.records[..] else { panic!("{:?}", settlement.records) };
        assert_eq!(record.task_id, "body");
        (record.document.clone(), verdict)
    };
    let failure = petiole_protocol::canvas::ChordFailure::dependency("a", "null");
    let (document, verdict) = failed(Decision::Failed(Box::new(failure)), 0, "");
    assert!(document.contains("Dependency a raised"), "{document}");
    assert!(matches!(verdict, Verdict::Succeeded(_)));
    let (document, verdict) = failed(Decision::Again, 3, r#", "max_retries": 3"#);
    assert!(document.contains("chord_unlock could not be retried: MaxRetriesExceededError"), "{document}");
    assert!(matches!(verdict, Verdict::Failed(_)));
}
