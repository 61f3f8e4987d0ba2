//! For tests: real servers on free ports, bounded waits.
//!
//! - [`proxy`]: a connection whose answers get lost.
//! - [`redis`]: a Redis server of its own for each test, and Sentinels.
//! - [`tls`]: an authority and the certificates that it signs.
//! - [`wait`]: waiting for a state, with a limit.

pub mod proxy;
pub mod redis;
pub mod tls;
pub mod wait;
