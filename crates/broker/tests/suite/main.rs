//! The conformance suite against every back end, and what Redis alone has.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what helps a test fails as a test does")]

mod memory;
mod redis;
