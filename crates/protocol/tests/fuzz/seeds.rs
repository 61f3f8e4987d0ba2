//! What real Celery has sent, taken apart for each decoder: `tests/golden`.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use petiole_protocol::compression::Compression;
use petiole_protocol::envelope::Envelope;
use petiole_protocol::json::{self, Object};
use petiole_protocol::signed::{Certificates, Digest};

/// A time at which the certificates of the captures are valid.
pub(crate) fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn lines(kind: &str) -> Vec<Object> {
    lines_in("", kind)
}

fn lines_in(folder: &str, kind: &str) -> Vec<Object> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    let lines = texts
        .flat_map(|text| text.lines().map(|line| Object::read(line.as_bytes()).unwrap()).collect::<Vec<_>>());
    let kind = json::quote(kind);
    lines.filter(|line| line.get("kind") == Some(&kind)).collect()
}

fn text(line: &Object, member: &str) -> String {
    json::string(line.get(member).unwrap()).unwrap().into_owned()
}

pub(crate) fn envelopes() -> Vec<Vec<u8>> {
    lines("message").iter().map(|line| line.get("envelope").unwrap().as_bytes().to_vec()).collect()
}

fn read() -> Vec<Envelope> {
    envelopes().iter().map(|raw| Envelope::from_redis(raw).unwrap()).collect()
}

fn compression(envelope: &Envelope) -> Option<Compression> {
    envelope.headers.get("compression").and_then(json::string).and_then(|name| Compression::named(&name))
}

pub(crate) fn headers() -> Vec<Vec<u8>> {
    read().iter().map(|envelope| envelope.headers.as_str().as_bytes().to_vec()).collect()
}

pub(crate) fn bodies(content_type: &str) -> Vec<Vec<u8>> {
    let read = read().into_iter();
    let some = read.filter(|envelope| envelope.content_type.as_deref() == Some(content_type));
    some.filter(|envelope| compression(envelope).is_none()).map(|envelope| envelope.body.to_vec()).collect()
}

pub(crate) fn compressed(method: Compression) -> Vec<Vec<u8>> {
    let read = read().into_iter();
    read.filter(|envelope| compression(envelope) == Some(method))
        .map(|envelope| envelope.body.to_vec())
        .collect()
}

pub(crate) fn signed() -> Vec<Vec<u8>> {
    bodies("application/data")
}

/// Signed bodies without the base64 around them.
pub(crate) fn unwrapped(signed: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    signed.into_iter().map(|body| STANDARD.decode(body).unwrap()).collect()
}

/// The base64 around a signed body.
pub(crate) fn wrapped(raw: &[u8]) -> Vec<u8> {
    STANDARD.encode(raw).into_bytes()
}

pub(crate) fn pems() -> Vec<Vec<u8>> {
    lines("certificate").iter().map(|line| text(line, "pem").into_bytes()).collect()
}

/// The certificates of all signers whose digest is the usual one.
pub(crate) fn certificates() -> Certificates {
    let mut certificates = Certificates::new(Digest::Sha256);
    for line in lines("certificate").iter().filter(|line| text(line, "digest") == "sha256") {
        certificates.add_pem(text(line, "pem").as_bytes()).unwrap();
    }
    certificates
}

pub(crate) fn documents() -> Vec<Vec<u8>> {
    let documents = lines("documents");
    let texts =
        documents.iter().flat_map(|line| json::elements(line.get("documents").unwrap().as_bytes()).unwrap());
    let mut documents: Vec<_> = texts.map(|text| text.as_bytes().to_vec()).collect();
    let zlib = miniz_oxide::deflate::compress_to_vec_zlib(&documents[0], 6);
    documents.push([b"\0celery-compressed\0application/x-gzip\0", &*zlib].concat());
    documents.push(b"[\"a\", 5, [NaN]]".to_vec());
    documents
}

pub(crate) fn times() -> Vec<Vec<u8>> {
    let read = read();
    let times = read.iter().filter_map(|envelope| envelope.headers.get("eta").and_then(json::string));
    times
        .map(|time| time.as_bytes().to_vec())
        .chain([b"2030-01-31T12:00:00Z".to_vec(), b"20300131".to_vec()])
        .collect()
}

/// Bodies of the tasks of canvases.
pub(crate) fn canvases() -> Vec<Vec<u8>> {
    let ran = lines_in("canvas", "canvas").into_iter();
    let bodies = ran.map(|line| Object::read(line.get("ran").unwrap().as_bytes()).unwrap());
    bodies.map(|ran| ran.get("body").unwrap().as_bytes().to_vec()).collect()
}

/// Bodies of remote control: of its requests, or of its replies.
pub(crate) fn control(member: &str) -> Vec<Vec<u8>> {
    let lines = lines_in("control", "control");
    let some = lines.iter().filter_map(|line| Envelope::from_redis(line.get(member)?.as_bytes()).ok());
    some.map(|envelope| envelope.body.to_vec()).collect()
}

/// Bodies of events.
pub(crate) fn events() -> Vec<Vec<u8>> {
    let lines = lines_in("control", "event");
    let envelopes = lines.iter().map(|line| Envelope::from_redis(line.get("envelope").unwrap().as_bytes()));
    envelopes.map(|envelope| envelope.unwrap().body.to_vec()).collect()
}
