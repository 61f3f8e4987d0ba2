//! kombu's serializers: bodies that are not JSON, as the JSON text that says the same; and back, for answers.
//!
//! What JSON lacks becomes what kombu itself makes of it, an object of two members: `{"__type__": "bytes", ...}` for
//! bytes, `datetime` and `date` for times. A member's name that is no text becomes one as Python's `json` writes it
//! (`1`, `true`, `null`). The text's spaces and numbers are Python's, too.

mod msgpack;
mod of_json;
mod scalar;
mod write;
mod yaml;

use crate::json::MAX_DEPTH;

pub use of_json::{Unwritable, json_to_msgpack, json_to_yaml};

/// A form that a body can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Serializer {
    /// JSON in UTF-8, Celery's default.
    Json,
    /// The safe part of YAML, as `PyYAML` writes it.
    Yaml,
    /// `MessagePack`, with text and bytes apart.
    Msgpack,
    /// Python's own, which runs code when it is read.
    Pickle,
    /// A body of one of the others, signed: Celery's message signing.
    Auth,
}

impl Serializer {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Json, Self::Yaml, Self::Msgpack, Self::Pickle, Self::Auth];

    /// kombu's name, as it stands in `accept_content` and `task_serializer`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Msgpack => "msgpack",
            Self::Pickle => "pickle",
            Self::Auth => "auth",
        }
    }

    /// The content type of its bodies.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/x-yaml",
            Self::Msgpack => "application/x-msgpack",
            Self::Pickle => "application/x-python-serialize",
            Self::Auth => "application/data",
        }
    }

    /// How its bodies are encoded, in kombu's words.
    pub fn content_encoding(self) -> &'static str {
        match self {
            Self::Json | Self::Yaml | Self::Auth => "utf-8",
            Self::Msgpack | Self::Pickle => "binary",
        }
    }

    /// The one whose bodies have this content type.
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|serializer| serializer.content_type() == content_type)
    }

    /// The one that has this name, or this content type, as `accept_content` takes both.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|serializer| [serializer.name(), serializer.content_type()].contains(&name))
    }
}

/// Why a body cannot be turned into JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no text of its form.
    #[error("byte {offset}: {what}")]
    At {
        /// Bytes before what is wrong.
        offset: usize,
        /// What is wrong.
        what: String,
    },
    /// It grows over the limit.
    #[error("it is over {0} bytes as JSON")]
    TooLong(usize),
    /// It nests too deeply.
    #[error("its values nest over {MAX_DEPTH} levels")]
    TooDeep,
}

impl Unreadable {
    fn at(offset: usize, what: impl Into<String>) -> Self {
        Self::At { offset, what: what.into() }
    }
}

/// A YAML document as JSON text of at most `limit` bytes.
pub fn yaml_to_json(body: &[u8], limit: usize) -> Result<String, Unreadable> {
    yaml::to_json(body, limit)
}

/// A `MessagePack` value as JSON text of at most `limit` bytes.
pub fn msgpack_to_json(body: &[u8], limit: usize) -> Result<String, Unreadable> {
    msgpack::to_json(body, limit)
}
