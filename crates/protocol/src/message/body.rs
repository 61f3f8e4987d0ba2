//! A message's body: from the envelope's bytes to the spans of its parts.

use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;

use super::fields::Fields;
use super::refused::{Refused, Why};
use super::{Accept, Message};
use crate::compression::{Compression, MAX_BODY};
use crate::envelope::Envelope;
use crate::json::{self, Invalid, Scanner};
use crate::serial::{Serializer, msgpack_to_json, yaml_to_json};
use crate::signed;

/// What kombu takes a body for that names no content type, and what it trusts without being told. Signed bodies have
/// the first one, too.
const TRUSTED: [&str; 2] = ["application/data", "application/text"];

pub(super) const NOT_A_TRIPLE: &str = "the body must be an array `[args, kwargs, embed]`";

/// A body's text, and where its parts stand in it. A part that is `null`, empty or missing has no span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Body {
    text: Bytes,
    /// The body is a pickle, of which nothing is known; the text is what its handler says of it: the embed.
    pickle: Option<Bytes>,
    pub(super) args: Option<Range<usize>>,
    pub(super) kwargs: Option<Range<usize>>,
    pub(super) callbacks: Option<Range<usize>>,
    pub(super) errbacks: Option<Range<usize>>,
    pub(super) chain: Option<Range<usize>>,
    pub(super) chord: Option<Range<usize>>,
}

impl Body {
    /// The pickle that it is.
    pub(super) fn pickled(&self) -> Option<&Bytes> {
        self.pickle.as_ref()
    }

    /// The JSON text that it is; of a pickle its embed, where that is known.
    pub(super) fn json(&self) -> &Bytes {
        &self.text
    }

    /// Takes the embed of a pickle, as JSON text.
    pub(super) fn embed(&mut self, text: &Bytes) -> Result<(), Invalid> {
        let mut body = Self { text: text.clone(), pickle: self.pickle.clone(), ..Self::default() };
        let mut scanner = Scanner::new(text)?;
        scanner.object(|scanner, name| {
            body.take(&name.text(), scanner)?;
            Ok(())
        })?;
        scanner.end()?;
        *self = body;
        Ok(())
    }

    /// The text of a part.
    pub(super) fn part(&self, span: Option<&Range<usize>>) -> Option<&str> {
        std::str::from_utf8(self.text.get(span?.clone())?).ok()
    }
}

/// Reads an envelope whose body is of an accepted form.
pub(super) fn message(envelope: &Envelope, accept: &Accept, now: Timestamp) -> Result<Message, Refused> {
    let headers = Fields::of_headers(&envelope.headers);
    let of_headers = |why: Why| why.of(envelope, &headers);
    match decode(envelope, headers.compression, accept, now, MAX_BODY).map_err(of_headers)? {
        Decoded::Json(text) => {
            let (fields, body) = read(&text, &headers).map_err(of_headers)?;
            let fields = fields.as_ref().unwrap_or(&headers);
            fields.message(envelope, body).map_err(|why| why.of(envelope, fields))
        }
        Decoded::Pickle(_) if headers.task.is_none() => Err(of_headers(Why::pickled_protocol_1())),
        Decoded::Pickle(text) => {
            let body = Body { pickle: Some(text), ..Body::default() };
            headers.message(envelope, body).map_err(of_headers)
        }
        Decoded::Text if headers.task.is_none() => Err(of_headers(Why::not_a_task())),
        Decoded::Text => Err(of_headers(Why::plain_text(envelope.content_type.as_deref()))),
    }
}

/// A body that is no task, as JSON text of at most so many bytes, which is not yet checked; and which form it had.
pub(super) fn text(
    envelope: &Envelope,
    accept: &Accept,
    now: Timestamp,
    most: usize,
) -> Result<(Bytes, Serializer), Why> {
    match decode(envelope, envelope.headers.get("compression"), accept, now, most)? {
        Decoded::Json(text) => {
            let form = envelope.content_type.as_deref().and_then(Serializer::of_content_type);
            Ok((text, form.unwrap_or(Serializer::Auth)))
        }
        Decoded::Pickle(_) => Err(Why::pickled()),
        Decoded::Text => Err(Why::unstructured()),
    }
}

/// A body, decompressed and verified.
enum Decoded {
    /// JSON text, not yet checked.
    Json(Bytes),
    Pickle(Bytes),
    /// Plain text, which no task is.
    Text,
}

fn decode(
    envelope: &Envelope,
    compression: Option<&str>,
    accept: &Accept,
    now: Timestamp,
    most: usize,
) -> Result<Decoded, Why> {
    let content_type = envelope.content_type.as_deref().filter(|name| !name.is_empty()).unwrap_or(TRUSTED[0]);
    let serializer = Serializer::of_content_type(content_type);
    if !TRUSTED.contains(&content_type) {
        if accept.demands_signatures() {
            return Err(Why::unsigned(content_type));
        }
        if serializer.is_none_or(|serializer| !accept.accepts(serializer)) {
            return Err(Why::content_disallowed(content_type, serializer, accept));
        }
    }
    let body = decompress(&envelope.body, compression, most)?;
    if serializer != Some(Serializer::Auth) {
        return deserialize(serializer, body, most);
    }
    let Some(certificates) = accept.certificates() else {
        return if signed::is_signed(&body) { Err(Why::no_certificates()) } else { Ok(Decoded::Text) };
    };
    let verified =
        signed::verify(&body, certificates, now).map_err(|untrusted| Why::untrusted(&untrusted))?;
    // Under a signature kombu reads every serializer, accepted or not. Pickle stays a matter of the handler's.
    match Serializer::of_content_type(&verified.content_type) {
        Some(Serializer::Auth) => Ok(Decoded::Text),
        Some(Serializer::Pickle) if !accept.accepts(Serializer::Pickle) => {
            Err(Why::content_disallowed(&verified.content_type, Some(Serializer::Pickle), accept))
        }
        serializer => deserialize(serializer, verified.body, most),
    }
}

fn decompress(body: &Bytes, compression: Option<&str>, most: usize) -> Result<Bytes, Why> {
    let Some(name) = compression.filter(|name| *name != "null") else {
        return Ok(body.clone());
    };
    let name = json::string(name).unwrap_or_default();
    let method = Compression::named(&name).ok_or_else(|| Why::unsupported_compression(&name))?;
    method.decompress(body, most).map(Bytes::from).map_err(|undone| Why::undecodable(undone.to_string()))
}

fn deserialize(serializer: Option<Serializer>, body: Bytes, most: usize) -> Result<Decoded, Why> {
    let json = match serializer {
        Some(Serializer::Json) => return Ok(Decoded::Json(body)),
        Some(Serializer::Pickle) => return Ok(Decoded::Pickle(body)),
        Some(Serializer::Auth) | None => return Ok(Decoded::Text),
        Some(Serializer::Yaml) => yaml_to_json(&body, most),
        Some(Serializer::Msgpack) => msgpack_to_json(&body, most),
    };
    let name = serializer.map_or("text", Serializer::name);
    let json = json.map_err(|unreadable| {
        Why::undecodable(format!("the body cannot be read as {name}, as its content type says: {unreadable}"))
    })?;
    Ok(Decoded::Json(json.into()))
}

/// Reads a body of either protocol. For protocol 1 the fields are those of the body, for protocol 2 there are none.
pub(super) fn read<'a>(text: &'a Bytes, headers: &Fields<'a>) -> Result<(Option<Fields<'a>>, Body), Why> {
    let mut scanner = Scanner::new(text).map_err(Why::not_json)?;
    let (fields, body) = match (scanner.peek(), headers.task) {
        (Some(b'['), Some(_)) => (None, read_triple(text)?),
        (Some(b'{'), task) => {
            let (fields, body, has_args) = read_object(text).map_err(Why::not_json)?;
            let fields = fields.with_headers(headers, has_args);
            if task.is_some() && !has_args {
                return Err(Why::invalid(NOT_A_TRIPLE.to_owned()));
            }
            if fields.task.is_none() {
                return Err(Why::not_a_task());
            }
            (Some(fields), body)
        }
        (_, task) => {
            json::check(text).map_err(Why::not_json)?;
            let invalid = task.map(|_| Why::invalid(NOT_A_TRIPLE.to_owned()));
            return Err(invalid.unwrap_or_else(Why::not_a_task));
        }
    };
    if body.part(body.args.as_ref()).is_some_and(|args| !args.starts_with('[')) {
        return Err(Why::invalid("the positional arguments must be an array".to_owned()));
    }
    if body.part(body.kwargs.as_ref()).is_some_and(|kwargs| !kwargs.starts_with('{')) {
        return Err(Why::invalid("the keyword arguments must be an object".to_owned()));
    }
    Ok((fields, body))
}

/// Protocol 2.
fn read_triple(text: &Bytes) -> Result<Body, Why> {
    let mut body = Body { text: text.clone(), ..Body::default() };
    let mut count = 0;
    let mut embed_is_object = true;
    let mut scanner = Scanner::new(text).map_err(Why::not_json)?;
    let read = scanner.array(|scanner| {
        count += 1;
        match count {
            1 => body.args = Some(scanner.span()?),
            2 => body.kwargs = Some(scanner.span()?),
            3 if scanner.peek() == Some(b'{') => scanner.object(|scanner, name| {
                body.take(&name.text(), scanner)?;
                Ok(())
            })?,
            3 => embed_is_object = scanner.value()? == "null",
            _ => {
                scanner.value()?;
            }
        }
        Ok(())
    });
    read.and_then(|()| scanner.end()).map_err(Why::not_json)?;
    if count != 3 || !embed_is_object {
        return Err(Why::invalid(NOT_A_TRIPLE.to_owned()));
    }
    Ok(body)
}

/// Protocol 1, or a hybrid. Says also whether there are arguments at all.
fn read_object(text: &Bytes) -> Result<(Fields<'_>, Body, bool), Invalid> {
    let mut body = Body { text: text.clone(), ..Body::default() };
    let mut fields = Fields::default();
    let mut has_args = false;
    let mut scanner = Scanner::new(text)?;
    scanner.object(|scanner, name| {
        match &*name.text() {
            "args" => {
                has_args = true;
                body.args = Some(scanner.span()?);
            }
            "kwargs" => body.kwargs = Some(scanner.span()?),
            // Protocol 1 knows no chain: the next step is a callback.
            "chain" => {
                scanner.value()?;
            }
            name => {
                if let Some(value) = body.take(name, scanner)? {
                    fields.take(name, value);
                }
            }
        }
        Ok(())
    })?;
    scanner.end()?;
    Ok((fields, body, has_args))
}

impl Body {
    /// Takes a part of the embed; the value of anything else is passed and returned.
    fn take<'a>(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<Option<&'a str>, Invalid> {
        let to = match name {
            "callbacks" => &mut self.callbacks,
            "errbacks" => &mut self.errbacks,
            "chain" => &mut self.chain,
            "chord" => &mut self.chord,
            _ => return scanner.value().map(Some),
        };
        let value = scanner.value()?;
        let end = scanner.offset();
        let empty = value == "null" || value.trim_matches(['[', ']', '{', '}']).trim_ascii().is_empty();
        *to = (!empty).then(|| end - value.len()..end);
        Ok(None)
    }
}
