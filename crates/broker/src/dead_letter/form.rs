//! What a message becomes when it is given up, and when it is put back. Everything else in it stays as it came.

use jiff::Timestamp;
use petiole_protocol::envelope::{Envelope, Properties};
use petiole_protocol::json::{self, Object, quote};
use petiole_protocol::keys::PRIORITY_STEPS;
use petiole_protocol::redis::{with_header, without_headers};
use serde::Deserialize;

use crate::lost::{self, DELIVERIES, HISTORY, LostDelivery};
use crate::message;

/// The header of a message that was given up: an object with `reason`, `queue`, `at`, `step` (of its priority), and
/// `wrapped` where the message is the body.
pub const DEAD_LETTER: &str = "petiole-dead-letter";

/// What stands in that header.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Why {
    reason: String,
    queue: String,
    at: Timestamp,
    step: Option<u8>,
    #[serde(default)]
    wrapped: bool,
}

/// The message with the reason for which it was given up in its headers, and where it came from. Bytes that are no
/// message become the body of one, so that who reads the dead-letter queue finds the reason there too.
pub(crate) fn bury(raw: &[u8], reason: &str, queue: &str, step: u8, at: Timestamp) -> Vec<u8> {
    let header = |wrapped: &str| {
        let (reason, queue, at) = (quote(reason), quote(queue), quote(&at.to_string()));
        format!("{{\"reason\": {reason}, \"queue\": {queue}, \"at\": {at}, \"step\": {step}{wrapped}}}")
    };
    if let Ok(marked) = with_header(raw, DEAD_LETTER, &header("")) {
        return marked;
    }
    let mut headers = Object::default();
    // Only a value that is not JSON is refused.
    let _ = headers.set(DEAD_LETTER, header(", \"wrapped\": true").as_bytes());
    Envelope {
        headers,
        properties: Properties::default(),
        content_type: Some("application/octet-stream".to_owned()),
        content_encoding: Some("binary".to_owned()),
        body: raw.to_vec().into(),
    }
    .to_redis()
}

/// A message in a dead-letter queue. What it does not say, or says in a way that cannot be read, is absent: others may
/// put messages there too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The bytes in the queue, by which it is taken out.
    pub(crate) raw: Vec<u8>,
    /// How many older ones stood before it.
    pub(crate) place: usize,
    why: Option<Why>,
    /// The task's id.
    pub id: Option<String>,
    /// The task's name.
    pub task: Option<String>,
    /// How many deliveries of it were lost.
    pub deliveries: u32,
    /// How the last of them were lost, the oldest first.
    pub history: Vec<LostDelivery>,
}

/// A message that goes back to the queue that it came from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PutBack {
    pub(crate) queue: String,
    pub(crate) step: u8,
    pub(crate) raw: Vec<u8>,
}

impl DeadLetter {
    /// Reads what stands in a dead-letter queue, behind so many older ones.
    pub(crate) fn read(raw: Vec<u8>, place: usize) -> Self {
        let envelope = Envelope::from_redis(&raw).unwrap_or_default();
        let headers = &envelope.headers;
        let why = headers.get(DEAD_LETTER).and_then(|why| serde_json::from_str(why).ok());
        let text = |value: &str| json::string(value).map(std::borrow::Cow::into_owned);
        // Protocol 1 says both in its body.
        let body = Object::read(&envelope.body).unwrap_or_default();
        let said = |name| headers.get(name).and_then(text).or_else(|| body.get(name).and_then(text));
        Self {
            why,
            id: said("id").or_else(|| message::task_id(&envelope)),
            task: said("task"),
            deliveries: lost::deliveries(headers),
            history: lost::history(headers),
            raw,
            place,
        }
    }

    /// Why it was given up: a word for machines, a colon, and a sentence.
    pub fn reason(&self) -> Option<&str> {
        self.why.as_ref().map(|why| why.reason.as_str())
    }

    /// The queue that it came from.
    pub fn queue(&self) -> Option<&str> {
        self.why.as_ref().map(|why| why.queue.as_str())
    }

    /// When it was given up.
    pub fn at(&self) -> Option<Timestamp> {
        self.why.as_ref().map(|why| why.at)
    }

    /// The message as it goes back: as if nothing had happened to it but that it was delivered before. `None` when it
    /// does not say where it came from.
    pub(crate) fn put_back(&self) -> Option<PutBack> {
        let why = self.why.clone()?;
        let raw = if why.wrapped {
            Envelope::from_redis(&self.raw).ok()?.body.to_vec()
        } else {
            without_headers(&self.raw, &[DEAD_LETTER, DELIVERIES, HISTORY]).ok()?
        };
        let step = why.step.unwrap_or_else(|| message::step(&raw, &PRIORITY_STEPS));
        Some(PutBack { queue: why.queue, step, raw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &[u8] =
        br#"{"body": "W10=", "headers": {"task": "a", "id": "1"}, "properties": {"priority": 5}}"#;

    fn read(raw: &[u8]) -> DeadLetter {
        DeadLetter::read(raw.to_vec(), 0)
    }

    #[test]
    fn a_message_that_is_given_up_says_why_and_where_it_came_from() {
        let dead = bury(RAW, "no \"task\"", "mail", 3, Timestamp::UNIX_EPOCH);
        let headers = Envelope::from_redis(&dead).unwrap().headers;
        assert_eq!(headers.get("task"), Some("\"a\""));
        assert_eq!(
            headers.get(DEAD_LETTER),
            Some(r#"{"reason": "no \"task\"", "queue": "mail", "at": "1970-01-01T00:00:00Z", "step": 3}"#)
        );
        let letter = read(&dead);
        assert_eq!((letter.reason(), letter.queue()), (Some("no \"task\""), Some("mail")));
        assert_eq!(letter.at(), Some(Timestamp::UNIX_EPOCH));
        assert_eq!((letter.id.as_deref(), letter.task.as_deref()), (Some("1"), Some("a")));
    }

    #[test]
    fn a_message_that_is_put_back_is_as_it_was_without_its_deliveries() {
        let headers = r#"{"task": "a", "petiole-deliveries": 3, "petiole-history": [], "id": "1"}"#;
        let raw = format!(r#"{{"body": "W10=", "headers": {headers}, "properties": {{"priority": 5}}}}"#);
        let letter = read(&bury(raw.as_bytes(), "why", "mail", 4, Timestamp::UNIX_EPOCH));
        assert_eq!(letter.deliveries, 3);
        assert_eq!(letter.put_back(), Some(PutBack { queue: "mail".to_owned(), step: 4, raw: RAW.to_vec() }));
    }

    #[test]
    fn bytes_that_are_no_message_are_given_up_as_the_body_of_one_and_put_back_as_they_were() {
        let letter = read(&bury(b"\xff[", "not JSON", "mail", 0, Timestamp::UNIX_EPOCH));
        assert_eq!((letter.reason(), letter.id.as_deref()), (Some("not JSON"), None));
        let back = letter.put_back().unwrap();
        assert_eq!((back.queue.as_str(), back.step, &back.raw[..]), ("mail", 0, &b"\xff["[..]));
    }

    #[test]
    fn a_letter_of_others_says_what_it_can() {
        let letter = read(RAW);
        assert_eq!((letter.id.as_deref(), letter.reason(), letter.put_back()), (Some("1"), None, None));
        assert_eq!(read(b"\xff[").task, None);
        // Without a step, kombu's own are meant.
        let headers =
            r#"{"petiole-dead-letter": {"reason": "", "queue": "mail", "at": "1970-01-01T00:00:00Z"}}"#;
        let raw = format!(r#"{{"headers": {headers}, "properties": {{"priority": 5}}}}"#);
        assert_eq!(read(raw.as_bytes()).put_back().map(|back| back.step), Some(3));
    }

    #[test]
    fn a_letter_of_protocol_1_has_its_name_from_its_body() {
        let envelope = Envelope { body: br#"{"task": "a", "id": "x"}"#[..].into(), ..Envelope::default() };
        let letter = read(&envelope.to_redis());
        assert_eq!((letter.id.as_deref(), letter.task.as_deref()), (Some("x"), Some("a")));
    }
}
