//! An ephemeral Redis, for files that name no broker.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Child;

use super::tied::tied;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a port may turn out to be taken between our choice and the server's start.
const TRIES: usize = 5;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// There is no such program.
    #[error(
        "failed to start redis-server: install it (apt-get install redis-server), or name a broker by --broker"
    )]
    Start(#[source] std::io::Error),
    /// No port is free.
    #[error("failed to find a free port for redis-server")]
    Port(#[source] std::io::Error),
    /// It does not listen.
    #[error("redis-server did not listen within 10 s")]
    Silent,
}

/// A server that ends with this value.
#[derive(Debug)]
pub struct Redis {
    url: String,
    _server: Child,
}

impl Redis {
    /// Starts one, with its files in `folder`. It keeps nothing.
    pub async fn start(folder: &Path) -> Result<Self, RedisError> {
        for _ in 0..TRIES {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .and_then(|listener| listener.local_addr())
                .map_err(RedisError::Port)?
                .port();
            let mut server = tied("redis-server")
                .args([
                    "--port",
                    &port.to_string(),
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                ])
                .arg("--dir")
                .arg(folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                // A terminal's Ctrl-C is for us; the server must outlive the drain.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .map_err(RedisError::Start)?;
            let deadline = Instant::now() + PATIENCE;
            while Instant::now() < deadline {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                    return Ok(Self { url: format!("redis://127.0.0.1:{port}/0"), _server: server });
                }
                if !matches!(server.try_wait(), Ok(None)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Err(RedisError::Silent)
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }
}
