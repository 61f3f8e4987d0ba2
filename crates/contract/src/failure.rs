//! How a task's own code says what went wrong: the same object in a `Serve` result and in an `Exec` result file.

use serde::{Deserialize, Serialize};

/// An exception, in the words that a Celery client shows: `module.type(*message)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The exception's class: `ValueError`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text that the exception is raised with.
    #[serde(default)]
    pub message: String,
    /// What the exception is raised with, where that is not one text: `OSError(2, "No such file")`. It wins over
    /// `message`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<serde_json::Value>>,
    /// Where the client looks the class up; `builtins` when it is not said. A class that the client does not
    /// know becomes an exception of that name (Celery's rule), so any name is safe.
    #[serde(default = "builtins")]
    pub module: String,
    /// Free text, shown by `AsyncResult.traceback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceback: Option<String>,
}

/// The module of Python's own exceptions.
pub fn builtins() -> String {
    "builtins".to_owned()
}
