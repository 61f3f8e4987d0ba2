//! A Sentinel of its own, which watches one master.

use std::io;

use tempfile::TempDir;

use super::process::Process;
use super::{Server, port};

/// The name under which the master is watched.
const MASTER: &str = "main";

/// A Sentinel that runs.
#[derive(Debug)]
pub struct Sentinel {
    port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Sentinel {
    /// Starts a Sentinel that alone decides when `master` is gone: half a second after its last answer. It speaks
    /// TLS if its master does.
    pub fn start(master: &Server) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("sentinel-").tempdir()?;
        let (port, process) = port::with_free(|port| {
            let mut lines = vec![
                "bind 127.0.0.1".to_owned(),
                format!("unixsocket {}", folder.path().join("redis.sock").display()),
                format!("dir {}", folder.path().display()),
                format!("sentinel monitor {MASTER} 127.0.0.1 {} 1", master.port()),
                format!("sentinel down-after-milliseconds {MASTER} 500"),
                format!("sentinel failover-timeout {MASTER} 2000"),
            ];
            if let Some(password) = master.password() {
                lines.push(format!("sentinel auth-pass {MASTER} {password}"));
            }
            for (name, value) in master.settings.tls.iter().flat_map(super::Tls::settings) {
                lines.push(format!("{name} {}", value.display()));
            }
            // Not every build knows TLS.
            if master.settings.tls.is_some() {
                lines.extend(["port 0".to_owned(), format!("tls-port {port}")]);
                lines.extend(["tls-replication yes".to_owned(), "tls-auth-clients no".to_owned()]);
            } else {
                lines.push(format!("port {port}"));
            }
            let file = folder.path().join("sentinel.conf");
            std::fs::write(&file, lines.join("\n"))?;
            Process::start(folder.path(), port, &[file.into_os_string(), "--sentinel".into()])
        })?;
        Ok(Self { port, _process: process, _folder: folder })
    }

    /// The Sentinel's address, as kombu writes it.
    pub fn url(&self) -> String {
        format!("sentinel://127.0.0.1:{}", self.port)
    }

    /// The name under which the master is watched.
    pub fn master_name(&self) -> &'static str {
        MASTER
    }
}
