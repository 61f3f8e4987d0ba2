//! YAML → JSON text, event by event.
//!
//! What is read is what `PyYAML`'s `safe_dump` writes: one document, the tags of its safe types, anchors and aliases.
//! An alias becomes a copy of what it stands for, so that a few lines can claim to be gigabytes: the limit counts what
//! is written.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use granit_parser::{Event, Parser, ScalarStyle, Tag, options};

use super::Unreadable;
use super::scalar::{NoValue, float, integer, resolve, timestamp};
use super::write::{Kind, Scalar, Writer};
use crate::json::MAX_DEPTH;

/// The tags that every YAML has.
const YAML: &str = "tag:yaml.org,2002:";

/// One document, in UTF-8.
pub(super) fn to_json(body: &[u8], limit: usize) -> Result<String, Unreadable> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Unreadable::at(error.valid_up_to(), "a text that is not UTF-8"))?;
    let options = options! {
        block_nesting_limit: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
        // A key is never longer than the body.
        simple_key_max_lookahead: SIMPLE_KEY,
        disallow_directives: true,
    };
    let mut document = Document { writer: Writer::new(limit), anchors: HashMap::new(), open: Vec::new() };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            Unreadable::at(error.marker().byte_offset().unwrap_or_default(), error.info().clone())
        })?;
        document.take(event, span.start.byte_offset().unwrap_or_default())?;
    }
    let text = document.writer.text();
    // A document without anything in it is null.
    Ok(if text.is_empty() { "null".to_owned() } else { text })
}

/// How far a name without `?` before it may reach. `PyYAML`'s own bound, which its writer keeps.
const SIMPLE_KEY: usize = 1024;

struct Document {
    writer: Writer,
    /// Where the text of what has an anchor stands.
    anchors: HashMap<usize, Range<usize>>,
    /// The anchors of the containers that stand open; 0 where there is none.
    open: Vec<usize>,
}

impl Document {
    fn take(&mut self, event: Event<'_>, offset: usize) -> Result<(), Unreadable> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar =
                    scalar(&text, style, tag.as_deref()).map_err(|what| Unreadable::at(offset, what))?;
                let range = self.writer.scalar(&scalar, offset)?;
                self.anchor(anchor, range);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(anchor, tag.as_deref(), &[("seq", Kind::Array)], offset)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.begin(anchor, tag.as_deref(), &[("map", Kind::Object), ("set", Kind::Set)], offset)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let range = self.writer.end();
                if let Some(anchor) = self.open.pop() {
                    self.anchor(anchor, range);
                }
            }
            Event::Alias(anchor) => {
                let range = self.anchors.get(&anchor).cloned();
                let range =
                    range.ok_or_else(|| Unreadable::at(offset, "an alias within what it stands for"))?;
                self.writer.again(range, offset)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        anchor: usize,
        tag: Option<&Tag>,
        kinds: &[(&str, Kind)],
        offset: usize,
    ) -> Result<(), Unreadable> {
        let found = match tag.map(name) {
            None => kinds.first(),
            Some(name) if name == "!" => kinds.first(),
            Some(name) => kinds.iter().find(|(kind, _)| name.strip_prefix(YAML) == Some(kind)),
        };
        let Some((_, kind)) = found else {
            return Err(Unreadable::at(offset, unknown(tag)));
        };
        self.open.push(anchor);
        self.writer.begin(*kind, offset)
    }

    fn anchor(&mut self, anchor: usize, range: Range<usize>) {
        if anchor > 0 {
            self.anchors.insert(anchor, range);
        }
    }
}

fn name(tag: &Tag) -> String {
    format!("{}{}", tag.handle(), tag.suffix())
}

fn unknown(tag: Option<&Tag>) -> String {
    let tag = tag.map(name).unwrap_or_default();
    format!(
        "the tag {tag:?} is none that is safe here: send the value as text, a number, a list or a mapping"
    )
}

fn scalar<'a>(text: &'a str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Scalar<'a>, String> {
    let wrong = |NoValue| format!("{text:?} is no value that PyYAML has");
    let Some(tag) = tag else {
        return match style {
            ScalarStyle::Plain => resolve(text).map_err(wrong),
            _ => Ok(Scalar::Text(text.into())),
        };
    };
    let name = name(tag);
    let typed = |value: Option<Result<Scalar<'a>, NoValue>>| value.unwrap_or(Err(NoValue)).map_err(wrong);
    match name.strip_prefix(YAML) {
        Some("str") => Ok(Scalar::Text(text.into())),
        None if name == "!" => Ok(Scalar::Text(text.into())),
        Some("null") => Ok(Scalar::Null),
        Some("bool") => match resolve(text) {
            Ok(value @ Scalar::Bool(_)) => Ok(value),
            _ => Err(wrong(NoValue)),
        },
        Some("int") => typed(integer(text)),
        Some("float") => typed(float(text).or_else(|| whole(text))),
        Some("timestamp") => typed(timestamp(text)),
        Some("binary") => {
            // Lines of base64, as Python's `decodebytes` takes them.
            let encoded: String = text.split_ascii_whitespace().collect();
            let bytes = STANDARD.decode(encoded).map_err(|_| "a `!!binary` that is not base64".to_owned())?;
            Ok(Scalar::Bytes(Cow::Owned(bytes)))
        }
        _ => Err(unknown(Some(tag))),
    }
}

/// An integer that is tagged as a float.
fn whole(text: &str) -> Option<Result<Scalar<'_>, NoValue>> {
    match integer(text)? {
        Ok(Scalar::Integer(digits)) => Some(digits.parse().map(Scalar::Float).map_err(|_| NoValue)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(body: &str) -> Result<String, Unreadable> {
        to_json(body.as_bytes(), 1000)
    }

    #[test]
    fn what_safe_dump_writes_becomes_json() {
        let cases = [
            ("- - 1\n  - x\n- {}\n- a: null\n", r#"[[1, "x"], {}, {"a": null}]"#),
            ("- &id001\n  - 1\n- *id001\n- *id001\n", "[[1], [1], [1]]"),
            ("- 2024-01-02\n", r#"[{"__type__": "date", "__value__": "2024-01-02"}]"#),
            (
                "2024-01-02 03:04:05.500000+05:30\n...\n",
                r#"{"__type__": "datetime", "__value__": "2024-01-02T03:04:05.500000+05:30"}"#,
            ),
            ("!!binary |\n  /wA=\n", r#"{"__type__": "base64", "__value__": "/wA="}"#),
            ("!!set\na: null\n? b\n", r#"["a", "b"]"#),
            (
                "'1': 1\n2: 2\nnull: 3\ntrue: 4\n1.5: 5\n",
                r#"{"1": 1, "2": 2, "null": 3, "true": 4, "1.5": 5}"#,
            ),
            ("\"a\\\n  \\ b\"", r#""a b""#),
            ("- !!str 1\n- ! 2\n- !!int '3'\n- !!float 4\n", r#"["1", "2", 3, 4.0]"#),
            ("- &a x\n- {*a : *a}", r#"["x", {"x": "x"}]"#),
            ("- &a 1\n- {*a : *a}", r#"[1, {"1": 1}]"#),
            ("", "null"),
            ("# nothing\n", "null"),
            ("\u{feff}- 1", "[1]"),
        ];
        for (body, text) in cases {
            assert_eq!(json(body).as_deref(), Ok(text), "{body}");
        }
    }

    #[test]
    fn what_is_not_safe_yaml_says_why() {
        let why = |body: &str| json(body).unwrap_err().to_string();
        assert_eq!(
            why("- !!python/object/apply:os.system [x]"),
            "byte 34: the tag \"tag:yaml.org,2002:python/object/apply:os.system\" is none that is safe here: send the \
             value as text, a number, a list or a mapping"
        );
        assert_eq!(why("&a [*a]"), "byte 4: an alias within what it stands for");
        assert_eq!(why("a: &a {x: 1}\n? *a\n: 2"), "byte 15: a member's name must be text, not a container");
        assert_eq!(why("{[1]: 2}"), "byte 1: a member's name must be text, not a container");
        assert_eq!(why("2024-01-02: 2"), "byte 0: a member's name must be text, not a date");
        assert_eq!(why("<<: {a: 1}"), "byte 0: \"<<\" is no value that PyYAML has");
        assert_eq!(why("!!set {a: 1}"), "byte 10: a set's member has no value");
        assert_eq!(why("--- 1\n--- 2\n"), "byte 10: more than one value");
        for broken in ["[1", "a: b: c", "*a", "%YAML 1.1\n---\n1", "'a"] {
            assert!(matches!(json(broken), Err(Unreadable::At { .. })), "{broken}");
        }
        assert!(matches!(to_json(b"\xff", 1000), Err(Unreadable::At { offset: 0, .. })));
    }

    #[test]
    fn a_few_lines_cannot_become_gigabytes() {
        let mut laughs = "- &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..20 {
            let below = format!("*a{}, ", level - 1).repeat(9);
            laughs.extend(["- &a", &level.to_string(), " [", &below, "]\n"]);
        }
        assert_eq!(to_json(laughs.as_bytes(), 1 << 20), Err(Unreadable::TooLong(1 << 20)));
    }

    #[test]
    fn deep_values_are_refused() {
        for deep in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000), "? ".repeat(100_000)]
        {
            assert!(json(&deep).is_err());
        }
    }
}
