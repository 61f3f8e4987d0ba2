//! A message whose task is called again with other arguments: everything else in it stays as it came.

use bytes::Bytes;
use rsa::rand_core::CryptoRngCore;

use super::Message;
use crate::envelope::Envelope;
use crate::json::{self, Object, quote};
use crate::repr;
use crate::signed::{self, NotSigned, Signer};

/// What a new body is said to be, and how it is encoded.
const JSON: &str = "application/json";
const ENCODING: &str = "utf-8";

/// Arguments that a task is to have from now on, as JSON texts: an array and an object. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The positional ones.
    pub args: Option<String>,
    /// The keyword ones.
    pub kwargs: Option<String>,
}

impl Arguments {
    /// Nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A body with other arguments than the one that came. It is plain JSON, whatever that was, or JSON that is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBody {
    json: String,
    argsrepr: String,
    kwargsrepr: String,
    /// The same, signed.
    signed: Option<Bytes>,
}

impl Message {
    /// Its body with these arguments; `None` where something that stays is known to nobody, since it is pickled.
    pub fn with_arguments(&self, arguments: &Arguments) -> Option<NewBody> {
        let known = self.pickled().is_none();
        let args = arguments.args.as_deref().or_else(|| known.then(|| self.args()))?;
        let kwargs = arguments.kwargs.as_deref().or_else(|| known.then(|| self.kwargs()))?;
        let text = std::str::from_utf8(self.body.json()).ok().filter(|text| !text.is_empty())?;
        let json = match Object::of(text) {
            Some(embed) if !known => json::array([args, kwargs, embed.as_str()]),
            // Protocol 1, or a hybrid.
            Some(mut body) => {
                body.set("args", args.as_bytes()).ok()?;
                body.set("kwargs", kwargs.as_bytes()).ok()?;
                body.as_str().to_owned()
            }
            None => json::array([args, kwargs, json::elements(text.as_bytes()).ok()?.get(2)?]),
        };
        // A client has most often called it by `delay`, whose arguments are a tuple.
        Some(NewBody { json, argsrepr: repr::tuple(args), kwargsrepr: repr::safe(kwargs), signed: None })
    }
}

impl NewBody {
    /// Signs it.
    pub fn sign(&mut self, signer: &Signer, random: &mut impl CryptoRngCore) -> Result<(), NotSigned> {
        let form = [JSON, ENCODING];
        self.signed = Some(signer.body(self.json.as_bytes(), form, random)?);
        Ok(())
    }

    /// Takes the place of a message's body.
    pub fn put_in(&self, envelope: &mut Envelope) {
        let Self { json, argsrepr, kwargsrepr, signed } = self;
        envelope.body = signed.clone().unwrap_or_else(|| json.clone().into());
        let content_type = if signed.is_some() { signed::CONTENT_TYPE } else { JSON };
        envelope.content_type = Some(content_type.to_owned());
        envelope.content_encoding = Some(ENCODING.to_owned());
        envelope.headers = envelope.headers.without(&["compression"]);
        for (name, text) in [("argsrepr", argsrepr), ("kwargsrepr", kwargsrepr)] {
            if envelope.headers.get(name).is_some() {
                // A quoted text is valid.
                let _ = envelope.headers.set(name, quote(text).as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::message::Accept;

    fn message(headers: &str, body: &str) -> (Envelope, Message) {
        let envelope = Envelope {
            headers: Object::read(headers.as_bytes()).unwrap(),
            content_type: Some("application/json".to_owned()),
            body: body.to_owned().into(),
            ..Envelope::default()
        };
        let message = Message::read(&envelope).unwrap();
        (envelope, message)
    }

    fn arguments(args: Option<&str>, kwargs: Option<&str>) -> Arguments {
        Arguments { args: args.map(str::to_owned), kwargs: kwargs.map(str::to_owned) }
    }

    #[test]
    fn the_arguments_change_and_nothing_else() {
        let headers = r#"{"task": "t", "id": "i", "argsrepr": "(1,)", "kwargsrepr": "{}", "x-a": [NaN]}"#;
        let (mut envelope, message) =
            message(headers, r#"[[1], {"a": NaN}, {"callbacks": [{"task": "c"}],  "new": 1}]"#);
        message.with_arguments(&arguments(Some("[2, NaN]"), None)).unwrap().put_in(&mut envelope);
        let body = r#"[[2, NaN], {"a": NaN}, {"callbacks": [{"task": "c"}],  "new": 1}]"#;
        assert_eq!(&envelope.body[..], body.as_bytes());
        assert_eq!(
            envelope.headers.as_str(),
            r#"{"task": "t", "id": "i", "argsrepr": "(2, nan)", "kwargsrepr": "{'a': nan}", "x-a": [NaN]}"#
        );
        message.with_arguments(&arguments(None, Some(r#"{"b": 2}"#))).unwrap().put_in(&mut envelope);
        assert!(envelope.body.starts_with(br#"[[1], {"b": 2}, {"callbacks""#));
    }

    #[test]
    fn a_new_body_may_be_signed() {
        use petiole_testkit::signer::{CERTIFICATE, KEY};

        let (mut envelope, message) = message(r#"{"task": "t", "id": "i"}"#, "[[1], {}, {}]");
        let mut body = message.with_arguments(&arguments(Some("[2]"), None)).unwrap();
        let signer = Signer::read(KEY.as_bytes(), CERTIFICATE.as_bytes(), signed::Digest::default()).unwrap();
        body.sign(&signer, &mut signed::OsRng).unwrap();
        body.put_in(&mut envelope);
        let mut certificates = signed::Certificates::default();
        certificates.add_pem(CERTIFICATE.as_bytes()).unwrap();
        let accept = Accept::of(["auth"], Some(&certificates.into())).unwrap();
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(accept.read(&envelope, now).unwrap().args(), "[2]");
    }

    #[test]
    fn a_body_of_protocol_1_keeps_its_other_members() {
        let body = r#"{"task": "t", "id": "i", "args": [1], "retries": 2}"#;
        let (mut envelope, message) = message("{}", body);
        message.with_arguments(&arguments(Some("[2]"), Some(r#"{"b": 1}"#))).unwrap().put_in(&mut envelope);
        let body = r#"{"task": "t", "id": "i", "args": [2], "retries": 2, "kwargs": {"b": 1}}"#;
        assert_eq!(&envelope.body[..], body.as_bytes());
    }

    #[test]
    fn a_pickle_becomes_json_when_all_of_it_is_known() {
        let envelope = Envelope {
            headers: Object::read(br#"{"task": "t", "id": "i"}"#).unwrap(),
            content_type: Some("application/x-python-serialize".to_owned()),
            body: b"\x80\x04"[..].into(),
            ..Envelope::default()
        };
        let accept = Accept::of(["json", "pickle"], None).unwrap();
        let mut message = accept.read(&envelope, Timestamp::UNIX_EPOCH).unwrap();
        let (all, some) = (arguments(Some("[2]"), Some("{}")), arguments(Some("[2]"), None));
        assert_eq!(message.with_arguments(&all), None);
        message.set_embed(&br#"{"callbacks": [{"task": "c"}], "chord": null}"#[..].into()).unwrap();
        assert_eq!(message.with_arguments(&some), None);
        let mut changed = envelope.clone();
        message.with_arguments(&all).unwrap().put_in(&mut changed);
        let changed = Message::read(&changed).unwrap();
        assert_eq!((changed.args(), changed.follow_ups()), ("[2]", message.follow_ups()));
        assert_eq!(changed.follow_ups().callbacks, Some(r#"[{"task": "c"}]"#));
    }

    #[test]
    fn an_embed_that_is_no_object_changes_nothing() {
        let (_, mut message) =
            message(r#"{"task": "t", "id": "i"}"#, r#"[[1], {}, {"chord": {"task": "c"}}]"#);
        let before = message.clone();
        for none in ["", "[]", "{", "{} {}"] {
            assert!(message.set_embed(&none.as_bytes().to_vec().into()).is_err(), "{none}");
        }
        assert_eq!(message, before);
    }

    #[test]
    fn a_body_in_another_form_becomes_plain_json() {
        let headers = r#"{"task": "t", "id": "i", "compression": "application/x-gzip"}"#;
        let (_, message) = message(r#"{"task": "t", "id": "i"}"#, "[[1], {}, {}]");
        let mut compressed = Envelope {
            headers: Object::read(headers.as_bytes()).unwrap(),
            content_type: Some("application/x-yaml".to_owned()),
            content_encoding: Some("binary".to_owned()),
            body: b"\x1f\x8b"[..].into(),
            ..Envelope::default()
        };
        message.with_arguments(&arguments(Some("[2]"), None)).unwrap().put_in(&mut compressed);
        assert_eq!(Message::read(&compressed).unwrap().args(), "[2]");
    }
}
