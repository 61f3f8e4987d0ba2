//! What a node answers.

use crate::json::{Writer, quote};
use crate::repr;

use super::{RateLimit, StampedHeaders};

/// An answer, as JSON text. Celery's tools show `{"ok": ...}`, `{"error": ...}` and lists each in their own way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    json: String,
}

impl Answer {
    /// What was asked for.
    pub fn json(json: String) -> Self {
        Self { json }
    }

    /// It was done.
    pub fn ok(text: &str) -> Self {
        Self::json(Writer::new().text("ok", text).end())
    }

    /// It was not done.
    pub fn error(text: &str) -> Self {
        Self::json(Writer::new().text("error", text).end())
    }

    /// It was not done, because of this exception of Python.
    pub fn raised(kind: &str, message: &str) -> Self {
        Self::error(&repr::exception(kind, &format!("[{}]", quote(message))))
    }

    /// Nothing is said, or there is nothing.
    pub fn null() -> Self {
        Self::json("null".to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.json
    }

    /// `ping`.
    pub fn pong() -> Self {
        Self::ok("pong")
    }

    /// There is no such command.
    pub fn unknown_command(method: &str) -> Self {
        Self::raised("KeyError", method)
    }

    /// The command makes no sense here: why, and what to do instead.
    pub fn not_here(why: &str) -> Self {
        Self::raised("NotImplementedError", why)
    }

    /// There is no such task.
    pub fn unknown_task() -> Self {
        Self::error("unknown task")
    }

    /// `clock`.
    pub fn clock(clock: u64) -> Self {
        Self::json(Writer::new().integer("clock", clock).end())
    }

    /// `hello`: the ids that are revoked, the oldest first. Celery 5.6 and older send them in an object, but read a list.
    pub fn hello<'a>(revoked: impl IntoIterator<Item = &'a str>, clock: u64) -> Self {
        let revoked = Self::texts(revoked);
        Self::json(Writer::new().raw("revoked", revoked.as_str()).integer("clock", clock).end())
    }

    /// A list of texts: `revoked`, `registered`.
    pub fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::json(crate::json::array(texts.into_iter().map(quote)))
    }

    /// `revoke`.
    pub fn revoked<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        Self::ok(&format!("tasks {} flagged as revoked", repr::set(ids)))
    }

    /// `revoke` with `terminate`, `terminate`: the tasks that are ended.
    pub fn terminated<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        let ids: Vec<_> = ids.into_iter().collect();
        if ids.is_empty() {
            return Self::ok("terminate: tasks unknown");
        }
        Self::ok(&format!("terminate: {}", ids.join(", ")))
    }

    /// `revoke_by_stamped_headers`.
    pub fn revoked_by_stamps(headers: &StampedHeaders) -> Self {
        Self::ok(&format!("headers {} flagged as revoked, but not terminated", headers.shown()))
    }

    /// `revoke_by_stamped_headers` with `terminate`: the stamps, as JSON texts, by which running tasks were ended.
    pub fn terminated_by_stamps(headers: &StampedHeaders, ended: &[(String, Vec<String>)]) -> Self {
        if ended.is_empty() {
            return Self::ok(&format!("headers {} were not terminated", headers.shown()));
        }
        let ended = ended.iter().map(|(name, stamps)| {
            let stamps: Vec<_> = stamps.iter().map(|stamp| repr::python(stamp)).collect();
            format!("{}: {{{}}}", repr::text(name), stamps.join(", "))
        });
        let ended: Vec<_> = ended.collect();
        Self::ok(&format!("headers defaultdict(<class 'set'>, {{{}}}) revoked", ended.join(", ")))
    }

    /// `rate_limit`.
    pub fn rate_limit(limit: &RateLimit) -> Self {
        Self::ok(if limit.is_empty() {
            "rate limit disabled successfully"
        } else {
            "new rate limit set successfully"
        })
    }

    /// `time_limit`.
    pub fn time_limits() -> Self {
        Self::ok("time limits set successfully")
    }

    /// `add_consumer`.
    pub fn consumer_added(queue: &str) -> Self {
        Self::ok(&format!("add consumer {queue}"))
    }

    /// `cancel_consumer`.
    pub fn consumer_cancelled(queue: &str) -> Self {
        Self::ok(&format!("no longer consuming from {queue}"))
    }

    /// `pool_grow`.
    pub fn pool_grows() -> Self {
        Self::ok("pool will grow")
    }

    /// `pool_shrink`.
    pub fn pool_shrinks() -> Self {
        Self::ok("pool will shrink")
    }

    /// `pool_shrink` by more than what is idle, or there.
    pub fn pool_cannot_shrink() -> Self {
        Self::raised("ValueError", "Can't shrink pool. All processes busy!")
    }

    /// `pool_grow`, `pool_shrink`, where the size follows the load.
    pub fn pool_is_autoscaled(method: &str) -> Self {
        Self::error(&format!("{method} is not supported with autoscale. Adjust autoscale range instead."))
    }

    /// `autoscale`.
    pub fn autoscaled(max: u32, min: u32) -> Self {
        Self::ok(&format!("autoscale now max={max} min={min}"))
    }

    /// `autoscale`, where the size does not follow the load.
    pub fn not_autoscaled() -> Self {
        Self::raised("ValueError", "Autoscale not enabled")
    }

    /// `pool_restart`.
    pub fn pool_restarts() -> Self {
        Self::ok("reload started")
    }

    /// `pool_restart`, where it is not allowed: Celery's default.
    pub fn pool_restarts_off() -> Self {
        Self::raised("ValueError", "Pool restarts not enabled")
    }

    /// `enable_events`, `disable_events`: how it is now, and whether that is a change.
    pub fn task_events(on: bool, changed: bool) -> Self {
        let already = if changed { "" } else { "already " };
        Self::ok(&format!("task events {already}{}", if on { "enabled" } else { "disabled" }))
    }

    /// `objgraph`: there are no objects of Python to draw.
    pub fn no_objgraph() -> Self {
        Self::raised("ImportError", "Requires the objgraph library")
    }
}
