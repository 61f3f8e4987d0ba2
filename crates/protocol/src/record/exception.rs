//! The exceptions in result documents: those that a client raises from `AsyncResult.get()`.

use crate::json::{Invalid, Object, array, check, elements, quote, string};
use crate::repr;

/// billiard's errors about the process that ran a task.
const BILLIARD: &str = "billiard.exceptions";
/// Celery's errors.
const CELERY: &str = "celery.exceptions";
/// kombu's errors.
const KOMBU: &str = "kombu.exceptions";

/// An exception, as a client builds it again: `module.kind(*args)`. A class that the client has not imported
/// becomes an exception of that name (Celery's rule), so any name is safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    module: String,
    kind: String,
    /// JSON texts.
    args: Vec<String>,
    pub(super) traceback: Option<String>,
}

impl Exception {
    /// An exception that is raised with one text.
    pub fn new(module: impl Into<String>, kind: impl Into<String>, message: &str) -> Self {
        Self::with(module, kind, vec![quote(message)])
    }

    /// An exception that is raised with these values, each as JSON text.
    pub fn with_args(
        module: impl Into<String>,
        kind: impl Into<String>,
        args: &[&[u8]],
    ) -> Result<Self, Invalid> {
        let args = args.iter().map(|arg| check(arg).map(str::to_owned)).collect::<Result<_, _>>()?;
        Ok(Self::with(module, kind, args))
    }

    /// An exception that is raised with these arguments, as JSON texts.
    pub fn with(module: impl Into<String>, kind: impl Into<String>, args: Vec<String>) -> Self {
        Self { module: module.into(), kind: kind.into(), args, traceback: None }
    }

    /// Reads what stands as `result` in a document of a task that failed; `None` when that is no exception. Arguments
    /// that are one text are what old releases wrote.
    pub fn read(result: &str) -> Option<Self> {
        let result = Object::read(result.as_bytes()).ok()?;
        let kind = string(result.get("exc_type")?)?.into_owned();
        let module = result.get("exc_module").and_then(string).unwrap_or_default().into_owned();
        let args = match result.get("exc_message").filter(|args| *args != "null") {
            None => Vec::new(),
            Some(list) if list.starts_with('[') => {
                elements(list.as_bytes()).ok()?.into_iter().map(str::to_owned).collect()
            }
            Some(one) => vec![one.to_owned()],
        };
        Some(Self::with(module, kind, args))
    }

    /// Adds the text that `AsyncResult.traceback` shows.
    #[must_use]
    pub fn with_traceback(self, traceback: Option<String>) -> Self {
        Self { traceback, ..self }
    }

    /// The text that `AsyncResult.traceback` shows.
    pub fn traceback(&self) -> Option<&str> {
        self.traceback.as_deref()
    }

    /// The class's name: `TimeLimitExceeded`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// As Python prints it: `ValueError('bad', 3)`.
    pub fn repr(&self) -> String {
        repr::exception(&self.kind, &array(self.args.iter().map(|arg| &**arg)))
    }

    /// A chord's body cannot run, since a part of its header failed: which.
    pub fn chord_error(message: &str) -> Self {
        Self::new(CELERY, "ChordError", message)
    }

    /// Whether a chord failed by it.
    pub(crate) fn is_chord_error(&self) -> bool {
        self.module == CELERY && self.kind == "ChordError"
    }

    /// The task ran longer than its hard limit, in seconds, and was killed.
    pub fn time_limit_exceeded(hard: f64) -> Self {
        // `{}` writes a whole number without a point, as Celery does for the usual limits.
        let hard = if hard.is_finite() { format!("{hard}") } else { "Infinity".to_owned() };
        Self::with(BILLIARD, "TimeLimitExceeded", vec![hard])
    }

    /// The task ran longer than its soft limit, and did not handle that.
    pub fn soft_time_limit_exceeded() -> Self {
        Self::with(BILLIARD, "SoftTimeLimitExceeded", Vec::new())
    }

    /// The process that ran the task ended: how.
    pub fn worker_lost(message: &str) -> Self {
        Self::new(BILLIARD, "WorkerLostError", message)
    }

    /// No task has this name here.
    pub fn not_registered(task: &str) -> Self {
        Self::new(CELERY, "NotRegistered", task)
    }

    /// The task wanted another try, and had none left. The arguments are JSON texts.
    pub fn max_retries_exceeded(task: &str, id: &str, args: &str, kwargs: &str) -> Self {
        let (args, kwargs) = (crate::repr::python(args), crate::repr::python(kwargs));
        let message = format!("Can't retry {task}[{id}] args:{args} kwargs:{kwargs}");
        Self::new(CELERY, "MaxRetriesExceededError", &message)
    }

    /// The task asked to be tried again, and did not say why: what is shown while it waits.
    pub fn retry(message: &str) -> Self {
        Self::new(CELERY, "Retry", message)
    }

    /// The task rejected its message.
    pub fn reject(requeue: bool) -> Self {
        Self::with(CELERY, "Reject", vec!["null".to_owned(), requeue.to_string()])
    }

    /// The pool stores no results, and a chord needs them.
    pub fn no_result_store() -> Self {
        let why = "a chord needs a result store: write spec.results into the TaskQueue";
        Self::new("builtins", "NotImplementedError", why)
    }

    /// The task's follow-ups cannot be sent: why.
    pub fn not_sent(why: &str) -> Self {
        Self::new(KOMBU, "OperationalError", why)
    }

    /// Whether its class has this name, with its module or without.
    pub fn is_called(&self, name: &str) -> bool {
        name == self.kind
            || name.strip_suffix(self.kind.as_str()).and_then(|rest| rest.strip_suffix('.'))
                == Some(self.module.as_str())
    }

    /// Somebody revoked the task before it ran.
    pub fn revoked() -> Self {
        Self::new(CELERY, "TaskRevokedError", "revoked")
    }

    /// Somebody revoked the task while it ran, and it was ended.
    pub fn terminated() -> Self {
        Self::new(CELERY, "TaskRevokedError", "terminated")
    }

    /// The task's `expires` had passed before it ran.
    pub fn expired() -> Self {
        Self::new(CELERY, "TaskRevokedError", "expired")
    }

    /// The message has a field that no task can have: which.
    pub fn invalid_task(message: &str) -> Self {
        Self::new(CELERY, "InvalidTaskError", message)
    }

    /// The task's value cannot be stored: why.
    pub fn encode_error(message: &str) -> Self {
        Self::new(KOMBU, "EncodeError", message)
    }

    /// The task's command ended with this exit code: Python's own error for that.
    pub fn called_process_error(code: i32, command: &str) -> Self {
        Self::with("subprocess", "CalledProcessError", vec![code.to_string(), quote(command)])
    }

    /// The message's body cannot be read: why.
    pub fn decode_error(message: &str) -> Self {
        Self::new(KOMBU, "DecodeError", message)
    }

    /// The message's body is of a type that is not accepted: which.
    pub fn content_disallowed(message: &str) -> Self {
        Self::new(KOMBU, "ContentDisallowed", message)
    }

    /// The message's signature is missing, or not trusted: why.
    pub fn security_error(message: &str) -> Self {
        Self::new(CELERY, "SecurityError", message)
    }

    /// What stands as `result` in a document.
    pub fn to_json(&self) -> String {
        format!(
            "{{\"exc_type\": {}, \"exc_message\": [{}], \"exc_module\": {}}}",
            quote(&self.kind),
            self.args.join(", "),
            quote(&self.module)
        )
    }
}
