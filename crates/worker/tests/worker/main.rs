//! A whole worker, between a broker in memory and a runner that the test plays.

mod broker;
mod predecessor;
mod rig;
