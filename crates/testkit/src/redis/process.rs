//! A redis-server process: started, asked until it answers, ended by its id.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a server may take until it answers: a log to replay, on a busy machine.
const START: Duration = Duration::from_secs(30);

/// Between two questions while it starts.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts redis-server in `folder`, and returns when it answers on the socket `redis.sock` there.
    pub(super) fn start(folder: &Path, port: u16, arguments: &[OsString]) -> io::Result<Self> {
        let log = folder.join(format!("{port}.log"));
        let socket = folder.join("redis.sock");
        // A killed server leaves its socket behind.
        let _ = std::fs::remove_file(&socket);
        let child = Command::new("redis-server")
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(Stdio::null())
            .spawn()?;
        let mut process = Self(child);
        let deadline = Instant::now() + START;
        while !answers(&socket) {
            let ended = process.0.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(io::Error::other(format!("redis-server does not answer ({ended:?}): {log}")));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(process)
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        kill(self.pid()?, signal).map_err(io::Error::from)
    }

    pub(super) fn end(mut self, signal: Signal) -> io::Result<()> {
        self.signal(signal)?;
        self.0.wait().map(drop)
    }

    fn pid(&self) -> io::Result<Pid> {
        i32::try_from(self.0.id()).map(Pid::from_raw).map_err(io::Error::other)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the server answers, be it that it wants a password first. One that still loads its data does not count.
fn answers(socket: &Path) -> bool {
    let ask = || -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = vec![0; 64];
        let length = stream.read(&mut answer)?;
        answer.truncate(length);
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with(b"+PONG") || answer.starts_with(b"-NOAUTH"))
}
