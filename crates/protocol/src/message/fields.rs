//! A task's fields: from the JSON texts under Celery's names to their types.

use jiff::Timestamp;

use super::body::Body;
use super::refused::Why;
use super::{Message, TimeLimits};
use crate::envelope::{Envelope, REDELIVERED};
use crate::json::{self, Object, Scanner};
use crate::time;

/// Declares [`Fields`], each named as on the wire.
macro_rules! fields {
    ($($name:ident),*) => {
        /// The JSON texts of a task's fields, as headers (protocol 2) or body (protocol 1) have them.
        #[derive(Debug, Default)]
        pub(super) struct Fields<'a> {
            $(pub(super) $name: Option<&'a str>,)*
            /// There are headers beside these.
            strangers: bool,
        }

        impl<'a> Fields<'a> {
            /// Takes a field, and says whether it is one. Of several with one name, the last counts.
            pub(super) fn take(&mut self, name: &str, value: &'a str) -> bool {
                match name {
                    $(stringify!($name) => self.$name = Some(value),)*
                    _ => return false,
                }
                true
            }

            /// These fields, over others. One that is `null` here counts as well.
            fn over(&self, other: &Self) -> Self {
                let strangers = self.strangers || other.strangers;
                Self { $($name: self.$name.or(other.$name),)* strangers }
            }
        }
    };
}

fields! {
    task, id, shadow, retries, eta, expires, timelimit, ignore_result, root_id, parent_id, group, group_index, origin,
    argsrepr, kwargsrepr, replaced_task_nesting, stamped_headers, stamps, compression, taskset
}

/// Headers that are no fields of a task, and not a user's own: what says the language of the sender, what kombu marks
/// a restored message with, and what begins with our own name.
fn is_transport(name: &str) -> bool {
    name == "lang" || name == REDELIVERED || name.starts_with("petiole-")
}

/// A user's own headers, as the JSON text of an object.
fn of_user(headers: &Object) -> Option<String> {
    let mut own = Object::default();
    let mut fields = Fields::default();
    for (name, value) in headers.members() {
        if !is_transport(&name) && !fields.take(&name, value) {
            // Only a value that is not JSON is refused, and these were read as such.
            let _ = own.set(&name, value.as_bytes());
        }
    }
    (!own.members().is_empty()).then(|| own.as_str().to_owned())
}

impl<'a> Fields<'a> {
    /// The fields among an envelope's headers.
    pub(super) fn of_headers(headers: &'a Object) -> Self {
        let mut fields = Self::default();
        // The text is known to be valid; an error cannot happen, and would only leave fields out.
        let _ = Scanner::new(headers.as_str().as_bytes()).and_then(|mut scanner| {
            scanner.object(|scanner, name| {
                let name = name.text();
                let known = fields.take(&name, scanner.value()?);
                fields.strangers |= !known && !is_transport(&name);
                Ok(())
            })
        });
        fields
    }

    /// These fields of a body of protocol 1, with what counts of the headers.
    ///
    /// What has `args` is a hybrid, to which any header of a field's name counts more than the body, a user's own
    /// included. Only a body without is read by itself, and there `taskset`, the older name of `group`, wins over it.
    /// Both are Celery's rules; that a hybrid may have a `taskset` alone is ours.
    pub(super) fn with_headers(self, headers: &Self, has_args: bool) -> Self {
        if has_args {
            let group = present(self.group).or(self.taskset);
            return headers.over(&Self { group, ..self });
        }
        Self { group: self.taskset.or(self.group), ..self }
    }

    /// Reads them all.
    pub(super) fn message(&self, envelope: &Envelope, body: Body) -> Result<Message, Why> {
        let properties = &envelope.properties;
        Ok(Message {
            id: text("id", self.id)?.ok_or_else(|| Why::field("id", "a string", "null"))?,
            task: text("task", self.task)?.ok_or_else(|| Why::field("task", "a string", "null"))?,
            shadow: text("shadow", self.shadow)?,
            retries: number("retries", self.retries)?.unwrap_or_default(),
            eta: timestamp("eta", self.eta)?,
            expires: timestamp("expires", self.expires)?,
            limits: limits(self.timelimit)?,
            ignore_result: parsed("ignore_result", "a boolean or null", self.ignore_result)?,
            root_id: text("root_id", self.root_id)?,
            parent_id: text("parent_id", self.parent_id)?,
            group: text("group", self.group)?,
            group_index: number("group_index", self.group_index)?,
            reply_to: properties.reply_to.clone(),
            priority: properties.priority,
            redelivered: envelope.redelivered(),
            origin: shown(self.origin),
            argsrepr: shown(self.argsrepr),
            kwargsrepr: shown(self.kwargsrepr),
            replaced_task_nesting: number("replaced_task_nesting", self.replaced_task_nesting)?
                .unwrap_or_default(),
            stamped_headers: present(self.stamped_headers).map(str::to_owned),
            stamps: present(self.stamps).and_then(Object::of).unwrap_or_default(),
            delivery_tag: properties.delivery_tag.clone(),
            user_headers: self.strangers.then(|| of_user(&envelope.headers)).flatten(),
            body,
        })
    }
}

/// A field that is neither missing nor `null`.
fn present(json: Option<&str>) -> Option<&str> {
    json.filter(|json| *json != "null")
}

/// A text that nothing but people's eyes depend on.
fn shown(json: Option<&str>) -> Option<String> {
    present(json).and_then(json::string).map(Into::into)
}

fn text(field: &'static str, json: Option<&str>) -> Result<Option<String>, Why> {
    let Some(json) = present(json) else {
        return Ok(None);
    };
    match json::string(json) {
        Some(text) => Ok(Some(text.into_owned())),
        None => Err(Why::field(field, "a string or null", json)),
    }
}

fn number<T: std::str::FromStr>(field: &'static str, json: Option<&str>) -> Result<Option<T>, Why> {
    parsed(field, "a whole number that is not negative, or null", json)
}

fn parsed<T: std::str::FromStr>(
    field: &'static str,
    expected: &'static str,
    json: Option<&str>,
) -> Result<Option<T>, Why> {
    let Some(json) = present(json) else {
        return Ok(None);
    };
    json.parse().map(Some).map_err(|_| Why::field(field, expected, json))
}

fn timestamp(field: &'static str, json: Option<&str>) -> Result<Option<Timestamp>, Why> {
    let expected = "an ISO-8601 time such as \"2030-01-31T12:00:00+00:00\", or null";
    // A producer of protocol 1 may have left the time to its serializer.
    let typed = json.and_then(Object::of).filter(|typed| typed.get("__type__") == Some("\"datetime\""));
    match text(field, typed.as_ref().and_then(|typed| typed.get("__value__")).or(json)) {
        Ok(None) => Ok(None),
        Ok(Some(text)) if text.is_empty() => Ok(None),
        Ok(Some(text)) => time::parse(&text).map(Some).map_err(|_| Why::field(field, expected, &text)),
        Err(_) => Err(Why::field(field, expected, json.unwrap_or_default())),
    }
}

/// `[hard, soft]`, in this order on the wire. A limit of 0 is none, as in Celery.
fn limits(json: Option<&str>) -> Result<TimeLimits, Why> {
    let Some(json) = present(json) else {
        return Ok(TimeLimits::default());
    };
    let wrong = || Why::field("timelimit", "[hard, soft], each in seconds or null", json);
    let seconds = |json: &str| match present(Some(json)).map(str::parse::<f64>) {
        None => Ok(None),
        Some(Ok(seconds)) if seconds.is_finite() && seconds >= 0.0 => Ok(Some(seconds).filter(|s| *s > 0.0)),
        Some(_) => Err(wrong()),
    };
    match json::elements(json.as_bytes()).map_err(|_| wrong())?[..] {
        [] => Ok(TimeLimits::default()),
        [hard, soft] => Ok(TimeLimits { hard: seconds(hard)?, soft: seconds(soft)? }),
        _ => Err(wrong()),
    }
}
