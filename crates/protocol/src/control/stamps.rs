//! Stamps that a command names.

use super::arguments::Arguments;
use super::{Answer, MAX_ID_LENGTH};
use crate::json::{self, Object};
use crate::{repr, revoked};

/// Stamps that are to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampedHeaders {
    /// An object: name → value or list of values.
    json: String,
    stamps: Vec<(String, Vec<String>)>,
}

impl StampedHeaders {
    /// Reads an object of stamps, or a list of `name=value`.
    pub(super) fn read(given: &Arguments<'_>) -> Result<Self, Answer> {
        let value = given.given("headers").unwrap_or("null");
        let expected = "an object of stamps or a list of name=value";
        let mut headers = Object::default();
        if value.starts_with('[') {
            for pair in given.texts("headers")? {
                let mut parts = pair.split('=');
                let (Some(name), Some(stamp)) = (parts.next(), parts.next()) else {
                    return Err(Answer::raised("IndexError", "list index out of range"));
                };
                // Of two with one name the last counts.
                let set = headers.set(name, json::quote(stamp).as_bytes());
                set.map_err(|_| given.wrong("headers", expected))?;
            }
        } else {
            headers = Object::of(value).ok_or_else(|| given.wrong("headers", expected))?;
        }
        let mut stamps: Vec<(String, Vec<String>)> = Vec::new();
        let mut count = 0;
        for (name, value) in headers.members() {
            let values = stamps_of(value);
            count += values.len();
            if count > revoked::MAX_STAMPS || values.iter().any(|value| value.len() > MAX_ID_LENGTH) {
                let most = revoked::MAX_STAMPS;
                return Err(
                    given.wrong("headers", &format!("{most} stamps of {MAX_ID_LENGTH} bytes at most"))
                );
            }
            stamps.push((name.into_owned(), values));
        }
        Ok(Self { json: headers.as_str().to_owned(), stamps })
    }

    /// Names and stamps, these as JSON texts that can be compared.
    pub fn stamps(&self) -> &[(String, Vec<String>)] {
        &self.stamps
    }

    /// As Python prints them.
    pub(super) fn shown(&self) -> String {
        repr::python(&self.json)
    }
}

/// The stamps in a value: itself, or its elements. Each as JSON text in one way of writing, so that they can be compared.
pub(crate) fn stamps_of(value: &str) -> Vec<String> {
    let values = match value.as_bytes().first() {
        Some(b'[') => json::elements(value.as_bytes()).unwrap_or_default(),
        _ => vec![value],
    };
    values
        .into_iter()
        .map(|value| json::string(value).map_or_else(|| value.to_owned(), |text| json::quote(&text)))
        .collect()
}
