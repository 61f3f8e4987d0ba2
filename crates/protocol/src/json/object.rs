//! Objects that stay text: members are looked up, set and passed on without touching the others.

use std::borrow::Cow;
use std::ops::Range;

use super::{Invalid, Scanner, check, members, put, quote};

/// An object as its JSON text, known to be valid. Members that nobody asks for stay as they came, in their order
/// and with their white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    text: String,
}

impl Default for Object {
    fn default() -> Self {
        Self { text: "{}".to_owned() }
    }
}

impl Object {
    /// Reads an object's text.
    pub fn read(bytes: &[u8]) -> Result<Self, Invalid> {
        let text = check(bytes)?;
        if text.starts_with('{') {
            return Ok(Self { text: text.to_owned() });
        }
        Err(Invalid { offset: 0, expected: "an object" })
    }

    /// The text of a value that was already checked; `None` when that is no object.
    pub(crate) fn of(value: &str) -> Option<Self> {
        value.starts_with('{').then(|| Self { text: value.to_owned() })
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members().is_empty()
    }

    /// The text of a member's value; of several with that name, the last.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = Place::find(&self.text, name).ok()?;
        Some(&self.text[place.value?])
    }

    /// Its members: names, and the texts of their values. A name that comes again stands here again.
    pub fn members(&self) -> Vec<(Cow<'_, str>, &str)> {
        members(self.text.as_bytes()).unwrap_or_default()
    }

    /// Gives a member this value: in its place when there is one, else behind the others.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), Invalid> {
        self.text = set(&self.text, &[name], check(value)?)?;
        Ok(())
    }

    /// The object without the members of these names. The others keep their order and their texts.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let mut kept = Self::default();
        // The text is known to be valid.
        let _ = Scanner::new(self.text.as_bytes()).and_then(|mut scanner| {
            scanner.object(|scanner, name| {
                let value = scanner.value()?;
                if !names.contains(&&*name.text()) {
                    kept.push_raw(name.json, value);
                }
                Ok(())
            })
        });
        kept
    }

    /// Appends a member that is known to be new, with a value that is known to be valid.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.push_raw(&quote(name), value);
    }

    /// Appends a string, when there is one.
    pub(crate) fn push_text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.push(name, &quote(text));
        }
    }

    /// Appends a member whose name is JSON text already.
    pub(crate) fn push_raw(&mut self, name: &str, value: &str) {
        self.text.pop();
        if !self.text.trim_ascii_end().ends_with('{') {
            self.text.push_str(", ");
        }
        for part in [name, ": ", value, "}"] {
            self.text.push_str(part);
        }
    }

    /// Appends the members of another.
    pub(crate) fn extend(&mut self, other: &Self) {
        // The text is known to be valid. Names stay as they came: half a surrogate pair has no text.
        let _ = Scanner::new(other.text.as_bytes()).and_then(|mut scanner| {
            scanner.object(|scanner, name| {
                self.push_raw(name.json, scanner.value()?);
                Ok(())
            })
        });
    }
}

/// The object's text with the member at `path` set to `value`, and nothing else changed. Objects that are missing
/// on the way are made.
pub(crate) fn set(object: &str, path: &[&str], value: &str) -> Result<String, Invalid> {
    let [name, below @ ..] = path else {
        return Ok(value.to_owned());
    };
    let place = Place::find(object, name)?;
    let old = place.value.clone().map_or("", |range| &object[range]);
    let old = if below.is_empty() || old.starts_with('{') { old } else { "{}" };
    let new = set(old, below, value)?;
    let mut out = String::with_capacity(object.len() + name.len() + new.len() + 6);
    if let Some(range) = place.value {
        out.push_str(&object[..range.start]);
        out.push_str(&new);
        out.push_str(&object[range.end..]);
    } else {
        let (head, tail) = object.split_at(place.end);
        out.push_str(head);
        if !place.empty {
            out.push_str(", ");
        }
        put(&mut out, name);
        out.push_str(": ");
        out.push_str(&new);
        out.push_str(tail);
    }
    Ok(out)
}

/// Where a member stands in an object's text, or could.
struct Place {
    /// Its value; of several, the last.
    value: Option<Range<usize>>,
    /// The end of the last member; for an object without any, what is behind the opening brace.
    end: usize,
    /// The object has no members.
    empty: bool,
}

impl Place {
    fn find(object: &str, name: &str) -> Result<Self, Invalid> {
        let mut scanner = Scanner::new(object.as_bytes())?;
        scanner.peek();
        let mut place = Self { value: None, end: scanner.offset() + 1, empty: true };
        scanner.object(|scanner, found| {
            let span = scanner.span()?;
            place.end = span.end;
            place.empty = false;
            if found.text() == name {
                place.value = Some(span);
            }
            Ok(())
        })?;
        scanner.end()?;
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_set_where_it_stands_and_the_rest_stays_byte_for_byte() {
        let text = "{ \"a\" :1,\n\"b\": {\"x\": NaN , \"y\":[ ]},\"c\":\"\\ud800\" }";
        let at = |path: &[&str]| set(text, path, "true").unwrap();
        assert_eq!(at(&["a"]), text.replace(":1", ":true"));
        assert_eq!(at(&["b", "x"]), text.replace("NaN", "true"));
        assert_eq!(at(&["b", "z"]), text.replace("[ ]", "[ ], \"z\": true"));
        assert_eq!(at(&["d"]), text.replace("ud800\"", "ud800\", \"d\": true"));
        assert_eq!(at(&["a", "x"]), text.replace(":1", ":{\"x\": true}"));
        assert_eq!(at(&["d", "x"]), text.replace("ud800\"", "ud800\", \"d\": {\"x\": true}"));
    }

    #[test]
    fn of_members_with_one_name_the_last_counts() {
        let object = Object::read(br#"{"a": 1, "\u0061": 2, "b": 3}"#).unwrap();
        assert_eq!(object.get("a"), Some("2"));
        assert_eq!(set(object.as_str(), &["a"], "5").unwrap(), r#"{"a": 1, "\u0061": 5, "b": 3}"#);
        assert_eq!(object.members(), [("a".into(), "1"), ("a".into(), "2"), ("b".into(), "3")]);
    }

    #[test]
    fn members_are_taken_away_by_their_names() {
        let object = Object::read(br#"{ "a":1, "b": {"a": [ NaN]} , "\u0061": 2,"\ud800": 3 }"#).unwrap();
        assert_eq!(object.without(&["a"]).as_str(), r#"{"b": {"a": [ NaN]}, "\ud800": 3}"#);
        assert_eq!(object.without(&["a", "b"]).as_str(), r#"{"\ud800": 3}"#);
        assert_eq!(Object::read(b"{\"a\": 1}").unwrap().without(&["a"]), Object::default());
    }

    #[test]
    fn an_empty_object_gets_its_first_member() {
        let mut object = Object::read(b" { } ").unwrap();
        assert!(object.is_empty());
        object.set("a", b" 1 ").unwrap();
        assert_eq!(object.as_str(), r#"{"a": 1 }"#);
        let mut object = Object::read(b"{ }").unwrap();
        object.push("a", "1");
        object.push("b", "[]");
        assert_eq!(object.as_str(), r#"{ "a": 1, "b": []}"#);
    }

    #[test]
    fn names_that_no_text_holds_are_passed_on() {
        let mut object = Object::read(b"{\"a\": 1}").unwrap();
        object.extend(&Object::read(b"{ \"\\udc00\": [ 2] , \"b\\n\":3}").unwrap());
        assert_eq!(object.as_str(), r#"{"a": 1, "\udc00": [ 2], "b\n": 3}"#);
    }

    #[test]
    fn what_is_no_object_and_what_is_no_value_is_refused() {
        assert!(Object::read(b"[]").is_err());
        assert!(Object::read(b"{\"a\"}").is_err());
        let mut object = Object::default();
        assert!(object.set("a", b"1, 2").is_err());
        assert_eq!(object, Object::default());
    }
}
