//! JSON as Python writes and reads it.
//!
//! Beyond strict JSON that is `NaN`, `Infinity`, `-Infinity` and strings with half a surrogate pair (`"\ud800"`).
//! Integers have any size, and of members with one name the last counts. Values are checked and cut out as text;
//! only what is needed gets interpreted, so that a task's arguments reach it as the client wrote them.
//!
//! Own code, because no parser has all of this: `jiter` knows the three numbers, but refuses half a surrogate
//! pair; `serde_json` and `sonic-rs` refuse the numbers.

mod object;
mod scan;
mod string;
mod writer;

use std::borrow::Cow;

pub use object::Object;
pub(crate) use object::set;
pub(crate) use scan::{Name, Scanner};
pub(crate) use string::put;
pub use string::{quote, string};
pub(crate) use writer::{Writer, array, float};

/// How deep values may nest. Python's own reader gives up at its recursion limit, 1000 by default.
pub const MAX_DEPTH: usize = 1024;

/// Why bytes are not one JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no JSON at byte {offset}: expected {expected}")]
pub struct Invalid {
    /// Bytes before the first one that does not fit.
    pub offset: usize,
    /// What would have fitted there.
    pub expected: &'static str,
}

/// Checks that these bytes are one value, and returns its text without the white space around it.
pub fn check(bytes: &[u8]) -> Result<&str, Invalid> {
    let mut scanner = Scanner::new(bytes)?;
    let value = scanner.value()?;
    scanner.end()?;
    Ok(value)
}

/// Cuts an array into the texts of its elements.
pub fn elements(bytes: &[u8]) -> Result<Vec<&str>, Invalid> {
    let mut elements = Vec::new();
    let mut scanner = Scanner::new(bytes)?;
    scanner.array(|scanner| {
        elements.push(scanner.value()?);
        Ok(())
    })?;
    scanner.end()?;
    Ok(elements)
}

/// Cuts an object into its members: their names, and the texts of their values. All of them, in their order, also
/// where a name comes again.
pub fn members(bytes: &[u8]) -> Result<Vec<(Cow<'_, str>, &str)>, Invalid> {
    let mut members = Vec::new();
    let mut scanner = Scanner::new(bytes)?;
    scanner.object(|scanner, name| {
        members.push((name.text(), scanner.value()?));
        Ok(())
    })?;
    scanner.end()?;
    Ok(members)
}

#[cfg(test)]
mod tests;
