//! Why an envelope is not a task that can run, in words that say what to write instead.

use super::fields::Fields;
use crate::envelope::Envelope;
use crate::json::{self, Invalid};
use crate::record::Exception;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The body cannot be read.
    Undecodable,
    /// The body is of a type that is not accepted.
    ContentDisallowed,
    /// The body is compressed by a method that is not supported.
    UnsupportedCompression,
    /// A field has a value that no task can have.
    InvalidTask,
    /// The message names no task, neither by protocol 2 nor by protocol 1.
    NotATask,
}

impl Reason {
    /// Its name in metrics, events and dead letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "Undecodable",
            Self::ContentDisallowed => "ContentDisallowed",
            Self::UnsupportedCompression => "UnsupportedCompression",
            Self::InvalidTask => "InvalidTask",
            Self::NotATask => "NotATask",
        }
    }
}

/// A message that is no task that can run. Trying it again would not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong, for counting.
    pub reason: Reason,
    /// What is wrong, and what to write instead.
    pub message: String,
    /// The task's id, where the message has one: whoever waits for it can be told.
    pub id: Option<String>,
    /// The task's name, where the message has one.
    pub task: Option<String>,
}

impl Refused {
    /// What a client that waits for the task is told.
    pub fn exception(&self) -> Exception {
        match self.reason {
            Reason::Undecodable | Reason::UnsupportedCompression => Exception::decode_error(&self.message),
            Reason::ContentDisallowed => Exception::content_disallowed(&self.message),
            Reason::InvalidTask | Reason::NotATask => Exception::invalid_task(&self.message),
        }
    }
}

/// What is wrong with a message, before it is known whose it is.
#[derive(Debug)]
pub(super) struct Why {
    reason: Reason,
    message: String,
}

impl Why {
    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn undecodable(message: String) -> Self {
        Self { reason: Reason::Undecodable, message }
    }

    pub(super) fn not_json(invalid: Invalid) -> Self {
        Self::undecodable(format!("the body is not JSON in UTF-8, as its content type says: {invalid}"))
    }

    pub(super) fn invalid(message: String) -> Self {
        Self { reason: Reason::InvalidTask, message }
    }

    pub(super) fn field(field: &'static str, expected: &'static str, found: &str) -> Self {
        Self::invalid(format!("`{field}` must be {expected}, not {found}"))
    }

    pub(super) fn not_a_task() -> Self {
        let message = "the message names no task: protocol 2 has the header `task`, protocol 1 has `task` in a body \
                       that is an object";
        Self { reason: Reason::NotATask, message: message.to_owned() }
    }

    /// In kombu's words, and what to write instead.
    pub(super) fn content_disallowed(content_type: &str) -> Self {
        let known = match content_type {
            "application/x-python-serialize" => "pickle (application/x-python-serialize)",
            "application/x-yaml" => "yaml (application/x-yaml)",
            "application/x-msgpack" => "msgpack (application/x-msgpack)",
            other => other,
        };
        let message = format!(
            "Refusing to deserialize untrusted content of type {known}: send the task as JSON, by \
             `task_serializer = \"json\"` in the client's configuration or `serializer=\"json\"` in the call"
        );
        Self { reason: Reason::ContentDisallowed, message }
    }

    pub(super) fn unsupported_compression(method: &str) -> Self {
        let message = format!(
            "the body is compressed by {method:?}, which is not supported: send the task with \
             `compression=\"gzip\"`, or without"
        );
        Self { reason: Reason::UnsupportedCompression, message }
    }

    /// Adds whose message it is. A client waits by the correlation id too, which is the task's id.
    pub(super) fn of(self, envelope: &Envelope, fields: &Fields<'_>) -> Refused {
        let text = |json: Option<&str>| json.and_then(json::string).map(Into::into);
        Refused {
            reason: self.reason,
            message: self.message,
            id: text(fields.id).or_else(|| envelope.properties.correlation_id.clone()),
            task: text(fields.task),
        }
    }
}
