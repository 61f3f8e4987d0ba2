//! What a message becomes when it goes back to its queue, is tried again, or is given up. Everything else in it stays
//! as it came.

use std::borrow::Cow;

use jiff::Timestamp;
use petiole_protocol::envelope::{Envelope, Malformed, Properties};
use petiole_protocol::json::{self, Object, quote};
use petiole_protocol::keys::priority_step;
use petiole_protocol::redis::{mark_redelivered, with_header};
use petiole_protocol::time;

/// The header of a message that was given up: an object with `reason`, `queue` and `at`.
pub const DEAD_LETTER: &str = "petiole-dead-letter";

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

/// The header that counts the deliveries that were lost: attempts that had begun when their worker ended. A whole
/// number; absent for none.
pub const DELIVERIES: &str = "petiole-deliveries";

/// How many deliveries of this message were lost.
pub fn deliveries(headers: &Object) -> u32 {
    headers.get(DELIVERIES).and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// The message whose worker ended while it ran: marked as kombu marks what it restores, and counted. Bytes that are
/// no message go back as they are.
pub fn lost(raw: &[u8]) -> Cow<'_, [u8]> {
    let marked = redelivered(raw);
    let Ok(envelope) = Envelope::from_redis(&marked) else { return marked };
    let count = deliveries(&envelope.headers).saturating_add(1);
    with_header(&marked, DELIVERIES, &count.to_string()).map_or(marked, Cow::Owned)
}

/// The message as a retry: with so many tries before it, and not to run before this time. A task without a parent gets
/// itself as one, as on Celery 5.7. A message of protocol 1 says all that in its body, which must be plain JSON.
pub fn retry(raw: &[u8], until: Timestamp, retries: u32) -> Result<Vec<u8>, Malformed> {
    let mut envelope = Envelope::from_redis(raw)?;
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
    let raw = with_header(raw, "retries", &retries)?;
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

/// The message with the reason for which it was given up in its headers. Bytes that are no message become the body
/// of one, so that who reads the dead-letter queue finds the reason there too.
pub fn dead_letter(raw: &[u8], reason: &str, queue: &str, at: Timestamp) -> Vec<u8> {
    let header = format!(
        "{{\"reason\": {}, \"queue\": {}, \"at\": {}}}",
        quote(reason),
        quote(queue),
        quote(&at.to_string())
    );
    if let Ok(marked) = with_header(raw, DEAD_LETTER, &header) {
        return marked;
    }
    let mut headers = Object::default();
    // Only a value that is not JSON is refused.
    let _ = headers.set(DEAD_LETTER, header.as_bytes());
    Envelope {
        headers,
        properties: Properties::default(),
        content_type: Some("application/octet-stream".to_owned()),
        content_encoding: Some("binary".to_owned()),
        body: raw.to_vec().into(),
    }
    .to_redis()
}

/// The priority step that the message came from and goes back to. Bytes that are no message go to the first one.
pub fn step(raw: &[u8], steps: &[u8]) -> u8 {
    let priority = Envelope::from_redis(raw).ok().and_then(|envelope| envelope.properties.priority);
    priority_step(priority.unwrap_or_default(), steps)
}

#[cfg(test)]
mod tests {
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
        let again = |raw: &str| String::from_utf8(retry(raw.as_bytes(), until, 1).unwrap()).unwrap();
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
    fn a_retry_of_protocol_1_says_it_in_its_body() {
        let until = Timestamp::UNIX_EPOCH;
        let body = br#"{"task": "a", "id": "x", "retries": 2, "args": [NaN], "eta": null}"#;
        let envelope = Envelope { body: body.to_vec().into(), ..Envelope::default() };
        let again = Envelope::from_redis(&retry(&envelope.to_redis(), until, 3).unwrap()).unwrap();
        assert_eq!(
            &again.body[..],
            br#"{"task": "a", "id": "x", "retries": 3, "args": [NaN], "eta": "1970-01-01T00:00:00.000000+00:00"}"#
        );
        let pickled = Envelope { body: b"\x80\x02}q"[..].into(), ..Envelope::default() };
        assert!(retry(&pickled.to_redis(), until, 1).is_err());
        assert!(retry(b"no message", until, 1).is_err());
    }

    #[test]
    fn what_waits_is_not_due_before_its_time() {
        let due_at = |text: &str| due(text.parse().unwrap());
        assert_eq!(due_at("1970-01-01T00:00:01Z"), 1000);
        assert_eq!(due_at("1970-01-01T00:00:01.0000011Z"), 1001);
        assert_eq!(due_at("1969-12-31T23:59:59.9995Z"), 0);
    }

    #[test]
    fn a_message_that_is_given_up_says_why() {
        let dead = dead_letter(RAW, "no \"task\"", "mail", Timestamp::UNIX_EPOCH);
        let headers = Envelope::from_redis(&dead).unwrap().headers;
        assert_eq!(headers.get("task"), Some("\"a\""));
        assert_eq!(
            headers.get(DEAD_LETTER),
            Some(r#"{"reason": "no \"task\"", "queue": "mail", "at": "1970-01-01T00:00:00Z"}"#)
        );
    }

    #[test]
    fn each_lost_delivery_is_counted() {
        let once = lost(RAW);
        let envelope = Envelope::from_redis(&once).unwrap();
        assert_eq!(envelope.headers.get(DELIVERIES), Some("1"));
        assert!(envelope.redelivered());
        assert_eq!(deliveries(&Envelope::from_redis(&lost(&once)).unwrap().headers), 2);
        assert_eq!(&lost(b"\xff[")[..], b"\xff[");
    }

    #[test]
    fn bytes_that_are_no_message_are_given_up_as_the_body_of_one() {
        let dead =
            Envelope::from_redis(&dead_letter(b"\xff[", "not JSON", "mail", Timestamp::UNIX_EPOCH)).unwrap();
        assert_eq!(&dead.body[..], b"\xff[");
        assert!(dead.headers.get(DEAD_LETTER).unwrap().contains("not JSON"));
        assert_eq!(&redelivered(b"\xff[")[..], b"\xff[");
    }
}
