//! A cursor over JSON text: checks values and cuts them out, without recursion.

use std::borrow::Cow;
use std::ops::Range;

use super::{Invalid, MAX_DEPTH, string};

/// A cursor over JSON text. Each step first skips white space.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// A member's name.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a> {
    /// Its JSON text.
    pub(crate) json: &'a str,
    escaped: bool,
}

impl<'a> Name<'a> {
    /// What it says.
    pub(crate) fn text(self) -> Cow<'a, str> {
        if self.escaped {
            return string(self.json).unwrap_or_default();
        }
        Cow::Borrowed(&self.json[1..self.json.len() - 1])
    }
}

/// Which containers stand open, one bit each: set for an object.
struct Open {
    kinds: [u64; MAX_DEPTH / 64],
    depth: usize,
}

impl Open {
    fn push(&mut self, object: bool) -> bool {
        let Some(word) = self.kinds.get_mut(self.depth / 64) else {
            return false;
        };
        let bit = 1 << (self.depth % 64);
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        true
    }

    /// Whether the innermost container is an object; `None` when none is open.
    fn innermost(&self) -> Option<bool> {
        let index = self.depth.checked_sub(1)?;
        self.kinds.get(index / 64).map(|word| word >> (index % 64) & 1 == 1)
    }
}

impl<'a> Scanner<'a> {
    /// At the start of these bytes, which must be UTF-8 (kombu's only encoding of JSON).
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Invalid> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(error) => Err(Invalid { offset: error.valid_up_to(), expected: "UTF-8" }),
        }
    }

    /// How many bytes lie before the cursor.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// The first byte of what comes next.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.byte() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
        None
    }

    /// Checks that nothing comes any more.
    pub(crate) fn end(mut self) -> Result<(), Invalid> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end of the text")),
        }
    }

    /// Passes one value and returns where it stands.
    pub(crate) fn span(&mut self) -> Result<Range<usize>, Invalid> {
        let length = self.value()?.len();
        Ok(self.at - length..self.at)
    }

    /// Passes one value and returns its text.
    pub(crate) fn value(&mut self) -> Result<&'a str, Invalid> {
        let first = self.peek();
        let start = self.at;
        if matches!(first, Some(b'[' | b'{')) {
            self.container()?;
        } else {
            self.scalar()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// Passes an array; `element` must pass one value each time.
    pub(crate) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        self.take(b'[', "an array")?;
        if self.taken(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if self.taken(b']') {
                return Ok(());
            }
            self.take(b',', "`,` or `]`")?;
        }
    }

    /// Passes an object; `member` gets a name, and must pass one value each time.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Name<'a>) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        self.take(b'{', "an object")?;
        if self.taken(b'}') {
            return Ok(());
        }
        loop {
            let name = self.name()?;
            member(self, name)?;
            if self.taken(b'}') {
                return Ok(());
            }
            self.take(b',', "`,` or `}`")?;
        }
    }

    /// A member's name and the colon after it.
    fn name(&mut self) -> Result<Name<'a>, Invalid> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a member's name in double quotes"));
        }
        let start = self.at;
        let escaped = self.string()?;
        let name = Name { json: &self.text[start..self.at], escaped };
        self.take(b':', "`:`")?;
        Ok(name)
    }

    fn container(&mut self) -> Result<(), Invalid> {
        let mut open = Open { kinds: [0; MAX_DEPTH / 64], depth: 0 };
        loop {
            // The cursor is where a value must come.
            match self.peek() {
                Some(kind @ (b'[' | b'{')) => {
                    let object = kind == b'{';
                    if !open.push(object) {
                        return Err(self.expected("values that nest less deeply"));
                    }
                    self.at += 1;
                    if !self.taken(if object { b'}' } else { b']' }) {
                        if object {
                            self.name()?;
                        }
                        continue;
                    }
                    open.depth -= 1;
                }
                _ => self.scalar()?,
            }
            // A value has come: what may follow it, up to the next value.
            loop {
                match open.innermost() {
                    None => return Ok(()),
                    Some(true) if self.taken(b'}') => open.depth -= 1,
                    Some(true) => {
                        self.take(b',', "`,` or `}`")?;
                        self.name()?;
                        break;
                    }
                    Some(false) if self.taken(b']') => open.depth -= 1,
                    Some(false) => {
                        self.take(b',', "`,` or `]`")?;
                        break;
                    }
                }
            }
        }
    }

    fn scalar(&mut self) -> Result<(), Invalid> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word("null"),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'N') => self.word("NaN"),
            Some(b'I') => self.word("Infinity"),
            _ => Err(self.expected("a value")),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Invalid> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.expected(word))
    }

    fn number(&mut self) -> Result<(), Invalid> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'I') => return self.word("Infinity"),
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Invalid> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// Passes a string, and says whether there are escapes in it. The cursor is at the opening quote.
    fn string(&mut self) -> Result<bool, Invalid> {
        let mut escaped = false;
        self.at += 1;
        loop {
            self.at += plain(&self.text.as_bytes()[self.at..]);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    self.escape()?;
                    escaped = true;
                }
                Some(_) => return Err(self.expected("an escaped control character")),
                None => return Err(self.expected("the end of the string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Invalid> {
        match self.text.as_bytes()[self.at..] {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
            [_, b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(u8::is_ascii_hexdigit) => self.at += 6,
            _ => return Err(self.expected("an escape of JSON")),
        }
        Ok(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes `byte` where it comes next.
    fn taken(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Invalid> {
        if self.taken(byte) { Ok(()) } else { Err(self.expected(expected)) }
    }

    fn expected(&self, expected: &'static str) -> Invalid {
        Invalid { offset: self.at, expected }
    }
}

/// How many bytes at the start stand for themselves in a string: all but `"`, `\` and control characters. Eight at
/// a time, for bodies are long.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    let mut length = 0;
    let (words, _) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quotes = word ^ (ONES * u64::from(b'"'));
        let backslashes = word ^ (ONES * u64::from(b'\\'));
        // The lowest set bit is exact; above it a borrow may set more, which nobody looks at.
        let special = (quotes.wrapping_sub(ONES) & !quotes)
            | (backslashes.wrapping_sub(ONES) & !backslashes)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if special & HIGH != 0 {
            return length + (special & HIGH).trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    length + bytes[length..].iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | ..0x20)).count()
}
