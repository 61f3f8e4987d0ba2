//! The task contract: what the worker, the runner and a task's own code say to each other.
//!
//! ```text
//!                    unix socket, frames                      pipes
//!   worker  <────────── control ──────────>  runner  <──────── exec ────────>  a task's process
//!   worker  <─────────── serve ───────────>  a handler's process (the runner started it)
//! ```
//!
//! - [`frame`]: bytes on the socket ↔ header and payload. The header is ours, the payload is the user's.
//! - [`control`]: the worker tells the runner which processes to start and end.
//! - [`serve`]: the worker hands tasks to long-lived handlers (mode `Serve`).
//! - [`exec`]: a process per task (mode `Exec`): its request, its exit codes, its result.
//! - [`failure`]: how a task's own code says what went wrong.
//! - [`instead`]: what it may ask for instead of an end: another try, a rejection, nothing.
//! - [`pool`]: what the operator tells the workers of a pool (the file that they read at start).
//! - [`template`]: a command whose arguments come from the message.
//!
//! `docs/task-contract.md` is the page for people who write tasks. Everything here is pure: no socket, no clock.

pub mod control;
pub mod exec;
pub mod failure;
pub mod frame;
pub mod instead;
pub mod pool;
pub mod serve;
pub mod template;
#[cfg(test)]
mod wire;

/// The version of [`control`] and [`serve`] that this code speaks. A peer of another version is refused by name;
/// fields that a peer does not know are ignored, so a new field needs no new version.
pub const VERSION: u32 = 1;
