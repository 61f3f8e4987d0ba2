//! Every decoder of this crate under bytes that nobody meant: no panic, no output over a limit, no answer that
//! contradicts itself.
//!
//! The seeds are the captures in `tests/golden`; see [`petiole_testkit::fuzz`] for how it is run.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod continuing;
mod control;
mod seeds;

use std::borrow::Cow;
use std::sync::Arc;

use petiole_protocol::compression::{Compression, Undone};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::json::{self, Object};
use petiole_protocol::message::{Accept, Message, Refused};
use petiole_protocol::record::{Document, Exception, decompressed};
use petiole_protocol::redis::{mark_redelivered, with_header};
use petiole_protocol::serial::{msgpack_to_json, yaml_to_json};
use petiole_protocol::{signed, time};

/// The most that a body may become here: small, so that the limit is met.
const LIMIT: usize = 1 << 20;

fn fuzz(target: &str, seeds: Vec<Vec<u8>>, outcome: impl Fn(&[u8]) -> String) {
    petiole_testkit::fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), target, seeds, outcome);
}

#[test]
fn any_bytes_are_an_envelope_or_are_not() {
    fuzz("envelope", seeds::envelopes(), |bytes| match Envelope::from_redis(bytes) {
        Ok(envelope) => {
            let written = envelope.to_redis();
            assert_eq!(Envelope::from_redis(&written).unwrap(), envelope);
            if let Ok(marked) = mark_redelivered(bytes) {
                assert!(Envelope::from_redis(&marked).unwrap().redelivered());
            }
            if let Ok(with) = with_header(bytes, "x", "5") {
                assert_eq!(Envelope::from_redis(&with).unwrap().headers.get("x"), Some("5"));
            }
            let properties = &envelope.properties;
            let known =
                [&properties.reply_to, &properties.expiration, &properties.delivery_tag].map(Option::is_some);
            format!("{known:?} {}", properties.other.is_empty())
        }
        Err(malformed) => malformed.to_string(),
    });
}

#[test]
fn any_headers_are_a_tasks_or_are_not() {
    let body = br#"[[1], {"a": 2}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]"#;
    fuzz("headers", seeds::headers(), |bytes| {
        let Ok(headers) = Object::read(bytes) else { return "no object".to_owned() };
        let content_type = Some("application/json".to_owned());
        judged(Message::read(&Envelope {
            headers,
            content_type,
            body: body[..].into(),
            ..Envelope::default()
        }))
    });
}

#[test]
fn any_json_body_is_a_tasks_or_is_not() {
    fuzz("body-json", seeds::bodies("application/json"), |bytes| body("application/json", bytes));
}

#[test]
fn any_yaml_becomes_json_or_does_not() {
    fuzz("body-yaml", seeds::bodies("application/x-yaml"), |bytes| {
        becomes_json(yaml_to_json(bytes, LIMIT)) + &body("application/x-yaml", bytes)
    });
}

#[test]
fn any_msgpack_becomes_json_or_does_not() {
    fuzz("body-msgpack", seeds::bodies("application/x-msgpack"), |bytes| {
        becomes_json(msgpack_to_json(bytes, LIMIT)) + &body("application/x-msgpack", bytes)
    });
}

#[test]
fn any_pickle_passes() {
    fuzz("body-pickle", seeds::bodies("application/x-python-serialize"), |bytes| {
        body("application/x-python-serialize", bytes)
    });
}

#[test]
fn any_zlib_stream_is_undone_within_its_limit() {
    undone(Compression::Zlib);
}

#[test]
fn any_bzip2_stream_is_undone_within_its_limit() {
    undone(Compression::Bzip2);
}

#[test]
fn any_xz_stream_is_undone_within_its_limit() {
    undone(Compression::Xz);
}

#[test]
fn any_zstd_stream_is_undone_within_its_limit() {
    undone(Compression::Zstd);
}

#[test]
fn any_brotli_stream_is_undone_within_its_limit() {
    undone(Compression::Brotli);
}

#[test]
fn nothing_but_what_was_signed_is_trusted() {
    let certificates = seeds::certificates();
    let seeds = seeds::signed();
    let signed_bodies: Vec<_> = seeds
        .iter()
        .filter_map(|seed| signed::verify(seed, &certificates, seeds::now()).ok())
        .map(|verified| verified.body)
        .collect();
    assert!(signed_bodies.len() > 5);
    let accept = Accept::of(["auth"], Some(&Arc::new(certificates.clone()))).unwrap();
    fuzz("signed", seeds::unwrapped(seeds), |bytes| {
        // The parts are mutated, and wrapped again; what is base64 already stays so.
        let raw = seeds::wrapped(bytes);
        let _ = signed::is_signed(&raw);
        let verified = signed::verify(&raw, &certificates, seeds::now());
        let mut envelope = Envelope { body: raw.into(), ..Envelope::default() };
        envelope.headers.set("task", b"\"t\"").unwrap();
        envelope.headers.set("id", b"\"i\"").unwrap();
        let read = judged(accept.read(&envelope, seeds::now()));
        match verified {
            Ok(verified) => {
                assert!(signed_bodies.contains(&verified.body), "a forged signature");
                read
            }
            // Not the signer, whose name is mutated.
            Err(untrusted) => {
                format!("{untrusted:?}").chars().take_while(char::is_ascii_alphabetic).collect()
            }
        }
    });
}

#[test]
fn any_pem_holds_certificates_or_does_not() {
    fuzz("certificates", seeds::pems(), |bytes| {
        let mut certificates = signed::Certificates::default();
        match certificates.add_pem(bytes) {
            Ok(()) => "some".to_owned(),
            Err(bad) => bad.to_string(),
        }
    });
}

#[test]
fn any_document_is_read_or_is_not() {
    fuzz("record", seeds::documents(), |bytes| {
        let stored = match decompressed(bytes) {
            Ok(Cow::Borrowed(stored)) => stored.to_vec(),
            Ok(Cow::Owned(stored)) => stored,
            Err(error) => return error.to_string(),
        };
        let now = seeds::now();
        match Document::success("id", &stored, now) {
            Ok(document) => {
                let written = Object::read(document.to_json().as_bytes()).unwrap();
                assert_eq!(written.get("result").map(str::as_bytes), Some(stored.trim_ascii()));
                "a value".to_owned()
            }
            Err(error) => error.to_string(),
        }
    });
}

#[test]
fn any_exception_is_written_or_is_not() {
    fuzz("exception", seeds::documents(), |bytes| {
        let args = json::elements(bytes);
        let args: Vec<_> = match &args {
            Ok(args) => args.iter().map(|arg| arg.as_bytes()).collect(),
            Err(_) => vec![bytes],
        };
        let text = String::from_utf8_lossy(bytes);
        match Exception::with_args(&*text, &*text, &args) {
            Ok(exception) => {
                let exception = exception.with_traceback(Some(text.clone().into_owned()));
                let document = Document::failure(&text, &exception, seeds::now()).to_json();
                let document = Object::read(document.as_bytes()).unwrap();
                assert_eq!(document.get("task_id").and_then(json::string).unwrap(), text);
                format!("{} arguments", args.len().min(5))
            }
            Err(error) => error.to_string(),
        }
    });
}

#[test]
fn any_json_is_cut_as_it_is_checked() {
    fuzz("json", seeds::bodies("application/json"), |bytes| {
        let (elements, members) = (json::elements(bytes), json::members(bytes));
        match json::check(bytes) {
            Ok(value) => {
                assert_eq!(elements.is_ok(), value.starts_with('['));
                assert_eq!(members.is_ok(), value.starts_with('{'));
                let cut = elements
                    .into_iter()
                    .flatten()
                    .chain(members.into_iter().flatten().map(|(_, value)| value));
                cut.for_each(|value| assert_eq!(json::check(value.as_bytes()), Ok(value)));
                if let Ok(mut object) = Object::read(bytes) {
                    object.set("é", b"[1]").unwrap();
                    assert_eq!(object.get("é"), Some("[1]"));
                }
                let _ = json::string(value);
                format!("{}", value.len().ilog2())
            }
            Err(invalid) => {
                assert!(members.is_err());
                invalid.to_string()
            }
        }
    });
}

#[test]
fn any_text_is_a_time_or_is_not() {
    fuzz("time", seeds::times(), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return String::new() };
        match time::parse(text) {
            Ok(instant) => {
                let printed = time::print(instant);
                assert_eq!(time::print(time::parse(&printed).unwrap()), printed);
                format!("{}", text.len())
            }
            Err(error) => {
                let why = std::error::Error::source(&error).unwrap().to_string();
                why.split(['"', ':']).next_back().unwrap_or_default().chars().take(30).collect()
            }
        }
    });
}

/// Reads a body of this type, as one of protocol 2 and as one of protocol 1.
fn body(content_type: &str, bytes: &[u8]) -> String {
    let accept = Accept::of(["json", "yaml", "msgpack", "pickle"], None).unwrap();
    let mut envelope = Envelope {
        content_type: Some(content_type.to_owned()),
        body: bytes.to_vec().into(),
        ..Envelope::default()
    };
    let alone = judged(accept.read(&envelope, seeds::now()));
    envelope.headers = Object::read(br#"{"task": "t", "id": "i"}"#).unwrap();
    alone + &judged(accept.read(&envelope, seeds::now()))
}

/// Checks that what was read is what it says it is; and a word for what came of it.
fn judged(read: Result<Message, Refused>) -> String {
    match read {
        Ok(message) => {
            let arguments = message.arguments();
            assert_eq!(json::elements(&arguments).unwrap(), [message.args(), message.kwargs()]);
            json::elements(message.args().as_bytes()).unwrap();
            json::members(message.kwargs().as_bytes()).unwrap();
            let follow_ups = message.follow_ups();
            let parts = [follow_ups.callbacks, follow_ups.errbacks, follow_ups.chain, follow_ups.chord];
            parts.iter().flatten().for_each(|part| assert_eq!(json::check(part.as_bytes()), Ok(*part)));
            let some = parts.map(|part| part.is_some());
            format!(
                "{some:?} {:?} {:?} {}",
                message.eta.is_some(),
                message.limits.hard.is_some(),
                message.retries.min(3)
            )
        }
        Err(refused) => {
            let _ = refused.exception();
            // What follows may be what was mutated.
            refused.message.chars().take(25).collect()
        }
    }
}

fn becomes_json(read: Result<String, petiole_protocol::serial::Unreadable>) -> String {
    match read {
        Ok(text) => {
            assert!(text.len() <= LIMIT);
            // Aliases can nest more deeply than each of their parts.
            if let Err(invalid) = json::check(text.as_bytes()) {
                assert!(
                    text.is_empty() || invalid.expected == "values that nest less deeply",
                    "{invalid}: {text}"
                );
            }
            format!("{}", text.len().checked_ilog2().unwrap_or_default())
        }
        // What follows may be what was mutated.
        Err(unreadable) => unreadable.to_string().chars().take(24).collect(),
    }
}

fn undone(method: Compression) {
    let name = format!("compression-{}", method.name());
    fuzz(&name, seeds::compressed(method), |bytes| match method.decompress(bytes, LIMIT) {
        Ok(out) => {
            assert!(out.len() <= LIMIT);
            format!("{}", out.len().checked_ilog2().unwrap_or_default())
        }
        Err(Undone::TooLong(limit)) => limit.to_string(),
        // The streams have no messages of their own: the place of the fault in octaves.
        Err(Undone::Corrupt(_)) => format!("corrupt {}", bytes.len().checked_ilog2().unwrap_or_default()),
    });
}
