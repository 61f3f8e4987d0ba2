//! Messages that do not run, and why.

use std::borrow::Cow;

use petiole_broker::lost::{LostDelivery, history};
use petiole_protocol::json::Object;
use petiole_protocol::message::Message;
use petiole_protocol::record::Exception;

/// A message that does not run. Trying it again would not help.
#[derive(Debug)]
pub struct Discarded {
    /// The reason, for counting.
    pub reason: &'static str,
    /// The reason in words.
    pub why: String,
    /// The task's id, where it could be read.
    pub id: Option<String>,
    /// Its name, where it could be read.
    pub task: Option<String>,
    /// Index of its queue.
    pub queue: usize,
    /// The message, where it could be read: what waits for its task is told.
    pub message: Option<Box<Message>>,
    /// What a client that waits for it is told.
    pub told: Told,
    /// The message is kept in the dead-letter queue.
    pub dead_letter: bool,
}

/// What a client that waits for a task is told.
#[derive(Debug)]
pub enum Told {
    /// The task failed.
    Failure(Exception),
    /// It was revoked.
    Revoked(Exception),
}

/// Reasons of [`Discarded`] that are not those of [`petiole_protocol::message::Reason`].
pub mod reason {
    /// The bytes on the broker are no message.
    pub const MALFORMED: &str = "Malformed";
    /// The pool has no task of this name.
    pub const NOT_REGISTERED: &str = "NotRegistered";
    /// Its `expires` has passed.
    pub const EXPIRED: &str = "Expired";
    /// It was revoked.
    pub const REVOKED: &str = "Revoked";
    /// Too many workers have ended while it ran.
    pub const TOO_MANY_DELIVERIES: &str = "TooManyDeliveries";
}

/// A message whose task was revoked before it ran.
pub(crate) fn revoked(message: Message, queue: usize) -> Discarded {
    let told = Told::Revoked(Exception::revoked());
    discarded(message, queue, reason::REVOKED, "it was revoked", told, false)
}

/// Why a message is not run that its workers did not outlive.
pub(super) fn too_many_deliveries(lost: u32, headers: &Object) -> String {
    let workers = if lost == 1 { "1 worker has".to_owned() } else { format!("{lost} workers have") };
    let newest = history(headers).pop().map(|it| {
        let LostDelivery { at, worker, host, how } = it;
        format!("; the last one, {worker} ({host}), at {at:.0}: {how}")
    });
    format!("{workers} ended while it ran{}", newest.unwrap_or_default())
}

/// A message that was read and does not run.
pub(super) fn discarded(
    message: Message,
    queue: usize,
    reason: &'static str,
    why: impl Into<Cow<'static, str>>,
    told: Told,
    dead_letter: bool,
) -> Discarded {
    let why = why.into().into_owned();
    Discarded {
        reason,
        why,
        id: Some(message.id.clone()),
        task: Some(message.task.clone()),
        queue,
        message: Some(Box::new(message)),
        told,
        dead_letter,
    }
}
