//! Events of other nodes, read.

use std::borrow::Cow;

use crate::envelope::Envelope;
use crate::json::{self, Invalid, Object};

/// The largest body that is read, in bytes: far more than 24 events with tracebacks.
const LARGEST: usize = 4 << 20;

/// Another node's event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    fields: Object,
}

/// Why a message holds no events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotEvents {
    /// It is longer than all events are.
    #[error("the events are {0} bytes long; {LARGEST} are read")]
    TooLong(usize),
    /// It is not JSON.
    #[error("the events are not JSON: {0}")]
    NotJson(Invalid),
    /// It is JSON, but neither an object nor an array of such.
    #[error("the events must be an object or an array of objects")]
    Shape,
}

impl Heard {
    /// The events in a message: one alone, or a batch.
    pub fn read(envelope: &Envelope) -> Result<Vec<Self>, NotEvents> {
        let body = &envelope.body;
        if body.len() > LARGEST {
            return Err(NotEvents::TooLong(body.len()));
        }
        let text = json::check(body).map_err(NotEvents::NotJson)?;
        let events = match text.as_bytes().first() {
            Some(b'[') => json::elements(text.as_bytes()).map_err(NotEvents::NotJson)?,
            _ => vec![text],
        };
        let events = events.into_iter().map(|event| Some(Self { fields: Object::of(event)? }));
        events.collect::<Option<_>>().ok_or(NotEvents::Shape)
    }

    /// Its name: `task-received`.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        self.text("type")
    }

    /// Who sent it.
    pub fn hostname(&self) -> Option<Cow<'_, str>> {
        self.text("hostname")
    }

    /// What the sender's clock said.
    pub fn clock(&self) -> Option<u64> {
        self.fields.get("clock")?.parse().ok()
    }

    /// A string among its fields.
    pub fn text(&self, field: &str) -> Option<Cow<'_, str>> {
        json::string(self.fields.get(field)?)
    }

    /// A number among its fields.
    pub fn number(&self, field: &str) -> Option<f64> {
        self.fields.get(field)?.parse().ok()
    }

    /// All of it.
    pub fn fields(&self) -> &Object {
        &self.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<Heard>, NotEvents> {
        Heard::read(&Envelope { body: body.to_owned().into(), ..Envelope::default() })
    }

    #[test]
    fn what_holds_no_events_is_refused() {
        assert_eq!(read("[1]"), Err(NotEvents::Shape));
        assert_eq!(read("null"), Err(NotEvents::Shape));
        assert!(matches!(read("{"), Err(NotEvents::NotJson(_))));
        assert!(matches!(read(&" ".repeat(LARGEST + 1)), Err(NotEvents::TooLong(_))));
        assert_eq!(read("[]"), Ok(Vec::new()));
    }

    #[test]
    fn fields_of_other_types_are_absent() {
        let [event] = &read(r#"{"type": 5, "hostname": null, "clock": -1}"#).unwrap()[..] else { panic!() };
        assert_eq!((event.name(), event.hostname(), event.clock()), (None, None, None));
    }
}
