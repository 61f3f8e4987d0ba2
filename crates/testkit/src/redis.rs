//! A Redis server of its own for each test: on a free port, in a temporary folder, ended with the value.

mod port;
mod process;
mod sentinel;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use tempfile::TempDir;

pub use self::sentinel::Sentinel;
use crate::tls::{Authority, Identity};
use process::Process;

/// How a server is to be.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    append_only: bool,
    arguments: Vec<OsString>,
    password: Option<String>,
    tls: Option<Tls>,
}

/// The files by which a server speaks TLS.
#[derive(Debug, Clone)]
struct Tls {
    identity: Identity,
    authority: PathBuf,
}

impl Settings {
    /// Writes each command to disk before it is answered, so that a killed server comes back with its data.
    #[must_use]
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self.with(["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Asks every client for this password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.with(["--requirepass", password, "--masterauth", password])
    }

    /// Knows a user by these rules of Redis' ACL (`on >secret ~* &* +@all`).
    #[must_use]
    pub fn user(self, name: &str, rules: &str) -> Self {
        self.with(["--user", name]).with(rules.split_whitespace())
    }

    /// Speaks TLS only, by a certificate of `authority`. With `ask`, clients must have one too.
    pub fn tls(mut self, authority: &Authority, ask: bool) -> io::Result<Self> {
        self.tls = Some(Tls { identity: authority.sign("server")?, authority: authority.file() });
        Ok(self.with(["--tls-auth-clients", if ask { "yes" } else { "no" }]))
    }

    /// Copies the data of another server. A Sentinel can make it the master.
    #[must_use]
    pub fn replica_of(self, master: &Server) -> Self {
        self.with(["--replicaof", "127.0.0.1", &master.port.to_string(), "--repl-diskless-sync-delay", "0"])
    }

    /// Adds arguments of redis-server.
    #[must_use]
    pub fn with<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Starts such a server, and returns when it answers.
    pub fn start(self) -> io::Result<Server> {
        let folder = tempfile::Builder::new().prefix("redis-").tempdir()?;
        let (port, process) = port::with_free(|port| self.launch(&folder, port))?;
        Ok(Server { settings: self, port, process: Some(process), folder })
    }

    fn launch(&self, folder: &TempDir, port: u16) -> io::Result<Process> {
        let mut arguments: Vec<OsString> = vec![
            "--bind".into(),
            "127.0.0.1".into(),
            "--unixsocket".into(),
            folder.path().join("redis.sock").into(),
            "--dir".into(),
            folder.path().into(),
            "--save".into(),
            "".into(),
        ];
        // Not every build knows TLS.
        match self.tls {
            Some(_) => {
                arguments.extend(["--port".into(), "0".into(), "--tls-port".into(), port.to_string().into()]);
            }
            None => arguments.extend(["--port".into(), port.to_string().into()]),
        }
        for (name, value) in self.tls.iter().flat_map(Tls::settings) {
            arguments.extend([format!("--{name}").into(), value]);
        }
        arguments.extend(self.arguments.iter().cloned());
        Process::start(folder.path(), port, &arguments)
    }
}

impl Tls {
    /// The settings that name the files, for servers and Sentinels alike.
    fn settings(&self) -> [(&'static str, OsString); 3] {
        [
            ("tls-cert-file", self.identity.certificate.clone().into_os_string()),
            ("tls-key-file", self.identity.key.clone().into_os_string()),
            ("tls-ca-cert-file", self.authority.clone().into_os_string()),
        ]
    }
}

/// A server that runs, or is stopped for the moment.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    port: u16,
    process: Option<Process>,
    /// Dropped last, when nothing writes there any more.
    folder: TempDir,
}

impl Server {
    /// Starts a plain server: no password, no TLS, nothing kept on disk.
    pub fn start() -> io::Result<Self> {
        Settings::default().start()
    }

    /// Its port, the same over its whole life.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address: by `localhost`, which its certificate names, when it speaks TLS.
    pub fn url(&self) -> String {
        if self.settings.tls.is_some() {
            format!("rediss://localhost:{}", self.port)
        } else {
            format!("redis://127.0.0.1:{}", self.port)
        }
    }

    /// Its Unix socket, which needs no TLS.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Its password.
    pub fn password(&self) -> Option<&str> {
        self.settings.password.as_deref()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) -> io::Result<()> {
        self.end(Signal::SIGKILL)
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) -> io::Result<()> {
        self.end(Signal::SIGTERM)
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`]: same port, and the same data if it is on disk.
    pub fn start_again(&mut self) -> io::Result<()> {
        if self.process.is_none() {
            self.process = Some(self.settings.launch(&self.folder, self.port)?);
        }
        Ok(())
    }

    /// Stops it in its tracks: its connections stay, it answers nothing.
    pub fn pause(&self) -> io::Result<()> {
        self.running()?.signal(Signal::SIGSTOP)
    }

    /// Lets it go on after [`Self::pause`].
    pub fn resume(&self) -> io::Result<()> {
        self.running()?.signal(Signal::SIGCONT)
    }

    fn running(&self) -> io::Result<&Process> {
        self.process.as_ref().ok_or_else(|| io::Error::other("the server does not run"))
    }

    fn end(&mut self, signal: Signal) -> io::Result<()> {
        match self.process.take() {
            Some(process) => process.end(signal),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
