//! Strings: their JSON text ↔ what they say.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Writes a string as Python does by default: everything outside ASCII is escaped.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    put(&mut out, text);
    out
}

/// Appends what [`quote`] writes.
pub(crate) fn put(out: &mut String, text: &str) {
    out.push('"');
    let mut clean = 0;
    for (at, char) in text.char_indices() {
        if matches!(char, ' '..='~') && char != '"' && char != '\\' {
            continue;
        }
        out.push_str(&text[clean..at]);
        clean = at + char.len_utf8();
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            char => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push_str(&text[clean..]);
    out.push('"');
}

/// What a string says, from its JSON text; `None` when that is no string. Half a surrogate pair becomes U+FFFD,
/// since no text holds it: only names that we look at are read by this, values are passed on as they came.
pub fn string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((clean, escape)) = rest.split_once('\\') {
        out.push_str(clean);
        let mut chars = escape.chars();
        match chars.next()? {
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => {
                let high = unit(chars.as_str())?;
                rest = chars.as_str().get(4..)?;
                let low =
                    rest.strip_prefix("\\u").and_then(unit).filter(|low| (0xdc00..0xe000).contains(low));
                match (high, low) {
                    (0xd800..0xdc00, Some(low)) => {
                        rest = rest.get(6..)?;
                        let char = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                        out.push(char::from_u32(char).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    _ => out.push(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)),
                }
                continue;
            }
            char @ ('"' | '\\' | '/') => out.push(char),
            _ => return None,
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// The four hexadecimal digits that `text` begins with.
fn unit(text: &str) -> Option<u32> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_written_as_python_writes_them() {
        // What `json.dumps` of Python 3.11 says.
        assert_eq!(
            quote("a\"\\/\u{8}\u{c}\n\r\t\u{1}\u{7f}é☃🦀"),
            r#""a\"\\/\b\f\n\r\t\u0001\u007f\u00e9\u2603\ud83e\udd80""#
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["", "plain", "a\"\\/\u{8}\u{c}\n\r\t\u{1}\u{7f}é☃🦀", "\u{ffff}\u{10ffff}"] {
            assert_eq!(string(&quote(text)).as_deref(), Some(text));
        }
    }

    #[test]
    fn half_a_surrogate_pair_becomes_a_replacement_character() {
        assert_eq!(string(r#""a\ud800b""#).as_deref(), Some("a\u{fffd}b"));
        assert_eq!(string(r#""\ud83e\u0041""#).as_deref(), Some("\u{fffd}A"));
        assert_eq!(string(r#""\udd80\ud83e""#).as_deref(), Some("\u{fffd}\u{fffd}"));
        assert_eq!(string(r#""\ud83e\ud83e\udd80""#).as_deref(), Some("\u{fffd}🦀"));
    }

    #[test]
    fn what_is_no_string_says_nothing() {
        for json in ["null", "5", "[\"a\"]", "\"", r#""\x""#, r#""\u00+1""#] {
            assert_eq!(string(json), None, "{json}");
        }
    }
}
