//! The real runner binary, with a worker that the tests play over a real unix socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "Clippy takes only the functions that are tests themselves for tests"
)]

mod examples;
mod processes;
mod rig;
mod stopping;
