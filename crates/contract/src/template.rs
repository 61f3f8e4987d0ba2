//! A command whose arguments come from the message: `$(args[0])`, `$(kwargs.size)`.
//!
//! The style is Kubernetes' own for a container's `command`: `$(…)` is replaced, `$$` is one `$`, so that `$$(` is
//! a literal `$(`, and any other `$` stands for itself. A Helm template needs no escapes for it. One template is
//! one argument: it is never split, and no shell sees it.

mod lookup;
mod parse;
#[cfg(test)]
mod tests;

use serde_json::value::RawValue;

use crate::exec::MAX_ARGUMENT;

/// One argument of a command, ready to be filled from messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Place(Place),
}

/// A `$(…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// As it was written, for messages.
    source: String,
    root: Root,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Args,
    Kwargs,
    TaskId,
    TaskName,
    TaskRetries,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// `[0]`
    Item(usize),
    /// `.name`, `["name"]`
    Member(String),
}

/// What a template is filled from.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The positional arguments: the JSON text of a list, as the client wrote it.
    pub args: &'a [u8],
    /// The keyword arguments: the JSON text of an object, as the client wrote it.
    pub kwargs: &'a [u8],
    /// Celery's task id.
    pub id: &'a str,
    /// Celery's task name.
    pub task: &'a str,
    /// How many times the task has been retried before.
    pub retries: u32,
}

/// Why a text is not a template. A refusal of what the user wrote, for a condition or a message of `petiole dev`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {advice}")]
pub struct ParseError {
    /// Where it goes wrong: characters from the text's start, the first is 1.
    pub column: usize,
    /// What to write instead.
    pub advice: String,
}

/// Why a template cannot be filled from this message. The text suits the `TypeError` that a Python worker raises
/// when a task is called with the wrong arguments.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The message has no such argument.
    #[error("missing argument for {place}: {found}")]
    Missing {
        /// The `$(…)` as it was written.
        place: String,
        /// What the message has there.
        found: String,
    },
    /// The arguments are not JSON.
    #[error("{place} stands for nothing, because the message's arguments are not JSON: {why}")]
    Json {
        /// The `$(…)` as it was written.
        place: String,
        /// What is wrong with them. Python's `NaN` and `Infinity` are not JSON.
        why: String,
    },
    /// The string holds half of a surrogate pair.
    #[error(
        "{place} is not text that a command can take: it holds half of a UTF-16 surrogate pair; use stdin"
    )]
    NotText {
        /// The `$(…)` as it was written.
        place: String,
    },
    /// An argument of a command ends at its first NUL byte.
    #[error("{place} holds a NUL character, which a command's argument cannot: use stdin")]
    Nul {
        /// The `$(…)` as it was written.
        place: String,
    },
    /// Linux takes no longer argument.
    #[error(
        "an argument of {length} bytes is longer than the {MAX_ARGUMENT} that a command can take: use stdin"
    )]
    TooLong {
        /// The argument's length in bytes.
        length: usize,
    },
}

impl Template {
    /// Reads one argument of a `command`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::template(text).map(|parts| Self { parts })
    }

    /// The text, when no message changes it. A command's program ought to be such a one.
    pub fn literal(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => Some(text.as_str()),
                Part::Place(_) => None,
            })
            .collect()
    }

    /// Fills the template. A string stands as it is, a number and a boolean as their JSON text, a list and an
    /// object as compact JSON, and `null` as the empty string.
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, RenderError> {
        let mut argument = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => argument.push_str(text),
                Part::Place(place) => place.render(scope, &mut argument)?,
            }
        }
        if argument.len() > MAX_ARGUMENT {
            return Err(RenderError::TooLong { length: argument.len() });
        }
        Ok(argument)
    }
}

impl Place {
    fn render(&self, scope: &Scope<'_>, argument: &mut String) -> Result<(), RenderError> {
        let start = argument.len();
        match self.root {
            Root::Args => self.argument(scope.args, "args", argument)?,
            Root::Kwargs => self.argument(scope.kwargs, "kwargs", argument)?,
            Root::TaskId => argument.push_str(scope.id),
            Root::TaskName => argument.push_str(scope.task),
            Root::TaskRetries => argument.push_str(&scope.retries.to_string()),
        }
        if argument[start..].contains('\0') {
            return Err(RenderError::Nul { place: self.source.clone() });
        }
        Ok(())
    }

    fn argument(&self, json: &[u8], root: &str, argument: &mut String) -> Result<(), RenderError> {
        let place = || self.source.clone();
        let value = lookup::find(json, root, &self.steps).map_err(|problem| match problem {
            lookup::Problem::Missing(found) => RenderError::Missing { place: place(), found },
            lookup::Problem::Json(error) => RenderError::Json { place: place(), why: error.to_string() },
        })?;
        append(value, argument).map_err(|_| RenderError::NotText { place: place() })
    }
}

/// Appends a value as an argument spells it. Only a string can fail.
fn append(value: &RawValue, argument: &mut String) -> Result<(), serde_json::Error> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => argument.push_str(&serde_json::from_str::<String>(text)?),
        Some(b'n') => {}
        // Not through a parsed number: Python's integers have no largest one.
        _ => lookup::compact(text, argument),
    }
    Ok(())
}
