//! Why an envelope is not a task that can run, in words that say what to write instead.

use super::Accept;
use super::fields::Fields;
use crate::envelope::Envelope;
use crate::json::{self, Invalid};
use crate::record::Exception;
use crate::serial::Serializer;
use crate::signed::Untrusted;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The body cannot be read.
    Undecodable,
    /// The body is of a type that is not accepted.
    ContentDisallowed,
    /// The body is signed, and the signature is not trusted; or it is not, and must be.
    Untrusted,
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
            Self::Untrusted => "Untrusted",
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
            Reason::Untrusted => Exception::security_error(&self.message),
            Reason::InvalidTask | Reason::NotATask => Exception::invalid_task(&self.message),
        }
    }
}

/// What is wrong with a message, before it is known whose it is.
#[derive(Debug)]
pub(crate) struct Why {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Why {
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
    pub(super) fn content_disallowed(
        content_type: &str,
        serializer: Option<Serializer>,
        accept: &Accept,
    ) -> Self {
        let known = serializer.map(Serializer::name).map(|name| format!("{name} ({content_type})"));
        let known = known.as_deref().unwrap_or(content_type);
        let instead = if accept.accepts(Serializer::Json) {
            "send the task as JSON, by `task_serializer = \"json\"` in the client's configuration or \
             `serializer=\"json\"` in the call"
        } else {
            "send the task by a serializer that this pool accepts"
        };
        let otherwise = match serializer {
            Some(Serializer::Pickle) => {
                "; a pickle runs code when it is read, so that only a Serve handler may take it, whose pool accepts \
                 `pickle`"
                    .to_owned()
            }
            Some(serializer) => format!("; or let the pool accept `{}`", serializer.name()),
            None => String::new(),
        };
        let message =
            format!("Refusing to deserialize untrusted content of type {known}: {instead}{otherwise}");
        Self { reason: Reason::ContentDisallowed, message }
    }

    pub(super) fn plain_text(content_type: Option<&str>) -> Self {
        let content_type = content_type.unwrap_or("not named, which means application/data");
        Self::invalid(format!(
            "the body is plain text (its content type is {content_type}), which no task is: send it as JSON, with the \
             content type application/json"
        ))
    }

    /// A body that is no task, which nobody here unpickles.
    pub(super) fn pickled() -> Self {
        let message = "a pickle runs code when it is read, and is not read here: let the client use another serializer \
                       (`task_serializer`)";
        Self { reason: Reason::ContentDisallowed, message: message.to_owned() }
    }

    /// A body that is no task, and no text of JSON's values.
    pub(super) fn unstructured() -> Self {
        Self::undecodable("the body is plain text, without a serializer".to_owned())
    }

    pub(super) fn pickled_protocol_1() -> Self {
        Self::invalid(
            "a pickled message of protocol 1 has its task's name in the pickle, which is not read: send it by \
             protocol 2, Celery's default since 4.0 (`task_protocol = 2`)"
                .to_owned(),
        )
    }

    pub(super) fn unsigned(content_type: &str) -> Self {
        let message = format!(
            "the body is not signed (its content type is {content_type}), and this pool takes only signed tasks: \
             send the task with `serializer=\"auth\"`, after `app.setup_security()`"
        );
        Self { reason: Reason::Untrusted, message }
    }

    pub(super) fn untrusted(untrusted: &Untrusted) -> Self {
        Self { reason: Reason::Untrusted, message: untrusted.to_string() }
    }

    pub(super) fn no_certificates() -> Self {
        let message = "the body is signed, and this pool has no certificates to verify it by: let the pool accept \
                       `auth` and give it the signers' certificates, or send the task with `serializer=\"json\"`";
        Self { reason: Reason::Untrusted, message: message.to_owned() }
    }

    pub(super) fn unsupported_compression(method: &str) -> Self {
        let message = format!(
            "the body is compressed by {method:?}, which is not supported: send the task with `compression=\"gzip\"`, \
             \"bzip2\", \"lzma\", \"zstd\" or \"brotli\", or without"
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
