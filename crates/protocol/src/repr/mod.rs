//! JSON values as Python prints them.
//!
//! ```text
//!   {"a": [1, null], "b": "it's"}   python   {'a': [1, None], 'b': "it's"}     repr()
//!                                   safe     {'a': [1, None], 'b': 'it\'s'}    Celery's saferepr()
//! ```
//!
//! Celery shows arguments and results to people by `saferepr`, which is bounded: some 1,024 characters, three levels;
//! exceptions and answers of remote control by `repr`. The values that Celery's serializer marks (`{"__type__": ...,
//! "__value__": ...}`) are printed as what they stand for.
//!
//! Nothing is refused, for these texts are only looked at: what is no JSON ends the text where it stands, and a name
//! that comes again in an object is printed again. The cost is bounded too: text behind the first [`READ`] bytes is
//! not looked at.

mod number;
mod text;
mod typed;

use crate::json::{Invalid, Scanner, elements};
use text::Chars;
pub use text::text;
use typed::Typed;

/// How many characters are printed of a value, by Celery's `argsrepr_maxsize` and `resultrepr_maxsize`. Closing
/// brackets and `...` come on top.
pub const LENGTH: usize = 1024;

/// How many levels of containers [`safe`] prints, by Celery's default. Those below are `[...]`.
pub const LEVELS: usize = 3;

/// How many bytes of a value are read.
pub const READ: usize = 256 << 10;

/// How many characters are printed of an exception.
const EXCEPTION_LENGTH: usize = 16 << 10;

/// How many levels [`python`] prints: far more than anybody reads, and few enough for any thread's stack.
const PYTHON_LEVELS: usize = 64;

/// `repr(value)`, of the first [`LENGTH`] characters; then come `...`.
pub fn python(json: &str) -> String {
    plain(json, LENGTH)
}

/// `saferepr(value)`, as Celery says results and keyword arguments. In strings only single quotes are escaped.
pub fn safe(json: &str) -> String {
    print(json, Style::Safe, LENGTH, Printer::value)
}

/// `saferepr(tuple(value))` of an array, as Celery says positional arguments. Another value is printed by [`safe`].
pub fn tuple(json: &str) -> String {
    print(json, Style::Safe, LENGTH, |printer, scanner| match scanner.peek() {
        Some(b'[') => printer.tuple(scanner),
        _ => printer.value(scanner),
    })
}

/// `repr(exception)` of an exception that was raised with these arguments, the JSON text of an array:
/// `ValueError('bad', 3)`.
pub fn exception(kind: &str, args: &str) -> String {
    let mut out = format!("{kind}(");
    for (index, arg) in elements(args.as_bytes()).unwrap_or_default().into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        if out.len() >= EXCEPTION_LENGTH {
            out.push_str("...");
            break;
        }
        out.push_str(&plain(arg, EXCEPTION_LENGTH));
    }
    out.push(')');
    out
}

/// `repr` of a set of texts in this order (Python's own order is by chance): `{'a', 'b'}`.
pub fn set<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<_> = texts.into_iter().map(text).collect();
    if texts.is_empty() { "set()".to_owned() } else { format!("{{{}}}", texts.join(", ")) }
}

fn plain(json: &str, length: usize) -> String {
    print(json, Style::Plain, length, Printer::value)
}

fn print<'a>(
    json: &'a str,
    style: Style,
    length: usize,
    value: impl FnOnce(&mut Printer<'a>, &mut Scanner<'a>) -> Printed,
) -> String {
    let text = &json[..json.floor_char_boundary(READ)];
    let mut printer = Printer { text, out: String::new(), left: length, level: 0, style, stopped: false };
    if let Ok(mut scanner) = Scanner::new(text.as_bytes()) {
        // Where the text breaks off, so does what is printed.
        if value(&mut printer, &mut scanner).is_err() {
            printer.break_off();
        }
    }
    printer.out
}

/// Whether there is more to come. What the error says is of no interest.
type Printed = Result<(), Invalid>;

const STOP: Invalid = Invalid { offset: 0, expected: "" };

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Python's `repr`.
    Plain,
    /// Celery's `saferepr`.
    Safe,
}

struct Printer<'a> {
    /// What is printed. The scanners walk on it.
    text: &'a str,
    out: String,
    /// How many characters may still be printed.
    left: usize,
    level: usize,
    style: Style,
    /// It was said that something is left out.
    stopped: bool,
}

impl Printer<'_> {
    fn value(&mut self, scanner: &mut Scanner<'_>) -> Printed {
        let first = scanner.peek();
        match first {
            Some(b'"') => self.string(scanner),
            Some(b'{') => self.object(scanner),
            Some(b'[') => self.container(scanner, "[", "]", |printer, scanner| {
                let mut separator = "";
                scanner.array(|scanner| {
                    printer.token(separator)?;
                    separator = ", ";
                    printer.value(scanner)
                })
            }),
            _ => match scanner.value()? {
                "null" => self.atom("None"),
                "true" => self.atom("True"),
                "false" => self.atom("False"),
                digits => self.atom(&number::python(digits)),
            },
        }
    }

    fn tuple(&mut self, scanner: &mut Scanner<'_>) -> Printed {
        let close = if self.is_single() { ",)" } else { ")" };
        self.container(scanner, "(", close, |printer, scanner| {
            let mut separator = "";
            scanner.array(|scanner| {
                printer.token(separator)?;
                separator = ", ";
                printer.value(scanner)
            })
        })
    }

    /// Whether the text is an array of one element. One that is so long that its end is not read counts as one.
    fn is_single(&self) -> bool {
        let mut count = 0;
        let _ = Scanner::new(self.text.as_bytes()).and_then(|mut scanner| {
            scanner.array(|scanner| {
                count += 1;
                if count > 1 { Err(STOP) } else { scanner.value().map(|_| ()) }
            })
        });
        count == 1
    }

    fn object(&mut self, scanner: &mut Scanner<'_>) -> Printed {
        let rest = &self.text[scanner.offset()..];
        // Two members at most, and both named so.
        if rest[1..].trim_ascii_start().starts_with("\"__") {
            let start = scanner.offset();
            let value = scanner.value()?;
            if let Some(typed) = Typed::read(value) {
                return self.typed(&typed);
            }
            // The offsets of a scanner must be those of the text.
            let whole = self.text;
            self.text = &whole[start..][..value.len()];
            let printed = Scanner::new(self.text.as_bytes()).and_then(|mut own| self.dict(&mut own));
            self.text = whole;
            return printed;
        }
        self.dict(scanner)
    }

    fn dict(&mut self, scanner: &mut Scanner<'_>) -> Printed {
        self.container(scanner, "{", "}", |printer, scanner| {
            let mut separator = "";
            scanner.object(|scanner, name| {
                printer.token(separator)?;
                separator = ", ";
                if printer.is_full() {
                    return Err(STOP);
                }
                printer.quoted(Chars::new(name.json));
                printer.token(": ")?;
                printer.value(scanner)
            })
        })
    }

    /// Prints what stands between brackets, and closes those that were opened whatever happens.
    fn container(
        &mut self,
        scanner: &mut Scanner<'_>,
        open: &str,
        close: &str,
        inside: impl FnOnce(&mut Self, &mut Scanner<'_>) -> Printed,
    ) -> Printed {
        let levels = if self.style == Style::Safe { LEVELS } else { PYTHON_LEVELS };
        if self.level >= levels {
            self.token(&[open, "...", close].concat())?;
            return scanner.value().map(|_| ());
        }
        self.token(open)?;
        self.level += 1;
        let printed = inside(self, scanner);
        self.level -= 1;
        if printed.is_err() {
            self.break_off();
        }
        self.out.push_str(close);
        self.left = self.left.saturating_sub(close.len());
        printed
    }

    fn string(&mut self, scanner: &mut Scanner<'_>) -> Printed {
        if self.is_full() {
            return Err(STOP);
        }
        // Printed before it is passed: its end may lie behind what is read.
        let start = scanner.offset();
        self.quoted(Chars::new(&self.text[start..]));
        let passed = scanner.value();
        // The string says itself that it goes on.
        self.stopped = passed.is_err() && self.is_full();
        passed.map(|_| ())
    }

    fn typed(&mut self, typed: &Typed) -> Printed {
        match typed {
            Typed::Bytes(bytes) => {
                if self.is_full() {
                    return Err(STOP);
                }
                let text = match self.style {
                    Style::Plain => text::bytes(bytes, self.left),
                    Style::Safe => text::safe_bytes(bytes, self.left),
                };
                self.push(&text);
                Ok(())
            }
            Typed::Other(text) => self.atom(text),
        }
    }

    fn quoted(&mut self, chars: Chars<'_>) {
        let text = match self.style {
            Style::Plain => text::plain(chars, self.left),
            Style::Safe => text::safe(chars, self.left),
        };
        self.push(&text);
    }

    /// Prints a value that is cut, like a text, where it is too long.
    fn atom(&mut self, text: &str) -> Printed {
        if self.is_full() {
            return Err(STOP);
        }
        match self.style {
            Style::Plain => self.push(text),
            Style::Safe => self.push(&text::truncate(text.chars(), self.left)),
        }
        Ok(())
    }

    /// Prints what stands between values.
    fn token(&mut self, text: &str) -> Printed {
        if text.is_empty() {
            return Ok(());
        }
        if self.is_full() {
            return Err(STOP);
        }
        self.push(text);
        Ok(())
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
        self.left = self.left.saturating_sub(text.chars().count());
    }

    fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Says, once, that something is left out.
    fn break_off(&mut self) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        self.left = 0;
        match self.style {
            Style::Safe if self.level > 0 || !self.out.is_empty() => self.out.push_str(", ..."),
            _ => self.out.push_str("..."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_printed_with_its_arguments() {
        // What Python 3.11 says.
        assert_eq!(exception("ValueError", r#"["bad", 3]"#), "ValueError('bad', 3)");
        assert_eq!(exception("KeyError", r#"["it's"]"#), r#"KeyError("it's")"#);
        assert_eq!(exception("SoftTimeLimitExceeded", "[]"), "SoftTimeLimitExceeded()");
        assert_eq!(exception("E", r#"[{"a": [1.0]}, ["x"], null]"#), "E({'a': [1.0]}, ['x'], None)");
    }

    #[test]
    fn a_set_is_printed_as_one() {
        assert_eq!(set([]), "set()");
        assert_eq!(set(["a", "it's\n"]), r#"{'a', "it's\n"}"#);
    }

    #[test]
    fn what_is_longer_than_what_is_read_is_bounded() {
        let long = format!("\"{}\"", "a".repeat(2 * READ));
        let cut = "a".repeat(LENGTH);
        assert_eq!(python(&long), format!("'{cut}...'"));
        assert_eq!(safe(&long), format!("'{cut}...'"));
        assert_eq!(tuple(&format!("[{long}]")), format!("('{}...',)", &cut[1..]));
        assert_eq!(tuple(&format!("[{long}, 1]")), format!("('{}...',)", &cut[1..]), "its end is not read");
        let deep = format!("[[[[{}]], 1], 2]", vec!["[1]"; READ].join(", "));
        assert_eq!(safe(&deep), "[[[[...], ...]]]");
        let blank = format!("[1, {}2]", " ".repeat(READ));
        assert_eq!([safe(&blank), python(&blank)], ["[1, , ...]", "[1, ...]"]);
    }

    #[test]
    fn levels_are_bounded() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        assert_eq!(python(&deep), format!("{}[...]{}", "[".repeat(64), "]".repeat(64)));
        assert_eq!(safe(&deep), "[[[[...]]]]");
    }

    #[test]
    fn what_is_no_json_ends_the_text() {
        for text in ["", "nul", "{\"__", "[1, \"a", "{\"a\": ", "[\"\\u12", "\"\\", "{\"__type__\": 1, "] {
            for print in [python, safe, tuple] {
                assert!(print(text).contains("..."), "{text}");
            }
        }
        assert_eq!(exception("E", "no"), "E()");
    }

    #[test]
    fn a_mark_without_a_meaning_is_an_object() {
        let marked = |kind: &str, value: &str| format!("{{\"__type__\": {kind}, \"__value__\": {value}}}");
        assert_eq!(
            python(&marked("\"uuid\"", "{\"hex\": \"5\"}")),
            "{'__type__': 'uuid', '__value__': {'hex': '5'}}"
        );
        assert_eq!(
            python(&marked("\"datetime\"", "\"soon\"")),
            "{'__type__': 'datetime', '__value__': 'soon'}"
        );
        assert_eq!(
            safe(&format!("[1, {}, 2]", marked("null", "[1]"))),
            "[1, {'__type__': None, '__value__': [1]}, 2]"
        );
    }
}
