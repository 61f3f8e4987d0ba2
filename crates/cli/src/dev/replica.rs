//! One replica of a pool: a worker and a runner, started again as soon as they end, stopped as the kubelet does it.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use super::output::Output;
use super::state::State;
use super::tied::tied;

/// A process that ends sooner than this after its start has failed to start; it is started again a little later.
const SETTLED: Duration = Duration::from_secs(1);

/// How much later.
const PAUSE: Duration = Duration::from_millis(500);

/// Between two looks at whether the worker is ready, and the most that one may take.
const PROBE: Duration = Duration::from_millis(100);

/// Between two looks at a worker that was ready: an idle one has nothing else to do.
const PROBE_READY: Duration = Duration::from_secs(1);

/// A replica.
#[derive(Debug, Clone)]
pub struct Replica {
    /// Index of its pool in the state file.
    pub pool: usize,
    /// Its index in the pool.
    pub index: usize,
    /// `pool/index`, before each line of its output.
    pub label: String,
    /// What stands for its pod's UID: the same for each of its workers, and never another replica's. A worker that is
    /// started again ends the leases of those before it by this name.
    pub identity: String,
    /// Where the programs are.
    pub programs: PathBuf,
    /// The pool's file.
    pub config: PathBuf,
    /// Where its socket and its worker's address file are.
    pub folder: PathBuf,
}

/// Which of a replica's two programs.
#[derive(Debug, Clone, Copy)]
enum Program {
    Worker,
    Runner,
}

impl Replica {
    /// Runs the pair until `stop`; then the runner is told to stop, and the worker when the runner has ended.
    pub async fn run(self, state: State, output: Output, stop: CancellationToken) {
        // The kubelet's order: the sidecar is there first and goes last.
        let runner_gone = CancellationToken::new();
        let worker = self.supervise(Program::Worker, &state, &output, runner_gone.clone());
        let runner = async {
            self.supervise(Program::Runner, &state, &output, stop).await;
            runner_gone.cancel();
        };
        let probe = async {
            tokio::select! {
                () = self.probe(&state) => {}
                () = runner_gone.cancelled() => {}
            }
        };
        tokio::join!(worker, runner, probe);
    }

    async fn supervise(&self, program: Program, state: &State, output: &Output, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let started = Instant::now();
            match self.start(program, output) {
                Ok(mut child) => {
                    let pid = child.id();
                    self.note(program, state, pid);
                    let status = tokio::select! {
                        status = child.wait() => status,
                        () = stop.cancelled() => {
                            terminate(pid);
                            child.wait().await
                        }
                    };
                    self.note(program, state, None);
                    if stop.is_cancelled() {
                        return;
                    }
                    let how = status
                        .map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string());
                    tracing::warn!(
                        replica = self.label,
                        how,
                        "{} has ended; it is started again",
                        program.name()
                    );
                }
                Err(error) => {
                    tracing::error!(%error, "{} could not be started", self.path(program).display());
                }
            }
            if started.elapsed() < SETTLED {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    fn start(&self, program: Program, output: &Output) -> std::io::Result<Child> {
        let socket = self.folder.join("socket");
        let mut command = tied(self.path(program));
        command
            .env("PETIOLE_SOCKET", &socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A terminal's Ctrl-C is for us: we stop them in their order.
        command.process_group(0).kill_on_drop(true);
        match program {
            Program::Worker => {
                let _ = std::fs::remove_file(self.address_file());
                command
                    .arg("--pool")
                    .arg(&self.config)
                    .args(["--admin", "127.0.0.1:0"])
                    .arg("--admin-file")
                    .arg(self.address_file())
                    .env("PETIOLE_POD_UID", &self.identity)
                    .env("PETIOLE_NODENAME", format!("celery@{}", self.label.replace('/', "-")))
                    .env("PETIOLE_LOG_FORMAT", "text");
            }
            Program::Runner => {}
        }
        let mut child = command.spawn()?;
        let label = format!("{} {}", self.label, program.name());
        if let Some(stdout) = child.stdout.take() {
            forward(stdout, label.clone(), output.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            forward(stderr, label, output.clone());
        }
        Ok(child)
    }

    fn path(&self, program: Program) -> PathBuf {
        self.programs.join(match program {
            Program::Worker => "petiole-worker",
            Program::Runner => "petiole-runner",
        })
    }

    fn address_file(&self) -> PathBuf {
        self.folder.join("admin")
    }

    fn note(&self, program: Program, state: &State, pid: Option<u32>) {
        state.update(self.pool, self.index, |replica| match program {
            Program::Worker => {
                replica.worker = pid;
                replica.ready = false;
            }
            Program::Runner => replica.runner = pid,
        });
    }

    async fn probe(&self, state: &State) {
        let mut looked = tokio::time::Instant::now();
        loop {
            let mut was_ready = false;
            state.update(self.pool, self.index, |replica| was_ready = replica.ready);
            if !was_ready || looked.elapsed() >= PROBE_READY {
                looked = tokio::time::Instant::now();
                let ready = tokio::time::timeout(PROBE, ready(&self.address_file())).await;
                let ready = matches!(ready, Ok(Ok(true)));
                state.update(self.pool, self.index, |it| it.ready = ready && it.worker.is_some());
            }
            tokio::time::sleep(PROBE).await;
        }
    }
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Runner => "task",
        }
    }
}

fn terminate(pid: Option<u32>) {
    if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
        // It may just have ended by itself.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// Asks the worker's admin endpoint, whose address stands in a file.
async fn ready(address_file: &Path) -> std::io::Result<bool> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let address = std::fs::read_to_string(address_file)?;
    let mut stream = tokio::net::TcpStream::connect(address.trim()).await?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.0 200"))
}

fn forward(stream: impl AsyncRead + Send + Unpin + 'static, label: String, output: Output) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            output.line(&label, &line);
        }
    });
}
