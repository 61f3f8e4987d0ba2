//! Ports for servers: below the range from which the system takes the ports of outgoing connections, so that a
//! server that is started again finds its port free.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Where ports are looked for. Linux hands out 32768 and above by itself.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// How many ports are tried: another process may take a port between our look and the server's.
const ATTEMPTS: u16 = 50;

/// Starts something on a port that is free, with another port for as long as it fails.
pub(super) fn with_free<T>(mut start: impl FnMut(u16) -> io::Result<T>) -> io::Result<(u16, T)> {
    let mut failure = io::Error::other("no port is free");
    for attempt in 0..ATTEMPTS {
        let spread = RandomState::new().hash_one(attempt) % u64::from(RANGE.end - RANGE.start);
        let port = RANGE.start + u16::try_from(spread).unwrap_or(0);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            continue;
        }
        match start(port) {
            Ok(started) => return Ok((port, started)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
