//! Objects that are written member by member.

use std::fmt::{Display, Write as _};

use super::put;
use crate::repr;

/// Writes an object as Python does. Names are ours: letters, digits, `-` and `_`.
pub(crate) struct Writer {
    out: String,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { out: String::from("{") }
    }

    /// A member whose value is JSON text.
    pub(crate) fn raw(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        self.out.push_str(value);
        self
    }

    /// A string.
    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        put(&mut self.out, value);
        self
    }

    /// A string, or null.
    pub(crate) fn maybe(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self.raw(name, "null"),
        }
    }

    pub(crate) fn bool(&mut self, name: &str, value: bool) -> &mut Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    pub(crate) fn integer(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.name(name);
        // Writing to a String cannot fail.
        let _ = write!(self.out, "{value}");
        self
    }

    pub(crate) fn float(&mut self, name: &str, value: f64) -> &mut Self {
        self.raw(name, &float(value))
    }

    /// The object's text.
    pub(crate) fn end(&mut self) -> String {
        self.out.push('}');
        std::mem::take(&mut self.out)
    }

    fn name(&mut self, name: &str) {
        if self.out.len() > 1 {
            self.out.push_str(", ");
        }
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\": ");
    }
}

/// A float as Python's JSON has it.
pub(crate) fn float(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        value => repr::float(value),
    }
}

/// An array of these JSON texts.
pub(crate) fn array(values: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut out = String::from("[");
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(value.as_ref());
    }
    out.push(']');
    out
}
