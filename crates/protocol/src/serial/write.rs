//! JSON text, written value by value as Python writes it, up to a limit.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Unreadable;
use crate::json::{MAX_DEPTH, put, quote};

/// A value that holds no others.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// Decimal digits, after a `-` or not.
    Integer(Cow<'a, str>),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// kombu's type, and its text: `datetime`, `date`.
    Typed(&'static str, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Array,
    Object,
    /// An object's names alone, written as an array: JSON has no sets, nor does kombu's.
    Set,
}

/// A container that stands open.
struct Open {
    kind: Kind,
    start: usize,
    /// How many values were written in it; of an object, names count as well.
    count: usize,
}

impl Open {
    fn at_name(&self) -> bool {
        self.kind != Kind::Array && self.count.is_multiple_of(2)
    }
}

/// JSON text that grows by values.
pub(super) struct Writer {
    out: String,
    open: Vec<Open>,
    limit: usize,
}

impl Writer {
    pub(super) fn new(limit: usize) -> Self {
        Self { out: String::new(), open: Vec::new(), limit }
    }

    pub(super) fn text(self) -> String {
        self.out
    }

    /// Opens a container. `offset`, here and below, is where its bytes stand in the body.
    pub(super) fn begin(&mut self, kind: Kind, offset: usize) -> Result<(), Unreadable> {
        if self.open.len() == MAX_DEPTH {
            return Err(Unreadable::TooDeep);
        }
        if self.open.last().is_some_and(Open::at_name) {
            return Err(Unreadable::at(offset, "a member's name must be text, not a container"));
        }
        self.separate(offset)?;
        self.open.push(Open { kind, start: self.out.len(), count: 0 });
        self.out.push(if kind == Kind::Object { '{' } else { '[' });
        self.check()
    }

    /// Closes the innermost container, and says where its text stands.
    pub(super) fn end(&mut self) -> Range<usize> {
        let Some(open) = self.open.pop() else {
            return 0..0;
        };
        self.out.push(if open.kind == Kind::Object { '}' } else { ']' });
        open.start..self.out.len()
    }

    /// Writes a value, and says where its text stands.
    pub(super) fn scalar(&mut self, scalar: &Scalar<'_>, offset: usize) -> Result<Range<usize>, Unreadable> {
        self.room(scalar)?;
        let name = self.open.last().filter(|open| open.at_name()).map(|open| open.kind);
        if self.skipped(*scalar == Scalar::Null, offset)? {
            return Ok(0..0);
        }
        self.separate(offset)?;
        let start = self.out.len();
        if name == Some(Kind::Object) {
            put(&mut self.out, &named(scalar, offset)?);
        } else {
            self.put(scalar);
        }
        self.check()?;
        Ok(start..self.out.len())
    }

    /// Writes once more what was written before.
    pub(super) fn again(&mut self, range: Range<usize>, offset: usize) -> Result<(), Unreadable> {
        if range.len() > self.limit.saturating_sub(self.out.len()) {
            return Err(Unreadable::TooLong(self.limit));
        }
        let name = self.open.last().filter(|open| open.at_name()).map(|open| open.kind);
        if self.skipped(&self.out[range.clone()] == "null", offset)? {
            return Ok(());
        }
        self.separate(offset)?;
        match (name, self.out.as_bytes().get(range.start)) {
            (Some(Kind::Object), Some(b'{' | b'[')) => {
                return Err(Unreadable::at(offset, "a member's name must be text, not a container"));
            }
            (Some(Kind::Object), first) if first != Some(&b'"') => {
                let quoted = quote(&self.out[range]);
                self.out.push_str(&quoted);
            }
            _ => self.out.extend_from_within(range),
        }
        self.check()
    }

    /// Passes a value of a set's member, which must be null and is not written.
    fn skipped(&mut self, null: bool, offset: usize) -> Result<bool, Unreadable> {
        match self.open.last_mut() {
            Some(open) if open.kind == Kind::Set && !open.at_name() => {
                open.count += 1;
                if null { Ok(true) } else { Err(Unreadable::at(offset, "a set's member has no value")) }
            }
            _ => Ok(false),
        }
    }

    /// What stands between the value before and the next one.
    fn separate(&mut self, offset: usize) -> Result<(), Unreadable> {
        let Some(open) = self.open.last_mut() else {
            if self.out.is_empty() {
                return Ok(());
            }
            return Err(Unreadable::at(offset, "more than one value"));
        };
        if open.kind == Kind::Object && !open.at_name() {
            self.out.push_str(": ");
        } else if open.count > 0 {
            self.out.push_str(", ");
        }
        open.count += 1;
        Ok(())
    }

    fn put(&mut self, scalar: &Scalar<'_>) {
        match scalar {
            Scalar::Null => self.out.push_str("null"),
            Scalar::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Scalar::Integer(digits) => self.out.push_str(digits),
            Scalar::Float(value) => self.out.push_str(&float(*value)),
            Scalar::Text(text) => put(&mut self.out, text),
            Scalar::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.typed("bytes", text),
                Err(_) => self.typed("base64", &STANDARD.encode(bytes)),
            },
            Scalar::Typed(kind, text) => self.typed(kind, text),
        }
    }

    fn typed(&mut self, kind: &str, value: &str) {
        self.out.push_str("{\"__type__\": ");
        put(&mut self.out, kind);
        self.out.push_str(", \"__value__\": ");
        put(&mut self.out, value);
        self.out.push('}');
    }

    /// Checks, before one long value is written, that it can fit.
    fn room(&self, scalar: &Scalar<'_>) -> Result<(), Unreadable> {
        let room = self.limit.saturating_sub(self.out.len());
        let text = |text: &str| {
            // A character becomes `\u` and four digits, or two of these: at most six bytes for one.
            if text.len() <= room / 6 { text.len() } else { text.chars().map(escaped).sum() }
        };
        let least = match scalar {
            Scalar::Text(value) => text(value),
            Scalar::Bytes(value) => std::str::from_utf8(value).map_or(value.len() / 3 * 4, text),
            Scalar::Integer(digits) => digits.len(),
            _ => 0,
        };
        if least > room { Err(Unreadable::TooLong(self.limit)) } else { Ok(()) }
    }

    fn check(&self) -> Result<(), Unreadable> {
        if self.out.len() > self.limit { Err(Unreadable::TooLong(self.limit)) } else { Ok(()) }
    }
}

/// How many bytes of JSON text a character takes at least.
fn escaped(char: char) -> usize {
    match char {
        ' '..='~' => 1,
        '\n' | '\r' | '\t' => 2,
        char => 6 * char.len_utf16(),
    }
}

/// A member's name, as Python's `json` makes one of a value.
fn named<'a>(scalar: &'a Scalar<'_>, offset: usize) -> Result<Cow<'a, str>, Unreadable> {
    match scalar {
        Scalar::Text(text) => Ok(Cow::Borrowed(text)),
        Scalar::Integer(digits) => Ok(Cow::Borrowed(digits)),
        Scalar::Null => Ok("null".into()),
        Scalar::Bool(value) => Ok(if *value { "true" } else { "false" }.into()),
        Scalar::Float(value) => Ok(float(*value).into()),
        Scalar::Bytes(_) => Err(Unreadable::at(offset, "a member's name must be text, not bytes")),
        Scalar::Typed(kind, _) => {
            Err(Unreadable::at(offset, format!("a member's name must be text, not a {kind}")))
        }
    }
}

/// A number as Python's `repr` writes it: with an exponent below 1e-4 and from 1e16 on.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let shortest = format!("{value:e}");
    let Some((digits, exponent)) = shortest.split_once('e') else {
        return shortest;
    };
    match exponent.parse::<i32>() {
        Ok(exponent @ (..-4 | 16..)) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        // What `repr` of Python 3.11 says.
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (1.5, "1.5"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e300, "1.25e+300"),
            (1e-4, "0.0001"),
            (1.5e-5, "1.5e-05"),
            (5e-324, "5e-324"),
            (123_456_789.125, "123456789.125"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in cases {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn a_text_that_grows_over_the_limit_is_refused_before_it_is_written() {
        let control = "\0".repeat(100);
        let mut writer = Writer::new(602);
        writer.scalar(&Scalar::Text(control.clone().into()), 0).unwrap();
        for limit in [601, 599, 100, 0] {
            let mut writer = Writer::new(limit);
            let refused = writer.scalar(&Scalar::Text(control.clone().into()), 0);
            assert_eq!(refused, Err(Unreadable::TooLong(limit)));
            assert!(writer.out.len() <= 602);
        }
    }
}
