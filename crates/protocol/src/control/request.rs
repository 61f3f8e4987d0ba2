//! A request, as it comes from the wire.

use jiff::Timestamp;

use super::{Answer, NoPattern, Pattern};
use crate::envelope::Envelope;
use crate::event;
use crate::json::{self, Invalid, Object, Writer};
use crate::message::{Accept, Reason};
use crate::serial::{Serializer, json_to_msgpack, json_to_yaml};

/// The largest body that is read, in bytes: a list of all ids that a node remembers fits.
const LARGEST: usize = 4 << 20;

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is asked for: `ping`.
    pub method: String,
    /// Its arguments.
    pub arguments: Object,
    /// Where the answer goes; `None` when none is wanted.
    pub reply_to: Option<ReplyTo>,
    /// What the asker's clock said.
    pub clock: Option<u64>,
    /// Nobody waits for the answer after this time, in seconds since 1970.
    expires: Option<f64>,
    selection: Selection,
}

/// Who is asked.
#[derive(Debug, Clone)]
enum Selection {
    All,
    Named(Vec<String>),
    Like(Pattern),
}

/// Where an answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    /// The exchange, [`crate::keys::control_reply_exchange`].
    pub exchange: String,
    /// The routing key that the asker's queue is bound by.
    pub routing_key: String,
    /// What the asker knows the answer by, as JSON text.
    ticket: String,
    /// The form that the request had, and the answer gets.
    form: Serializer,
}

/// Why a message is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its body is of a form that is not accepted, or cannot be read.
    #[error("{message}")]
    Body {
        /// What is wrong, for counting.
        reason: Reason,
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// It is longer than all requests are.
    #[error("the request is {0} bytes long; {LARGEST} are read")]
    TooLong(usize),
    /// It is not JSON.
    #[error("the request is not JSON: {0}")]
    NotJson(Invalid),
    /// A member has another type than kombu writes.
    #[error("the request's `{member}` must be {expected}")]
    Member {
        /// Its name.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// It selects nodes by what is no pattern.
    #[error("the request selects no nodes")]
    Pattern(#[source] NoPattern),
}

impl Refused {
    /// Its name in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Body { reason, .. } => reason.as_str(),
            Self::TooLong(_) => "TooLong",
            Self::NotJson(_) => Reason::Undecodable.as_str(),
            Self::Member { .. } | Self::Pattern(_) => "InvalidRequest",
        }
    }
}

impl Request {
    /// Reads a message on the exchange of remote control. `accept` says which forms are read ([`Accept::of_control`]), `now`
    /// is what certificates must be valid at.
    pub fn read(envelope: &Envelope, accept: &Accept, now: Timestamp) -> Result<Self, Refused> {
        if envelope.body.len() > LARGEST {
            return Err(Refused::TooLong(envelope.body.len()));
        }
        let (text, form) = accept
            .text(envelope, now, LARGEST)
            .map_err(|why| Refused::Body { reason: why.reason, message: why.message })?;
        let text = json::check(&text).map_err(Refused::NotJson)?;
        let body = Object::of(text).ok_or(Refused::Member { member: "body", expected: "an object" })?;
        let given = |member| body.get(member).filter(|value| *value != "null");
        let text = |member, expected| {
            let text = |value| json::string(value).ok_or(Refused::Member { member, expected });
            given(member).map(text).transpose()
        };
        let method = text("method", "a string")?.filter(|method| !method.is_empty());
        let arguments = given("arguments").map_or(Ok(Object::default()), |arguments| {
            Object::of(arguments).ok_or(Refused::Member { member: "arguments", expected: "an object" })
        });
        let selection = match (
            destination(given("destination"))?,
            text("pattern", "a string")?,
            text("matcher", "a string")?,
        ) {
            (Some(names), _, _) => Selection::Named(names),
            (None, Some(pattern), Some(matcher)) if !pattern.is_empty() && !matcher.is_empty() => {
                Selection::Like(Pattern::read(&matcher, &pattern).map_err(Refused::Pattern)?)
            }
            _ => Selection::All,
        };
        let header = |name| envelope.headers.get(name);
        Ok(Self {
            method: method.ok_or(Refused::Member { member: "method", expected: "a string" })?.into_owned(),
            arguments: arguments?,
            reply_to: given("reply_to").map(|to| ReplyTo::read(to, given("ticket"), form)).transpose()?,
            clock: header("clock").and_then(|clock| clock.parse().ok()),
            expires: header("expires").and_then(|at| at.parse().ok()).filter(|at| *at > 0.0),
            selection,
        })
    }

    /// Whether this node is asked.
    pub fn selects(&self, hostname: &str) -> bool {
        match &self.selection {
            Selection::All => true,
            Selection::Named(names) => names.iter().any(|name| name == hostname),
            Selection::Like(pattern) => pattern.matches(hostname),
        }
    }

    /// Whether nobody waits any more.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| event::unix(now) > expires)
    }
}

/// Names of nodes; none at all means every node.
fn destination(value: Option<&str>) -> Result<Option<Vec<String>>, Refused> {
    let Some(value) = value else {
        return Ok(None);
    };
    let wrong = Refused::Member { member: "destination", expected: "a list of node names" };
    let names = match value.as_bytes().first() {
        Some(b'[') => json::elements(value.as_bytes()).map_err(Refused::NotJson)?,
        _ => vec![value],
    };
    let names =
        names.into_iter().map(|name| json::string(name).map(Into::into)).collect::<Option<Vec<String>>>();
    let names = names.ok_or(wrong)?;
    Ok((names.iter().any(|name| !name.is_empty())).then_some(names))
}

impl ReplyTo {
    fn read(value: &str, ticket: Option<&str>, form: Serializer) -> Result<Self, Refused> {
        let wrong =
            Refused::Member { member: "reply_to", expected: "an object with `exchange` and `routing_key`" };
        let to = Object::of(value).ok_or(wrong.clone())?;
        let text = |member| to.get(member).and_then(json::string).map(std::borrow::Cow::into_owned);
        match (text("exchange"), text("routing_key")) {
            (Some(exchange), Some(routing_key)) => {
                Ok(Self { exchange, routing_key, ticket: ticket.unwrap_or("null").to_owned(), form })
            }
            _ => Err(wrong),
        }
    }

    /// Whether the request was signed. So must its answer be: clients that sign read nothing else.
    pub fn was_signed(&self) -> bool {
        self.form == Serializer::Auth
    }

    /// This node's answer, in the form of the request; one that was signed gets JSON, to be signed. `clock` is what its
    /// clock says one step on, `delivery_tag` a text that no other message has.
    pub fn envelope(&self, hostname: &str, answer: &Answer, clock: u64, delivery_tag: String) -> Envelope {
        let headers = Writer::new().raw("ticket", &self.ticket).integer("clock", clock).end();
        let body = format!("{{{}: {}}}", json::quote(hostname), answer.as_str());
        let (exchange, routing_key) = (self.exchange.clone(), self.routing_key.clone());
        // What cannot be written so stays JSON, and who asked says what is wrong with it.
        let other = match self.form {
            Serializer::Yaml => json_to_yaml(&body).ok().map(String::into_bytes),
            Serializer::Msgpack => json_to_msgpack(&body).ok(),
            Serializer::Json | Serializer::Auth | Serializer::Pickle => None,
        };
        let envelope = Envelope::of_json(exchange, routing_key, &headers, body, delivery_tag);
        match other {
            None => envelope,
            Some(body) => Envelope {
                content_type: Some(self.form.content_type().to_owned()),
                content_encoding: Some(self.form.content_encoding().to_owned()),
                body: body.into(),
                ..envelope
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(headers: &str, body: &str) -> Envelope {
        Envelope {
            headers: Object::read(headers.as_bytes()).unwrap(),
            content_type: Some("application/json".to_owned()),
            body: body.to_owned().into(),
            ..Envelope::default()
        }
    }

    fn read(body: &str) -> Result<Request, Refused> {
        Request::read(&envelope("{}", body), &Accept::default(), Timestamp::UNIX_EPOCH)
    }

    fn selects(destination: &str) -> bool {
        read(&format!(r#"{{"method": "ping", "destination": {destination}}}"#)).unwrap().selects("w@h")
    }

    #[test]
    fn a_request_is_for_the_nodes_that_it_names() {
        for destination in ["null", "[]", "[\"w@h\"]", "[\"a\", \"w@h\"]", "\"w@h\"", "\"\""] {
            assert!(selects(destination), "{destination}");
        }
        for destination in ["[\"a\"]", "[\"w@\"]", "\"w@host\""] {
            assert!(!selects(destination), "{destination}");
        }
    }

    #[test]
    fn a_destination_counts_before_a_pattern() {
        let both = r#"{"method": "ping", "destination": ["a"], "pattern": "*", "matcher": "glob"}"#;
        assert!(!read(both).unwrap().selects("w@h"));
        // Celery asks for both, and takes one alone for none.
        assert!(read(r#"{"method": "ping", "pattern": "a"}"#).unwrap().selects("w@h"));
    }

    #[test]
    fn a_request_that_nobody_waits_for_is_expired() {
        let at = |headers, seconds| {
            let now = Timestamp::from_second(seconds).unwrap();
            let request = envelope(headers, r#"{"method": "ping"}"#);
            Request::read(&request, &Accept::default(), now).unwrap().is_expired(now)
        };
        assert!(at(r#"{"expires": 99.5}"#, 100) && !at(r#"{"expires": 100.5}"#, 100));
        assert!(!at(r#"{"expires": 0}"#, 100) && !at(r#"{"expires": null}"#, 100) && !at("{}", 100));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let why = |body: &str| read(body).unwrap_err().to_string();
        assert_eq!(why("[]"), "the request's `body` must be an object");
        assert_eq!(why("{}"), "the request's `method` must be a string");
        assert_eq!(why(r#"{"method": 5}"#), "the request's `method` must be a string");
        assert_eq!(why(r#"{"method": "a", "arguments": []}"#), "the request's `arguments` must be an object");
        assert_eq!(
            why(r#"{"method": "a", "destination": [5]}"#),
            "the request's `destination` must be a list of node names"
        );
        let reply_to = "the request's `reply_to` must be an object with `exchange` and `routing_key`";
        assert_eq!(why(r#"{"method": "a", "reply_to": {"exchange": "b"}}"#), reply_to);
        assert_eq!(
            why(r#"{"method": "a", "pattern": "(", "matcher": "pcre"}"#),
            "the request selects no nodes"
        );
        assert!(why("{").starts_with("the request is not JSON: "));
        assert!(why(&" ".repeat(LARGEST + 1)).starts_with("the request is 4194305 bytes long"));
    }

    /// A request of this form, read where these forms of tasks are.
    fn formed(form: Serializer, body: &[u8], accept: &[&str]) -> Result<Request, Refused> {
        let envelope = Envelope {
            content_type: Some(form.content_type().to_owned()),
            body: body.to_vec().into(),
            ..Envelope::default()
        };
        let accept = Accept::of(accept.iter().copied(), None).unwrap().of_control();
        Request::read(&envelope, &accept, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn forms_are_read_that_tasks_may_have_and_answered_in_kind() {
        let body = r#"{"method": "ping", "reply_to": {"exchange": "e", "routing_key": "k"}, "ticket": "t"}"#;
        let yaml = json_to_yaml(body).unwrap().into_bytes();
        let msgpack = json_to_msgpack(body).unwrap();
        for (form, request) in
            [(Serializer::Json, body.as_bytes()), (Serializer::Yaml, &yaml), (Serializer::Msgpack, &msgpack)]
        {
            let request = formed(form, request, &["yaml", "msgpack"]).unwrap();
            let answer = request.reply_to.unwrap().envelope("w@h", &Answer::pong(), 1, "tag".to_owned());
            assert_eq!(answer.content_type.as_deref(), Some(form.content_type()));
            let accept = Accept::of(["json", "yaml", "msgpack"], None).unwrap();
            let (text, _) = accept.text(&answer, Timestamp::UNIX_EPOCH, LARGEST).unwrap();
            assert_eq!(text, r#"{"w@h": {"ok": "pong"}}"#);
        }
        let why = formed(Serializer::Yaml, &yaml, &["json"]).unwrap_err();
        assert_eq!(why.reason(), "ContentDisallowed");
        let pickle = formed(Serializer::Pickle, b"...", &["json", "pickle"]).unwrap_err();
        assert_eq!(pickle.reason(), "ContentDisallowed");
        assert!(pickle.to_string().contains("is not read here"));
        assert_eq!(formed(Serializer::Auth, b"text", &["json"]).unwrap_err().reason(), "Undecodable");
    }

    #[test]
    fn where_tasks_must_be_signed_so_must_requests_and_they_are_answered_to_be_signed() {
        use crate::signed::{Certificates, Digest, OsRng, Signer};
        use petiole_testkit::signer::{CERTIFICATE, KEY};

        let mut certificates = Certificates::default();
        certificates.add_pem(CERTIFICATE.as_bytes()).unwrap();
        let accept = Accept::of(["auth"], Some(&certificates.into())).unwrap().of_control();
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        let body = r#"{"method": "ping", "reply_to": {"exchange": "e", "routing_key": "k"}}"#;
        let request = envelope("{}", body);
        let why = Request::read(&request, &accept, now).unwrap_err();
        assert_eq!(why.reason(), "Untrusted");
        let signer = Signer::read(KEY.as_bytes(), CERTIFICATE.as_bytes(), Digest::default()).unwrap();
        let sent = signer.sign(request, &mut OsRng).unwrap();
        assert!(Request::read(&sent, &accept, now).unwrap().reply_to.unwrap().was_signed());
    }

    #[test]
    fn a_null_counts_as_absent() {
        let body = r#"{"method": "a", "arguments": null, "reply_to": null, "ticket": null, "matcher": null}"#;
        let request = read(body).unwrap();
        assert!(request.arguments.is_empty() && request.reply_to.is_none() && request.clock.is_none());
    }
}
