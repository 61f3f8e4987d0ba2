//! A refusal of what a user wrote: a value, not an error.

/// Why something that a user wrote cannot be done, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One of [`petiole_api::conditions::reasons`].
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// A refusal with one of [`petiole_api::conditions::reasons`].
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
