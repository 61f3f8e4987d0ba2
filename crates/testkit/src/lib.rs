//! For tests: real servers on free ports, bounded waits.
//!
//! - [`mod@fuzz`]: a decoder under bytes that nobody meant.
//! - [`proxy`]: a connection whose answers get lost.
//! - [`redis`]: a Redis server of its own for each test, and Sentinels.
//! - [`signer`]: one who signs messages.
//! - [`tls`]: an authority and the certificates that it signs.
//! - [`wait`]: waiting for a state, with a limit.

pub mod fuzz;
pub mod proxy;
pub mod redis;
pub mod signer;
pub mod tls;
pub mod wait;
