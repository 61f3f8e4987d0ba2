//! Strings and bytes as Python prints them.

use std::fmt::Write as _;

use crate::json::quote;

/// `repr` of a text: `'a'`, `"it's"`.
pub fn text(text: &str) -> String {
    plain(Chars::new(&quote(text)), usize::MAX)
}

/// The characters of a string's JSON text, up to its closing quote or the end of the text.
#[derive(Clone)]
pub(super) struct Chars<'a>(&'a str);

/// A character; or half a surrogate pair, which is one to Python.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Char {
    Whole(char),
    Half(u16),
}

impl<'a> Chars<'a> {
    /// Of a text that begins with the opening quote.
    pub(super) fn new(json: &'a str) -> Self {
        Self(json.get(1..).unwrap_or_default())
    }

    fn unit(&mut self) -> Option<u16> {
        let digits = self.0.strip_prefix("\\u")?.get(..4)?;
        let unit = u16::from_str_radix(digits, 16).ok()?;
        self.0 = &self.0[6..];
        Some(unit)
    }
}

impl Iterator for Chars<'_> {
    type Item = Char;

    fn next(&mut self) -> Option<Char> {
        let mut chars = self.0.chars();
        let char = match chars.next()? {
            '"' => return None,
            '\\' => match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let high = self.unit()?;
                    if !(0xd800..0xdc00).contains(&high) {
                        return Some(char::from_u32(high.into()).map_or(Char::Half(high), Char::Whole));
                    }
                    let mut ahead = self.clone();
                    let pair = ahead.unit().and_then(|low| char::decode_utf16([high, low]).next()?.ok());
                    if pair.is_some() {
                        *self = ahead;
                    }
                    return Some(pair.map_or(Char::Half(high), Char::Whole));
                }
                char => char,
            },
            char => char,
        };
        self.0 = chars.as_str();
        Some(Char::Whole(char))
    }
}

/// `repr` of a string, of its first `length` characters. Quotes are single ones, unless the text has such and no
/// double ones; what is not printable is escaped.
pub(super) fn plain(chars: Chars<'_>, length: usize) -> String {
    let has = |quote| chars.clone().take(length).any(|char| char == Char::Whole(quote));
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    let mut chars = chars;
    for char in chars.by_ref().take(length) {
        match char {
            Char::Whole('\n') => out.push_str("\\n"),
            Char::Whole('\r') => out.push_str("\\r"),
            Char::Whole('\t') => out.push_str("\\t"),
            Char::Whole(char) if char == quote || char == '\\' => out.extend(['\\', char]),
            Char::Whole(char) if is_printable(char) => out.push(char),
            Char::Whole(char) => put_escape(&mut out, char.into()),
            Char::Half(unit) => put_escape(&mut out, unit.into()),
        }
    }
    if chars.next().is_some() {
        out.push_str("...");
    }
    out.push(quote);
    out
}

/// A string as `saferepr` has it, of its first `length` characters: as it stands, but for single quotes.
pub(super) fn safe(chars: Chars<'_>, length: usize) -> String {
    let chars = chars.map(|char| match char {
        Char::Whole(char) => char,
        // No text of ours holds it.
        Char::Half(_) => char::REPLACEMENT_CHARACTER,
    });
    format!("'{}'", truncate(chars, length).replace('\'', "\\'"))
}

/// Celery's `truncate`: a text that has `length` characters or more ends at the last space among them, and in `...`.
pub(super) fn truncate(chars: impl Iterator<Item = char>, length: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    for char in chars.take(length) {
        out.push(char);
        count += 1;
    }
    if count == length {
        if let Some(space) = out.rfind(' ') {
            out.truncate(space);
        }
        out.push_str("...");
    }
    out
}

/// `repr` of bytes, of the first `length`.
pub(super) fn bytes(bytes: &[u8], length: usize) -> String {
    let (shown, rest) = bytes.split_at(length.min(bytes.len()));
    let quote = if shown.contains(&b'\'') && !shown.contains(&b'"') { '"' } else { '\'' };
    let mut out = format!("b{quote}");
    for byte in shown {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            byte if char::from(*byte) == quote || *byte == b'\\' => out.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => out.push(char::from(*byte)),
            byte => put_escape(&mut out, u32::from(*byte)),
        }
    }
    if !rest.is_empty() {
        out.push_str("...");
    }
    out.push(quote);
    out
}

/// Bytes as `saferepr` has them, of the first `length`: their text, or hexadecimal digits where they are none.
pub(super) fn safe_bytes(bytes: &[u8], length: usize) -> String {
    let (shown, rest) = bytes.split_at(length.min(bytes.len()));
    let mut out = String::from("b'");
    match std::str::from_utf8(shown) {
        Ok(text) => out.push_str(text),
        Err(_) => shown.iter().for_each(|byte| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{byte:02x}");
        }),
    }
    if !rest.is_empty() {
        out.push_str("...");
    }
    out.push('\'');
    out
}

fn put_escape(out: &mut String, point: u32) {
    // Writing to a String cannot fail.
    let _ = match point {
        ..0x100 => write!(out, "\\x{point:02x}"),
        0x100..0x1_0000 => write!(out, "\\u{point:04x}"),
        _ => write!(out, "\\U{point:08x}"),
    };
}

/// Python's `isprintable`. Rust escapes the same categories in a text's debug form (but for what it puts before a
/// combining character at the start, and for quotes and backslashes, which do not come here unescaped by Python).
fn is_printable(char: char) -> bool {
    match char {
        ' '..='~' => true,
        '\0'..'\u{a0}' => false,
        char => {
            let mut text = [0; 5];
            text[0] = b'a';
            let length = char.encode_utf8(&mut text[1..]).len();
            let text = std::str::from_utf8(&text[..=length]).unwrap_or_default();
            text.escape_debug().nth(1) == Some(char)
        }
    }
}
