//! A message's body: from the envelope's bytes to the spans of its parts.

use std::ops::Range;

use bytes::Bytes;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};

use super::fields::Fields;
use super::refused::Why;
use crate::envelope::Envelope;
use crate::json::{self, Invalid, Scanner};

/// The only content type that is read.
const JSON: &str = "application/json";

/// The largest body after decompression: what the task contract carries at most. A few kilobytes can claim to be
/// gigabytes.
const MAX_BODY: usize = 256 << 20;

pub(super) const NOT_A_TRIPLE: &str = "the body must be an array `[args, kwargs, embed]`";

/// A body's text, and where its parts stand in it. A part that is `null`, empty or missing has no span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Body {
    text: Bytes,
    pub(super) args: Option<Range<usize>>,
    pub(super) kwargs: Option<Range<usize>>,
    pub(super) callbacks: Option<Range<usize>>,
    pub(super) errbacks: Option<Range<usize>>,
    pub(super) chain: Option<Range<usize>>,
    pub(super) chord: Option<Range<usize>>,
}

impl Body {
    /// The text of a part.
    pub(super) fn part(&self, span: Option<&Range<usize>>) -> Option<&str> {
        std::str::from_utf8(self.text.get(span?.clone())?).ok()
    }
}

/// The body's JSON text, decompressed; not yet checked.
pub(super) fn decode(envelope: &Envelope, compression: Option<&str>) -> Result<Bytes, Why> {
    match envelope.content_type.as_deref() {
        Some(JSON) => {}
        Some(other) => return Err(Why::content_disallowed(other)),
        None => return Err(Why::content_disallowed("application/data")),
    }
    let compression = compression.filter(|name| *name != "null");
    match compression.map(|name| json::string(name).unwrap_or_default()).as_deref() {
        None => Ok(envelope.body.clone()),
        // kombu's names for a zlib stream; what its clients write is the first.
        Some("application/x-gzip" | "gzip" | "zlib") => inflate(&envelope.body, MAX_BODY),
        Some(other) => Err(Why::unsupported_compression(other)),
    }
}

fn inflate(body: &[u8], limit: usize) -> Result<Bytes, Why> {
    match decompress_to_vec_zlib_with_limit(body, limit) {
        Ok(text) => Ok(text.into()),
        Err(error) if error.status == TINFLStatus::HasMoreOutput => {
            Err(Why::undecodable(format!("the body is over {limit} bytes after decompression")))
        }
        Err(_) => {
            Err(Why::undecodable("the body is not the zlib stream that its `compression` says".to_owned()))
        }
    }
}

/// Reads a body of either protocol. For protocol 1 the fields are those of the body, for protocol 2 there are none.
pub(super) fn read<'a>(text: &'a Bytes, headers: &Fields<'a>) -> Result<(Option<Fields<'a>>, Body), Why> {
    let mut scanner = Scanner::new(text).map_err(Why::not_json)?;
    let (fields, body) = match (scanner.peek(), headers.task) {
        (Some(b'['), Some(_)) => (None, read_triple(text)?),
        (Some(b'{'), task) => {
            let (fields, body, has_args) = read_object(text).map_err(Why::not_json)?;
            let fields = fields.with_headers(headers);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_grows_over_the_limit_is_refused() {
        let zlib = miniz_oxide::deflate::compress_to_vec_zlib(&[b' '; 1000], 9);
        assert!(zlib.len() < 30);
        assert_eq!(inflate(&zlib, 1000).unwrap(), [b' '; 1000][..]);
        let why = inflate(&zlib, 999).unwrap_err();
        assert_eq!(why.message(), "the body is over 999 bytes after decompression");
    }
}
