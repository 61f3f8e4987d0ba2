//! What a message becomes when it goes back to its queue, or is tried again. Everything else in it stays as it came.

use std::borrow::Cow;

use jiff::Timestamp;
use petiole_protocol::envelope::{Envelope, Malformed};
use petiole_protocol::json::{self, Object, quote};
use petiole_protocol::keys::priority_step;
use petiole_protocol::message::NewBody;
use petiole_protocol::redis::{mark_redelivered, with_header};
use petiole_protocol::time;

/// The message, marked as kombu marks what it restores. Bytes that are no message go back as they are.
pub fn redelivered(raw: &[u8]) -> Cow<'_, [u8]> {
    mark_redelivered(raw).map_or(Cow::Borrowed(raw), Cow::Owned)
}

/// The id of the message's task: by its headers, or, in protocol 1, by its correlation id, which is the same.
pub fn task_id(envelope: &Envelope) -> Option<String> {
    let id = envelope.headers.get("id").and_then(|id| Some(json::string(id)?.into_owned()));
    id.or_else(|| envelope.properties.correlation_id.clone())
}

/// The id of the task in these bytes; none, when they are no message.
pub(crate) fn id_in(raw: &[u8]) -> Option<String> {
    task_id(&Envelope::from_redis(raw).ok()?)
}

/// The message as a retry: with so many tries before it, and not to run before this time. A task without a parent gets
/// itself as one, as on Celery 5.7. A message of protocol 1 says all that in its body, which must be plain JSON. `body`
/// is the new one, where its arguments change.
pub fn retry(
    raw: &[u8],
    until: Timestamp,
    retries: u32,
    body: Option<&NewBody>,
) -> Result<Vec<u8>, Malformed> {
    let mut envelope = Envelope::from_redis(raw)?;
    let raw = match body {
        None => Cow::Borrowed(raw),
        Some(body) => {
            body.put_in(&mut envelope);
            Cow::Owned(envelope.to_redis())
        }
    };
    let (retries, eta) = (retries.to_string(), quote(&time::print(until)));
    let present = |name| envelope.headers.get(name).filter(|value| *value != "null");
    if present("task").is_none() {
        let mut body = Object::read(&envelope.body).map_err(Malformed::NotJson)?;
        for (name, value) in [("retries", &retries), ("eta", &eta)] {
            body.set(name, value.as_bytes()).map_err(Malformed::NotJson)?;
        }
        envelope.body = body.as_str().to_owned().into();
        return Ok(envelope.to_redis());
    }
    let raw = with_header(&raw, "retries", &retries)?;
    let raw = with_header(&raw, "eta", &eta)?;
    match (present("parent_id"), present("id")) {
        (None, Some(id)) => with_header(&raw, "parent_id", id),
        _ => Ok(raw),
    }
}

/// The reason of a message that goes to the dead-letter queue because it cannot be made a retry.
pub fn not_retried(error: &Malformed) -> String {
    format!("NotRetried: the message cannot be changed to be tried again: {error}")
}

/// When a message that waits until this time is due: the first whole millisecond that is not before it, so that it
/// is not found too early.
pub fn due(until: Timestamp) -> i64 {
    let microseconds = until.as_microsecond();
    microseconds.div_euclid(1000) + i64::from(microseconds.rem_euclid(1000) > 0)
}

/// The priority step that the message came from and goes back to. Bytes that are no message go to the first one.
pub fn step(raw: &[u8], steps: &[u8]) -> u8 {
    let priority = Envelope::from_redis(raw).ok().and_then(|envelope| envelope.properties.priority);
    priority_step(priority.unwrap_or_default(), steps)
}

#[cfg(test)]
mod tests {
    use petiole_protocol::message::{Arguments, Message};

    use super::*;

    const RAW: &[u8] =
        br#"{"body": "W10=", "headers": {"task": "a"}, "properties": {"priority": 5, "delivery_info": {}}}"#;

    #[test]
    fn a_message_goes_back_to_the_step_of_its_priority() {
        assert_eq!(step(RAW, &[0, 3, 6, 9]), 3);
        assert_eq!(step(b"no message", &[0, 3, 6, 9]), 0);
    }

    #[test]
    fn a_retry_says_how_often_when_and_by_whom_and_changes_nothing_else() {
        let until = "2026-11-21T10:25:14.0754321Z".parse().unwrap();
        let again = |raw: &str| String::from_utf8(retry(raw.as_bytes(), until, 1, None).unwrap()).unwrap();
        let raw = r#"{"body":"W10=", "headers": {"task": "a", "id": "x", "x-a" :[NaN], "eta": null, "retries": 0, "parent_id": null}, "properties":{"priority":5 }}"#;
        let eta = r#""2026-11-21T10:25:14.075432+00:00""#;
        let expected = raw
            .replace("\"eta\": null", &format!("\"eta\": {eta}"))
            .replace("\"retries\": 0", "\"retries\": 1")
            .replace("\"parent_id\": null", "\"parent_id\": \"x\"");
        assert_eq!(again(raw), expected);
        let child = raw.replace("\"parent_id\": null", "\"parent_id\": \"p\"");
        assert!(again(&child).contains(r#""parent_id": "p""#));
        let bare = again(r#"{"headers": {"task": "a", "id": "x"}}"#);
        assert_eq!(
            bare,
            format!(
                r#"{{"headers": {{"task": "a", "id": "x", "retries": 1, "eta": {eta}, "parent_id": "x"}}}}"#
            )
        );
    }

    #[test]
    fn a_retry_may_have_other_arguments() {
        let envelope = Envelope {
            headers: Object::read(br#"{"task": "a", "id": "x"}"#).unwrap(),
            content_type: Some("application/json".to_owned()),
            body: "[[1], {}, {}]".into(),
            ..Envelope::default()
        };
        let arguments = Arguments { args: Some("[2]".to_owned()), kwargs: None };
        let body = Message::read(&envelope).unwrap().with_arguments(&arguments).unwrap();
        let again = retry(&envelope.to_redis(), Timestamp::UNIX_EPOCH, 1, Some(&body)).unwrap();
        let again = Message::read(&Envelope::from_redis(&again).unwrap()).unwrap();
        assert_eq!((again.args(), again.retries, again.id.as_str()), ("[2]", 1, "x"));
    }

    #[test]
    fn a_retry_of_protocol_1_says_it_in_its_body() {
        let until = Timestamp::UNIX_EPOCH;
        let body = br#"{"task": "a", "id": "x", "retries": 2, "args": [NaN], "eta": null}"#;
        let envelope = Envelope { body: body.to_vec().into(), ..Envelope::default() };
        let again = Envelope::from_redis(&retry(&envelope.to_redis(), until, 3, None).unwrap()).unwrap();
        assert_eq!(
            &again.body[..],
            br#"{"task": "a", "id": "x", "retries": 3, "args": [NaN], "eta": "1970-01-01T00:00:00.000000+00:00"}"#
        );
        let pickled = Envelope { body: b"\x80\x02}q"[..].into(), ..Envelope::default() };
        assert!(retry(&pickled.to_redis(), until, 1, None).is_err());
        assert!(retry(b"no message", until, 1, None).is_err());
    }

    #[test]
    fn what_waits_is_not_due_before_its_time() {
        let due_at = |text: &str| due(text.parse().unwrap());
        assert_eq!(due_at("1970-01-01T00:00:01Z"), 1000);
        assert_eq!(due_at("1970-01-01T00:00:01.0000011Z"), 1001);
        assert_eq!(due_at("1969-12-31T23:59:59.9995Z"), 0);
    }
}
