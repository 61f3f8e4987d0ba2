//! A value in a message's JSON text, found without giving up how it was written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Step;

/// How many names of what the message has a message of ours lists, and how long each may be: enough to find a
/// spelling mistake, and no flood of the log.
const NAMES: usize = 10;
const NAME_LENGTH: usize = 40;

pub(super) enum Problem {
    /// What is there instead, in words.
    Missing(String),
    Json(serde_json::Error),
}

/// Walks from `json` by `steps`. `root` is what the text is called in a message.
pub(super) fn find<'a>(json: &'a [u8], root: &str, steps: &[Step]) -> Result<&'a RawValue, Problem> {
    let mut value: &RawValue = serde_json::from_slice(json).map_err(Problem::Json)?;
    for (depth, step) in steps.iter().enumerate() {
        let found = match step {
            Step::Item(index) => item(value, *index),
            Step::Member(name) => member(value, name),
        };
        value = found.map_err(Problem::Json)?.map_err(|instead| {
            let path: String = steps[..depth].iter().map(Step::to_string).collect();
            Problem::Missing(format!("{root}{path} {instead}"))
        })?;
    }
    Ok(value)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(index) => write!(f, "[{index}]"),
            Self::Member(name) => write!(f, ".{name}"),
        }
    }
}

/// A value, or what is there instead; or text that is not JSON after all.
type Found<'a> = Result<Result<&'a RawValue, String>, serde_json::Error>;

fn item(value: &RawValue, index: usize) -> Found<'_> {
    if !value.get().starts_with('[') {
        return Ok(Err(kind(value).to_owned()));
    }
    let items: Vec<&RawValue> = serde_json::from_str(value.get())?;
    Ok(items.get(index).copied().ok_or_else(|| match items.len() {
        0 => "is empty".to_owned(),
        1 => "has 1 item".to_owned(),
        length => format!("has {length} items"),
    }))
}

fn member<'a>(value: &'a RawValue, name: &str) -> Found<'a> {
    if !value.get().starts_with('{') {
        return Ok(Err(kind(value).to_owned()));
    }
    // Of two members with one name the last counts, as in Python.
    let members: BTreeMap<Name<'_>, &RawValue> = serde_json::from_str(value.get())?;
    Ok(members.get(&Name(Cow::Borrowed(name))).copied().ok_or_else(|| {
        let mut names: Vec<String> =
            members.keys().take(NAMES).map(|Name(name)| name.chars().take(NAME_LENGTH).collect()).collect();
        if members.is_empty() {
            return "is empty".to_owned();
        }
        if members.len() > NAMES {
            names.push(format!("{} more", members.len() - NAMES));
        }
        format!("has {}", names.join(", "))
    }))
}

/// A bare `Cow` would always be read as an owned string.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'{') => "is an object",
        Some(b'[') => "is a list",
        Some(b'"') => "is a string",
        Some(b't' | b'f') => "is a boolean",
        Some(b'n') => "is null",
        _ => "is a number",
    }
}

/// Appends JSON text without the white space between its tokens (Python's `json` writes some by default).
pub(super) fn compact(json: &str, to: &mut String) {
    let mut quoted = false;
    let mut escaped = false;
    for next in json.chars() {
        match next {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '\t' | '\n' | '\r' if !quoted => continue,
            _ => {}
        }
        to.push(next);
    }
}
