//! A whole worker, between a broker in memory and a runner that the test plays.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what helps a test fails as a test does")]

mod broker;
mod control;
mod intake;
mod poison;
mod predecessor;
mod rig;
mod stopping;
mod wish;
