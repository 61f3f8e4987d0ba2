//! The text of a template → its parts.

use super::{ParseError, Part, Place, Root, Step};

const ROOTS: &str = "args[0], kwargs.name, task.id, task.name or task.retries";

pub(super) fn template(text: &str) -> Result<Vec<Part>, ParseError> {
    let mut cursor = Cursor { text, at: 0 };
    let mut parts = Vec::new();
    let mut literal = String::new();
    while let Some(next) = cursor.peek() {
        let start = cursor.at;
        cursor.at += next.len_utf8();
        if next == '\0' {
            return Err(cursor.error(start, "a command's argument cannot hold a NUL character"));
        } else if next != '$' {
            literal.push(next);
        } else if cursor.take('$') {
            literal.push('$');
        } else if cursor.take('(') {
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Place(place(&mut cursor, start)?));
        } else {
            literal.push('$');
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

/// Reads what follows `$(`, and its closing parenthesis.
fn place(cursor: &mut Cursor<'_>, start: usize) -> Result<Place, ParseError> {
    let at = cursor.at;
    let root = match cursor.word() {
        "args" => Root::Args,
        "kwargs" => Root::Kwargs,
        "task" => task(cursor)?,
        _ => return Err(cursor.error(at, &format!("write {ROOTS}; a literal $( is written $$("))),
    };
    let mut steps = Vec::new();
    while !cursor.take(')') {
        let at = cursor.at;
        let step = match root {
            Root::Args | Root::Kwargs => step(cursor)?,
            Root::TaskId | Root::TaskName | Root::TaskRetries => {
                return Err(cursor.error(at, "close it with )"));
            }
        };
        match (root, &step, steps.is_empty()) {
            (Root::Args, Step::Member(_), true) => {
                return Err(cursor.error(at, "args is a list: write args[0]"));
            }
            (Root::Kwargs, Step::Item(_), true) => {
                return Err(cursor.error(at, "kwargs has names: write kwargs.name"));
            }
            _ => steps.push(step),
        }
    }
    Ok(Place { source: cursor.text[start..cursor.at].to_owned(), root, steps })
}

fn task(cursor: &mut Cursor<'_>) -> Result<Root, ParseError> {
    let at = cursor.at;
    match (cursor.take('.'), cursor.word()) {
        (true, "id") => Ok(Root::TaskId),
        (true, "name") => Ok(Root::TaskName),
        (true, "retries") => Ok(Root::TaskRetries),
        _ => Err(cursor.error(at, "write task.id, task.name or task.retries")),
    }
}

/// Reads `.name`, `[0]` or `["name"]`.
fn step(cursor: &mut Cursor<'_>) -> Result<Step, ParseError> {
    let at = cursor.at;
    if cursor.take('.') {
        let name = cursor.word();
        if name.is_empty() {
            return Err(
                cursor.error(cursor.at, "write a name, or [\"any text\"] for one with odd characters")
            );
        }
        return Ok(Step::Member(name.to_owned()));
    }
    if !cursor.take('[') {
        return Err(cursor.error(at, "close it with ), or go deeper with .name, [0] or [\"odd name\"]"));
    }
    let inner = cursor.at;
    let step = if cursor.peek() == Some('"') {
        Step::Member(
            cursor
                .quoted()
                .ok_or_else(|| cursor.error(inner, "write the name as a JSON string: [\"odd name\"]"))?,
        )
    } else {
        Step::Item(cursor.digits().parse().map_err(|_| {
            cursor.error(inner, "write a number from 0, or a name in double quotes: [0], [\"odd name\"]")
        })?)
    };
    if cursor.take(']') { Ok(step) } else { Err(cursor.error(cursor.at, "close it with ]")) }
}

struct Cursor<'a> {
    text: &'a str,
    /// Byte offset of the next character.
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let length = rest.find(|next| !wanted(next)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn word(&mut self) -> &'a str {
        self.take_while(|next| next.is_alphanumeric() || next == '_' || next == '-')
    }

    fn digits(&mut self) -> &'a str {
        self.take_while(|next| next.is_ascii_digit())
    }

    /// Reads a JSON string.
    fn quoted(&mut self) -> Option<String> {
        let mut strings = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<String>();
        let text = strings.next()?.ok()?;
        self.at += strings.byte_offset();
        Some(text)
    }

    fn error(&self, at: usize, advice: &str) -> ParseError {
        ParseError { column: self.text[..at].chars().count() + 1, advice: advice.to_owned() }
    }
}
