//! Celery on the wire.
//!
//! ```text
//!   bytes on the broker ──redis──> envelope ──message──> what a worker decides on
//!   outcome of a task   ──record──> Celery's result document ──> bytes in the store
//! ```
//!
//! - [`json`]: JSON as Python writes and reads it; values are cut out as text, not interpreted.
//! - [`envelope`]: a message apart from its transport: headers, properties, body.
//! - [`redis`]: an envelope as kombu writes it on Redis, and edits of that text.
//! - [`compression`], [`signed`], [`serial`]: what a body may be wrapped in, on its way to JSON.
//! - [`message`]: an envelope read as a task, of protocol 2 or 1.
//! - [`canvas`]: what follows a task that has ended: callbacks, chains, groups, chords.
//! - [`record`]: result documents, and the exceptions in them.
//! - [`control`]: remote control.
//! - [`revoked`]: the tasks that were revoked.
//! - [`event`]: what workers and clients tell whoever listens.
//! - [`repr`]: values as Python prints them, for people.
//! - [`keys`]: the names of Celery's keys.
//! - [`time`]: Celery's timestamps.
//!
//! Everything here is pure: no socket, no clock. What Celery adds that this code does not know is kept and passed
//! on. `tests/golden` holds messages and documents of real Celery releases that all of this is held against.

pub mod canvas;
pub mod compression;
pub mod control;
pub mod envelope;
pub mod event;
pub mod json;
pub mod keys;
pub mod message;
pub mod record;
pub mod redis;
pub mod repr;
pub mod revoked;
pub mod serial;
pub mod signed;
pub mod time;
