//! An envelope as kombu writes it on Redis, and edits of that text.
//!
//! ```text
//!   {"body": "<base64>", "content-encoding": "utf-8", "content-type": "application/json",
//!    "headers": {...}, "properties": {"correlation_id": ..., "delivery_info": {...}, "body_encoding": "base64", ...}}
//! ```

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use crate::envelope::{DeliveryInfo, Envelope, Malformed, Properties, REDELIVERED};
use crate::json::{self, Invalid, Name, Object, Scanner};

/// Written with padding; read with and without, as Python's does for what kombu sends.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl Envelope {
    /// Reads what stands in a queue's list.
    pub fn from_redis(raw: &[u8]) -> Result<Self, Malformed> {
        let mut scanner = Scanner::new(raw).map_err(Malformed::NotJson)?;
        let mut parts = Parts::default();
        scanner.object(|scanner, name| parts.member(scanner, name)).map_err(Malformed::NotJson)?;
        scanner.end().map_err(Malformed::NotJson)?;
        parts.envelope()
    }

    /// Writes what goes into a queue's list, in kombu's order. The body always travels as base64.
    pub fn to_redis(&self) -> Vec<u8> {
        let mut out = String::with_capacity(512 + self.headers.as_str().len() + self.body.len() * 4 / 3);
        out.push_str("{\"body\": \"");
        BASE64.encode_string(&self.body, &mut out);
        out.push('"');
        for (name, text) in
            [("content-encoding", &self.content_encoding), ("content-type", &self.content_type)]
        {
            out.push_str(", ");
            json::put(&mut out, name);
            out.push_str(": ");
            match text {
                Some(text) => json::put(&mut out, text),
                None => out.push_str("null"),
            }
        }
        out.push_str(", \"headers\": ");
        out.push_str(self.headers.as_str());
        out.push_str(", \"properties\": ");
        out.push_str(write_properties(&self.properties).as_str());
        out.push('}');
        out.into_bytes()
    }
}

/// The envelope's text, marked as kombu marks what it restores: in the headers and in the delivery information.
/// Nothing else changes.
pub fn mark_redelivered(raw: &[u8]) -> Result<Vec<u8>, Malformed> {
    let text = json::check(raw).map_err(Malformed::NotJson)?;
    let marked = json::set(text, &["headers", REDELIVERED], "true")
        .and_then(|text| json::set(&text, &["properties", "delivery_info", REDELIVERED], "true"));
    marked.map(String::into_bytes).map_err(Malformed::NotJson)
}

/// The envelope's text with one header set to this JSON value. Nothing else changes.
pub fn with_header(raw: &[u8], name: &str, value: &str) -> Result<Vec<u8>, Malformed> {
    let text = json::check(raw).map_err(Malformed::NotJson)?;
    let value = json::check(value.as_bytes()).map_err(Malformed::Header)?;
    json::set(text, &["headers", name], value).map(String::into_bytes).map_err(Malformed::NotJson)
}

/// The envelope's text without the headers of these names. Nothing else changes.
pub fn without_headers(raw: &[u8], names: &[&str]) -> Result<Vec<u8>, Malformed> {
    let text = json::check(raw).map_err(Malformed::NotJson)?;
    let headers = Object::read(raw).map_err(Malformed::NotJson)?.get("headers").and_then(Object::of);
    let Some(headers) = headers else { return Ok(text.as_bytes().to_vec()) };
    let kept = headers.without(names);
    json::set(text, &["headers"], kept.as_str()).map(String::into_bytes).map_err(Malformed::NotJson)
}

/// The members of an envelope, as they were met.
#[derive(Default)]
struct Parts<'a> {
    headers: Option<&'a str>,
    properties: Option<ReadProperties>,
    content_type: Option<&'a str>,
    content_encoding: Option<&'a str>,
    body: Option<&'a str>,
    /// The first member that has a type that it must not have.
    wrong: Option<Malformed>,
}

/// Properties, and what they say of the body.
#[derive(Default)]
struct ReadProperties {
    properties: Properties,
    /// The JSON text of `body_encoding`.
    body_encoding: Option<String>,
}

impl<'a> Parts<'a> {
    fn member(&mut self, scanner: &mut Scanner<'a>, name: Name<'a>) -> Result<(), Invalid> {
        match &*name.text() {
            "properties" if scanner.peek() == Some(b'{') => self.properties = Some(read_properties(scanner)?),
            "properties" => {
                scanner.value()?;
                self.wrong = Some(Malformed::Member { member: "properties", expected: "an object" });
            }
            "headers" => self.headers = Some(scanner.value()?),
            "content-type" => self.content_type = Some(scanner.value()?),
            "content-encoding" => self.content_encoding = Some(scanner.value()?),
            "body" => self.body = Some(scanner.value()?),
            _ => {
                scanner.value()?;
            }
        }
        Ok(())
    }

    fn envelope(self) -> Result<Envelope, Malformed> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let headers = match self.headers {
            None | Some("null") => Object::default(),
            Some(value) => {
                Object::of(value).ok_or(Malformed::Member { member: "headers", expected: "an object" })?
            }
        };
        let ReadProperties { properties, body_encoding } = self.properties.unwrap_or_default();
        let body = match self.body {
            None | Some("null") => Cow::default(),
            Some(value) => {
                json::string(value).ok_or(Malformed::Member { member: "body", expected: "a string" })?
            }
        };
        let body = match body_encoding.as_deref() {
            None | Some("null" | "\"utf-8\"") => Bytes::copy_from_slice(body.as_bytes()),
            Some("\"base64\"") => BASE64.decode(body.as_bytes()).map_err(|_| Malformed::Base64)?.into(),
            Some(other) => return Err(Malformed::BodyEncoding(other.to_owned())),
        };
        Ok(Envelope {
            headers,
            properties,
            content_type: self.content_type.and_then(text),
            content_encoding: self.content_encoding.and_then(text),
            body,
        })
    }
}

fn read_properties(scanner: &mut Scanner<'_>) -> Result<ReadProperties, Invalid> {
    let mut read = ReadProperties::default();
    let to = &mut read.properties;
    scanner.object(|scanner, name| {
        if name.text() == "delivery_info" && scanner.peek() == Some(b'{') {
            to.delivery_info = read_delivery_info(scanner)?;
            return Ok(());
        }
        let value = scanner.value()?;
        let known = match &*name.text() {
            "correlation_id" => fill(&mut to.correlation_id, text(value)),
            "reply_to" => fill(&mut to.reply_to, text(value)),
            "delivery_mode" => fill(&mut to.delivery_mode, value.parse().ok()),
            "expiration" => fill(&mut to.expiration, text(value)),
            "priority" => fill(&mut to.priority, value.parse().ok()),
            "delivery_tag" => fill(&mut to.delivery_tag, text(value)),
            "body_encoding" => fill(&mut read.body_encoding, Some(value.to_owned())),
            _ => false,
        };
        if !known {
            to.other.push_raw(name.json, value);
        }
        Ok(())
    })?;
    Ok(read)
}

fn read_delivery_info(scanner: &mut Scanner<'_>) -> Result<DeliveryInfo, Invalid> {
    let mut to = DeliveryInfo::default();
    scanner.object(|scanner, name| {
        let value = scanner.value()?;
        let known = match &*name.text() {
            "exchange" => fill(&mut to.exchange, text(value)),
            "routing_key" => fill(&mut to.routing_key, text(value)),
            "redelivered" => fill(&mut to.redelivered, value.parse().ok()),
            _ => false,
        };
        if !known {
            to.other.push_raw(name.json, value);
        }
        Ok(())
    })?;
    Ok(to)
}

/// Fills a field, and says whether there was something to fill it with.
fn fill<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let some = value.is_some();
    *field = value;
    some
}

fn text(json: &str) -> Option<String> {
    json::string(json).map(Cow::into_owned)
}

/// kombu's order: what Celery passes, what kombu's producer adds, what its transport adds.
fn write_properties(from: &Properties) -> Object {
    let Properties {
        correlation_id,
        reply_to,
        other,
        delivery_mode,
        expiration,
        delivery_info,
        priority,
        delivery_tag,
    } = from;
    let DeliveryInfo { exchange, routing_key, redelivered, other: other_info } = delivery_info;

    let mut info = Object::default();
    info.push_text("exchange", exchange.as_deref());
    info.push_text("routing_key", routing_key.as_deref());
    info.extend(other_info);
    if let Some(redelivered) = redelivered {
        info.push(REDELIVERED, if *redelivered { "true" } else { "false" });
    }

    let mut out = Object::default();
    out.push_text("correlation_id", correlation_id.as_deref());
    out.push_text("reply_to", reply_to.as_deref());
    out.extend(other);
    if let Some(mode) = delivery_mode {
        out.push("delivery_mode", &mode.to_string());
    }
    out.push_text("expiration", expiration.as_deref());
    out.push("delivery_info", info.as_str());
    if let Some(priority) = priority {
        out.push("priority", &priority.to_string());
    }
    out.push("body_encoding", "\"base64\"");
    out.push_text("delivery_tag", delivery_tag.as_deref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Envelope {
        Envelope::from_redis(raw.as_bytes()).unwrap()
    }

    #[test]
    fn everything_may_be_missing() {
        assert_eq!(read("{}"), Envelope::default());
        assert_eq!(read(r#"{"headers": null, "body": null, "content-type": null}"#), Envelope::default());
    }

    #[test]
    fn a_body_is_base64_or_text_as_its_encoding_says() {
        let body = |encoding: &str, body: &str| {
            let raw = format!("{{\"properties\": {{{encoding}}}, \"body\": \"{body}\"}}");
            Envelope::from_redis(raw.as_bytes()).map(|envelope| envelope.body)
        };
        assert_eq!(body(r#""body_encoding": "base64""#, "W10=").unwrap(), "[]");
        assert_eq!(body(r#""body_encoding": "base64""#, "W10").unwrap(), "[]");
        for inline in ["", r#""body_encoding": null"#, r#""body_encoding": "utf-8""#] {
            assert_eq!(body(inline, r#"[\"\u00e9\"]"#).unwrap(), "[\"é\"]");
        }
        assert_eq!(body(r#""body_encoding": "base64""#, "W1!="), Err(Malformed::Base64));
        let wrong = body(r#""body_encoding": "hex""#, "5b5d").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            r#"the envelope's `body_encoding` must be "base64" or null, not "hex""#
        );
    }

    #[test]
    fn headers_are_taken_away_and_nothing_else_changes() {
        let raw = r#"{"body":"", "headers": {"a": 1, "b": [ 2]},"properties": {"a": 3} }"#;
        let without = |names: &[&str]| without_headers(raw.as_bytes(), names).unwrap();
        assert_eq!(without(&["a", "c"]), raw.replace(r#""a": 1, "#, "").as_bytes());
        assert_eq!(without(&["b", "a"]), raw.replace(r#""a": 1, "b": [ 2]"#, "").as_bytes());
        assert_eq!(without_headers(b"{\"headers\": null}", &["a"]).unwrap(), b"{\"headers\": null}");
        assert!(without_headers(b"[1]", &["a"]).is_err());
    }

    #[test]
    fn a_property_of_another_type_is_kept_as_it_came() {
        let raw = r#"{"properties": {"priority": "high", "reply_to": null, "x": [ 1], "delivery_info": 5, "delivery_mode": 1}}"#;
        let properties = read(raw).properties;
        assert_eq!(
            properties.other.as_str(),
            r#"{"priority": "high", "reply_to": null, "x": [ 1], "delivery_info": 5}"#
        );
        assert_eq!(
            (properties.priority, properties.reply_to, properties.delivery_mode),
            (None, None, Some(1))
        );
    }

    #[test]
    fn an_escaped_name_is_the_same_name() {
        let envelope = read(r#"{"\u0068eaders": {"\u0061": 1}, "properties": {"pri\u006frity": 5}}"#);
        assert_eq!((envelope.headers.get("a"), envelope.properties.priority), (Some("1"), Some(5)));
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut headers = Object::default();
        headers.set("task", b"\"t\"").unwrap();
        let envelope = Envelope {
            headers,
            properties: Properties {
                correlation_id: Some("é".to_owned()),
                reply_to: Some("r".to_owned()),
                other: Object::read(br#"{"x": NaN}"#).unwrap(),
                delivery_mode: Some(2),
                expiration: Some("5".to_owned()),
                delivery_info: DeliveryInfo {
                    exchange: Some(String::new()),
                    routing_key: Some("q".to_owned()),
                    redelivered: Some(false),
                    other: Object::read(br#"{"y": 1}"#).unwrap(),
                },
                priority: Some(9),
                delivery_tag: Some("tag".to_owned()),
            },
            content_type: Some("application/json".to_owned()),
            content_encoding: None,
            body: Bytes::from_static(b"\xff\0"),
        };
        assert_eq!(Envelope::from_redis(&envelope.to_redis()).unwrap(), envelope);
        assert_eq!(Envelope::from_redis(&Envelope::default().to_redis()).unwrap(), Envelope::default());
    }

    #[test]
    fn a_mark_is_set_where_a_mark_stands_and_made_where_none_does() {
        let mark = |raw: &str| String::from_utf8(mark_redelivered(raw.as_bytes()).unwrap()).unwrap();
        let raw = r#"{"properties":{"delivery_info":{"redelivered":false,"x":1}},"headers":{"a":1}}"#;
        let marked = r#"{"properties":{"delivery_info":{"redelivered":true,"x":1}},"headers":{"a":1, "redelivered": true}}"#;
        assert_eq!(mark(raw), marked);
        assert_eq!(mark(marked), marked);
        assert!(read(&mark("{}")).redelivered());
    }

    #[test]
    fn a_header_is_added_and_nothing_else_changes() {
        let add =
            |raw: &str, value: &str| with_header(raw.as_bytes(), "x-reason", value).map(String::from_utf8);
        let raw = r#"{"body": "W10=",  "headers": {"a": [NaN ]}, "more": 1}"#;
        let with = r#"{"body": "W10=",  "headers": {"a": [NaN ], "x-reason": "r"}, "more": 1}"#;
        assert_eq!(add(raw, "\"r\"").unwrap().unwrap(), with);
        assert_eq!(add(with, "5").unwrap().unwrap(), with.replace("\"r\"", "5"));
        assert_eq!(add("{}", "5").unwrap().unwrap(), r#"{"headers": {"x-reason": 5}}"#);
        assert!(add(raw, "not JSON").is_err());
    }

    #[test]
    fn bytes_that_are_no_envelope_say_why() {
        let why = |raw: &[u8]| Envelope::from_redis(raw).unwrap_err().to_string();
        let no_object = "the message is not an envelope of kombu: no JSON at byte 0: expected an object";
        assert_eq!(why(b"hello"), no_object);
        assert_eq!(why(b"[]"), no_object);
        assert_eq!(
            why(b"{\"body\": }"),
            "the message is not an envelope of kombu: no JSON at byte 9: expected a value"
        );
        assert_eq!(why(br#"{"headers": []}"#), "the envelope's `headers` must be an object");
        assert_eq!(why(br#"{"properties": []}"#), "the envelope's `properties` must be an object");
        assert_eq!(why(br#"{"body": {}}"#), "the envelope's `body` must be a string");
        assert!(mark_redelivered(b"hello").is_err() && with_header(b"[]", "a", "1").is_err());
    }
}
