//! The worker's side: a socket, a runner on it, frames in both directions. Every wait is bounded.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use petiole_contract::control::{Exited, FromRunner, Output, RUNNER, Start, ToRunner};
use petiole_contract::{VERSION, frame};

/// Far more than anything here takes; only a test that fails waits for it.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

pub(crate) const LIMIT: usize = 8 << 20;

pub(crate) const RUNNER_BINARY: &str = env!("CARGO_BIN_EXE_petiole-runner");

/// A worker, and the runner that has dialled it.
pub(crate) struct Rig {
    pub(crate) runner: Child,
    pub(crate) folder: tempfile::TempDir,
    listener: UnixListener,
    stream: Option<UnixStream>,
    /// The same connection for two writers: the test, and who says that the worker lives.
    writer: Option<Arc<Mutex<UnixStream>>>,
    alive: Option<Sender<()>>,
    buffer: Vec<u8>,
    log: Option<Receiver<String>>,
}

impl Rig {
    /// With the runner connected, and its log read.
    pub(crate) fn new() -> Self {
        let mut rig = Self::unread();
        rig.read_log();
        rig
    }

    /// With the runner connected, and nobody who reads its log.
    pub(crate) fn unread() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let runner = Command::new(RUNNER_BINARY)
            .arg(folder.path().join("socket"))
            .env("FROM_THE_IMAGE", "yes")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut rig = Self {
            runner,
            folder,
            listener,
            stream: None,
            writer: None,
            alive: None,
            buffer: Vec::new(),
            log: None,
        };
        rig.accept();
        rig
    }

    pub(crate) fn read_log(&mut self) {
        let output = BufReader::new(self.runner.stdout.take().unwrap());
        let (sender, receiver) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        self.log = Some(receiver);
    }

    /// Waits for the runner to dial, and for its hello.
    pub(crate) fn accept(&mut self) {
        let mut listener = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut listener, PollTimeout::try_from(BOUND).unwrap()), Ok(1), "nobody dials");
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.set_write_timeout(Some(BOUND)).unwrap();
        let writer = Arc::new(Mutex::new(stream.try_clone().unwrap()));
        self.alive = Some(say_alive(Arc::clone(&writer)));
        self.writer = Some(writer);
        self.stream = Some(stream);
        self.buffer.clear();
        let (hello, _) = self.receive();
        assert_eq!(hello, FromRunner::Hello { version: VERSION, handler: RUNNER.to_owned() });
    }

    pub(crate) fn hang_up(&mut self) {
        self.stream.take().unwrap().shutdown(Shutdown::Both).unwrap();
    }

    /// Says no more that the worker lives.
    pub(crate) fn fall_silent(&mut self) {
        self.alive = None;
    }

    /// No worker can be dialled any more.
    pub(crate) fn close(&mut self) {
        std::fs::remove_file(self.socket()).unwrap();
        self.hang_up();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub(crate) fn send(&self, header: &ToRunner, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, header, payload).unwrap();
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        self.writer.as_ref().unwrap().lock().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn receive(&mut self) -> (FromRunner, Vec<u8>) {
        loop {
            if let Some(found) = frame::cut(&self.buffer).unwrap() {
                let frame = (frame::read(found.header).unwrap(), found.payload.to_vec());
                let taken = found.taken;
                self.buffer.drain(..taken);
                return frame;
            }
            let mut chunk = [0; 16 * 1024];
            let count = self.stream.as_mut().unwrap().read(&mut chunk).unwrap();
            assert!(count > 0, "the runner has hung up");
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }

    /// The id of a process that was told to start.
    pub(crate) fn started(&mut self, process: u64) -> u32 {
        match self.receive() {
            (FromRunner::Started { process: started, pid }, _) if started == process => pid,
            (other, _) => panic!("{other:?} instead of started"),
        }
    }

    /// The next end, whatever was started before it.
    pub(crate) fn exited(&mut self) -> (Exited, Vec<u8>) {
        loop {
            match self.receive() {
                (FromRunner::Exited(exited), payload) => return (exited, payload),
                (FromRunner::Started { .. }, _) => {}
                (other, _) => panic!("{other:?} instead of exited"),
            }
        }
    }

    /// Runs a command to its end.
    pub(crate) fn run(&mut self, start: Start, stdin: &[u8]) -> (Exited, Vec<u8>) {
        let process = start.process;
        self.send(&ToRunner::Start(start), stdin);
        let (exited, payload) = self.exited();
        assert_eq!(exited.process, process);
        (exited, payload)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.runner.id().try_into().unwrap())
    }

    /// Waits for a line of the runner's log.
    pub(crate) fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        let log = self.log.as_ref().unwrap();
        loop {
            let line = log.recv_timeout(BOUND).expect("a line of the log");
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Waits for the runner's own end, which closes its connection.
    pub(crate) fn runner_end(&mut self) -> ExitStatus {
        if let Some(stream) = &mut self.stream {
            let _ = stream.read_to_end(&mut Vec::new());
        }
        ended(&mut self.runner)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // A runner that is told so ends everything that it has started; one that is killed ends only its children.
        let mut drained = Vec::new();
        frame::put(&mut drained, &ToRunner::Drained {}, b"").unwrap();
        let told = self.writer.as_ref().map(|writer| writer.lock().unwrap().write_all(&drained));
        if !matches!(told, Some(Ok(()))) {
            let _ = self.runner.kill();
        }
        ended(&mut self.runner);
    }
}

/// Says each second that the worker lives, until the sender is dropped.
fn say_alive(writer: Arc<Mutex<UnixStream>>) -> Sender<()> {
    let (sender, dropped) = channel();
    let mut alive = Vec::new();
    frame::put(&mut alive, &ToRunner::Alive {}, b"").unwrap();
    thread::spawn(move || {
        while dropped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            if writer.lock().unwrap().write_all(&alive).is_err() {
                return;
            }
        }
    });
    sender
}

/// Waits for a child, bounded: one that does not end is killed, and its status shows it.
pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let (sender, receiver) = channel();
    let watch = thread::spawn(move || {
        if receiver.recv_timeout(BOUND).is_err() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    });
    let status = child.wait().unwrap();
    let _ = sender.send(());
    watch.join().unwrap();
    status
}

/// `sh -c script`, captured.
pub(crate) fn sh(process: u64, script: &str) -> Start {
    Start {
        process,
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: Vec::new(),
        output: Output::Capture,
        label: format!("task-{process}"),
        limit: LIMIT,
        progress: true,
    }
}

/// A named pipe that processes hold open, so that a test learns of their start and their end without asking again
/// and again.
pub(crate) struct Held {
    pub(crate) path: PathBuf,
    events: Receiver<String>,
}

impl Held {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (sender, events) = channel();
        let fifo = path.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(std::fs::File::open(fifo).unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 0 {
                let _ = sender.send(std::mem::take(&mut line));
            }
            let _ = sender.send("gone".to_owned());
        });
        Self { path, events }
    }

    /// A script that tells its start on the pipe and holds it until it is killed.
    pub(crate) fn script(&self) -> String {
        format!("exec 9>{}; echo started >&9; sleep 1000", self.path.display())
    }

    pub(crate) fn started(&self) {
        assert_eq!(self.events.recv_timeout(BOUND).expect("a start"), "started\n");
    }

    /// Waits until no process holds the pipe.
    pub(crate) fn gone(&self) {
        while self.events.recv_timeout(BOUND).expect("an end") != "gone" {}
    }
}
