//! What of a body's forms a pool reads: Celery's `accept_content`.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::refused::Why;
use super::{Message, Refused, body};
use crate::envelope::Envelope;
use crate::serial::Serializer;
use crate::signed::Certificates;

/// What a pool reads. The default is Celery's: JSON alone.
///
/// kombu also trusts bodies that are plain text (`application/data`, `application/text`). They are accepted here too,
/// and then refused, because no task is plain text.
#[derive(Debug, Clone)]
pub struct Accept {
    /// By the place in [`Serializer::ALL`].
    accepted: [bool; Serializer::ALL.len()],
    /// Of those who may sign; a pool that does not accept `auth` has none.
    certificates: Option<Arc<Certificates>>,
    /// No body counts that is not signed.
    only_signed: bool,
}

impl Default for Accept {
    fn default() -> Self {
        Self::nothing().and(Serializer::Json)
    }
}

/// A name in a pool's list of accepted content that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAcceptable {
    /// No serializer has this name or content type.
    #[error("no serializer is called {0:?}: json, yaml, msgpack, pickle and auth are known")]
    Unknown(String),
    /// `auth` without certificates.
    #[error("`auth` needs the certificates of those who may sign: no body could be verified")]
    NoCertificates,
    /// Nothing is accepted.
    #[error("the list of accepted content is empty, so that no task could run: `json` is the default")]
    Nothing,
}

impl Accept {
    fn nothing() -> Self {
        Self { accepted: [false; Serializer::ALL.len()], certificates: None, only_signed: false }
    }

    fn and(mut self, serializer: Serializer) -> Self {
        self.accepted[serializer as usize] = true;
        self
    }

    /// By the names or content types of `accept_content`: `["json", "yaml"]`. A pool that lists `auth` alone demands
    /// signatures; one that lists others beside it also takes bodies without.
    ///
    /// `pickle` says that the handler takes a body's bytes as they are ([`Message::pickled`]). Nothing here unpickles.
    pub fn of<'a>(
        names: impl IntoIterator<Item = &'a str>,
        certificates: Option<&Arc<Certificates>>,
    ) -> Result<Self, NotAcceptable> {
        let mut accept = Self::nothing();
        for name in names {
            let serializer =
                Serializer::named(name).ok_or_else(|| NotAcceptable::Unknown(name.to_owned()))?;
            if serializer == Serializer::Auth {
                let some = certificates.filter(|certificates| !certificates.is_empty());
                accept.certificates = Some(some.ok_or(NotAcceptable::NoCertificates)?.clone());
            }
            accept = accept.and(serializer);
        }
        let mut unsigned = Serializer::ALL.into_iter().filter(|serializer| *serializer != Serializer::Auth);
        match (unsigned.any(|serializer| accept.accepts(serializer)), &accept.certificates) {
            (true, _) => Ok(accept),
            (false, Some(_)) => accept.only_signed(),
            (false, None) => Err(NotAcceptable::Nothing),
        }
    }

    /// The same, and every body must be signed, whatever else is listed. Under a signature kombu reads all forms; here a
    /// pickle must be listed there, too.
    pub fn only_signed(self) -> Result<Self, NotAcceptable> {
        if self.certificates.is_none() {
            return Err(NotAcceptable::NoCertificates);
        }
        Ok(Self { only_signed: true, ..self })
    }

    /// What is read of remote control by workers that read this of tasks: JSON besides, Celery's default; where bodies must
    /// be signed, signed ones alone.
    #[must_use]
    pub fn of_control(self) -> Self {
        if self.only_signed { self } else { self.and(Serializer::Json) }
    }

    /// Reads a body that is no task: its JSON text of at most so many bytes, not yet checked, and which form it had.
    pub(crate) fn text(
        &self,
        envelope: &Envelope,
        now: Timestamp,
        most: usize,
    ) -> Result<(Bytes, Serializer), Why> {
        body::text(envelope, self, now, most)
    }

    /// Whether bodies of this form are read.
    pub fn accepts(&self, serializer: Serializer) -> bool {
        self.accepted[serializer as usize]
    }

    /// Whether a body must be signed.
    pub fn demands_signatures(&self) -> bool {
        self.only_signed
    }

    pub(super) fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_deref()
    }

    /// Reads an envelope. `now` is what certificates must be valid at.
    ///
    /// A time without an offset is UTC, also where protocol 1 says `"utc": false`: the zone of a client that is set
    /// to local time is not in its messages. Such a client writes offsets too, but for an `eta` that its caller gave
    /// without one.
    pub fn read(&self, envelope: &Envelope, now: Timestamp) -> Result<Message, Refused> {
        body::message(envelope, self, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_content_types_say_what_is_accepted() {
        let accept = Accept::of(["yaml", "application/x-msgpack"], None).unwrap();
        let accepted = Serializer::ALL.map(|serializer| accept.accepts(serializer));
        assert_eq!(accepted, [false, true, true, false, false]);
        let accepted = Serializer::ALL.map(|serializer| Accept::default().accepts(serializer));
        assert_eq!(accepted, [true, false, false, false, false]);
    }

    #[test]
    fn signatures_cannot_be_demanded_without_certificates() {
        assert_eq!(Accept::default().only_signed().unwrap_err(), NotAcceptable::NoCertificates);
        assert!(!Accept::default().demands_signatures());
    }

    #[test]
    fn a_list_that_cannot_be_says_why() {
        let why = |names: &[&str]| Accept::of(names.iter().copied(), None).unwrap_err().to_string();
        assert_eq!(
            why(&["xml"]),
            "no serializer is called \"xml\": json, yaml, msgpack, pickle and auth are known"
        );
        let no_certificates =
            "`auth` needs the certificates of those who may sign: no body could be verified";
        assert_eq!(why(&["auth"]), no_certificates);
        let empty = Accept::of(["auth"], Some(&Arc::default())).unwrap_err();
        assert_eq!(empty, NotAcceptable::NoCertificates);
        assert_eq!(
            why(&[]),
            "the list of accepted content is empty, so that no task could run: `json` is the default"
        );
    }
}
