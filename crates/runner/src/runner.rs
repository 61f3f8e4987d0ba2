//! What the runner knows, and what it does when something happens. [`sweep`]: what has ended, and what that has left.
//!
//! ```text
//!   down ──dial──> connected ──connection gone──> down: every process is killed and collected, then dial again
//!                     │
//!                  drained, refused ──> leaving: every process is killed and collected, the log is written, exit
//! ```

mod sweep;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};
use petiole_contract::control::{Exited, FromRunner, Start, ToRunner};
use petiole_contract::exec::{PROGRESS, PROGRESS_LINE};

use crate::connection::Lost;
use crate::link::Link;
use crate::log::Log;
use crate::process::{Process, Surroundings, not_started};
use crate::progress::{Progress, Said};
use crate::report::{NoFolder, Reports};
use crate::signals::Signals;
use crate::wait::{Ready, Waiting};
use crate::{chain, orphans};

/// `EX_PROTOCOL` of sysexits: the worker does not take this runner.
const REFUSED: u8 = 76;

/// A container that is to stop gives a worker so long to come back: it may be starting anew.
const GONE: Duration = Duration::from_secs(5);

/// How long the last processes and the log may take at the end. The kernel ends what is left with PID 1.
const LEAVE: Duration = Duration::from_secs(1);

/// What is read from a pipe at once.
const SCRATCH: usize = 64 * 1024;

/// Why the runner cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("failed to set up signals")]
    Signals(#[source] nix::Error),
    #[error("failed to wait for events")]
    Wait(#[source] nix::Error),
    #[error("failed to dial the worker's socket {path}")]
    Dial { path: String, source: std::io::Error },
    #[error(transparent)]
    Reports(NoFolder),
}

struct Runner {
    socket: PathBuf,
    signals: Signals,
    link: Link,
    /// Made at the first connection, whose socket shows where.
    reports: Option<Reports>,
    processes: BTreeMap<u64, Process>,
    log: Log,
    /// The container is to stop.
    draining: bool,
    leaving: Option<Leaving>,
    /// When the orphans are looked at again of which nobody could say whose they are.
    sweeps: Option<Instant>,
    /// Who started the runner, where that is not the kernel.
    parent: Pid,
}

#[derive(Debug, Clone, Copy)]
struct Leaving {
    code: u8,
    deadline: Instant,
}

/// Dials the worker's socket and obeys until there is nothing more to do. Returns the exit code.
pub(crate) fn run(socket: PathBuf) -> Result<u8, RunError> {
    // Processes get the path too, and may change their folder.
    let socket = std::path::absolute(&socket).unwrap_or(socket);
    let now = Instant::now();
    let mut runner = Runner {
        socket,
        signals: Signals::take().map_err(RunError::Signals)?,
        link: Link::new(now),
        reports: None,
        processes: BTreeMap::new(),
        log: Log::new(),
        draining: false,
        leaving: None,
        sweeps: None,
        parent: getppid(),
    };
    let mut scratch = vec![0; SCRATCH];
    loop {
        let now = Instant::now();
        runner.finish(now);
        runner.due(now)?;
        runner.write(now);
        if let Some(code) = runner.left(now) {
            return Ok(code);
        }
        let deadline = runner.deadline();
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let ready = runner.waiting().wait(timeout).map_err(RunError::Wait)?;
        for ready in ready {
            runner.ready(ready, &mut scratch)?;
        }
    }
}

impl Runner {
    fn waiting(&self) -> Waiting<'_> {
        let Self { signals, link, log, processes, .. } = self;
        Waiting { signals, connection: link.connection(), log, processes }
    }

    fn ready(&mut self, ready: Ready, scratch: &mut [u8]) -> Result<(), RunError> {
        let now = Instant::now();
        match ready {
            Ready::Signals => {
                let signalled = self.signals.read().map_err(RunError::Signals)?;
                if signalled.child {
                    self.reap(now);
                }
                if signalled.stop {
                    self.drain();
                }
            }
            Ready::Worker => self.listen(now),
            Ready::Process(process, pipe) => {
                if let Some(running) = self.processes.get_mut(&process)
                    && let Some(said) = running.ready(pipe, scratch, &mut self.log, now)
                {
                    self.pass_on(process, said);
                }
            }
        }
        Ok(())
    }

    /// A process has said how far it is.
    fn pass_on(&mut self, process: u64, said: Said) {
        match said {
            Said::Line(line) => {
                self.link.send(&FromRunner::Progress { process }, &line);
            }
            Said::TooLong => self.log.say(&format!(
                "process {process} wrote a line of more than {PROGRESS_LINE} bytes to {PROGRESS}, which is passed over"
            )),
        }
    }

    fn listen(&mut self, now: Instant) {
        match self.link.read(now) {
            Ok(frames) => {
                for (frame, payload) in frames {
                    self.obey(frame, payload, now);
                }
            }
            Err(lost) => self.disconnected(&lost, now),
        }
    }

    fn obey(&mut self, frame: ToRunner, payload: Vec<u8>, now: Instant) {
        match frame {
            ToRunner::Start(start) => self.start(&start, payload),
            ToRunner::Signal { process, signal } => self.signal(process, signal),
            ToRunner::KillAll {} => self.kill_all(),
            // To be heard is all that it is for.
            ToRunner::Alive {} => {}
            ToRunner::Drained {} => self.leave(0, now),
            ToRunner::Refused { reason } => {
                self.log.say(&format!("the worker refuses this runner: {reason}"));
                self.leave(REFUSED, now);
            }
        }
    }

    fn start(&mut self, start: &Start, payload: Vec<u8>) {
        let started = match &self.reports {
            _ if self.processes.contains_key(&start.process) => {
                Err(format!("a process with the number {} is running already", start.process))
            }
            None => Err("there is no folder for result files".to_owned()),
            Some(reports) => {
                let report = reports.path(start.process);
                let progress = start.progress.then(|| Progress::make(reports.progress(start.process)));
                let progress = progress.and_then(|made| {
                    made.inspect_err(|error| self.log.say(&format!("{PROGRESS} is not there: {error}"))).ok()
                });
                Process::start(start, payload, Surroundings { socket: &self.socket, report, progress })
            }
        };
        match started {
            Ok(process) => {
                let pid = process.pid().as_raw().unsigned_abs();
                self.link.send(&FromRunner::Started { process: start.process, pid }, &[]);
                self.processes.insert(start.process, process);
            }
            Err(why) => self.tell(not_started(start.process, why), &[]),
        }
    }

    fn signal(&mut self, process: u64, number: i32) {
        // It may have ended while the frame was on its way.
        let Some(running) = self.processes.get(&process) else { return };
        let sent = Signal::try_from(number).and_then(|signal| running.signal(signal));
        if let Err(error) = sent {
            self.log.say(&format!("signal {number} was not sent to process {process}: {error}"));
        }
    }

    /// Kills every process. Their ends are told when they have been collected.
    fn kill_all(&mut self) {
        for running in self.processes.values() {
            if let Err(error) = running.signal(Signal::SIGKILL) {
                self.log.say(&format!("process {} was not killed: {error}", running.pid()));
            }
        }
        self.sweep(Instant::now());
    }

    /// Tells of the processes of which nothing is left.
    fn finish(&mut self, now: Instant) {
        let finished: Vec<u64> = self
            .processes
            .iter()
            .filter(|(_, running)| running.is_finished(now))
            .map(|(process, _)| *process)
            .collect();
        for process in finished {
            if let Some(running) = self.processes.remove(&process) {
                let (exited, payload) = running.finish(&mut self.log);
                self.tell(exited, &payload);
            }
        }
    }

    fn tell(&mut self, exited: Exited, payload: &[u8]) {
        let frame = FromRunner::Exited(exited);
        if !self.link.send(&frame, payload)
            && let FromRunner::Exited(exited) = frame
        {
            // Too large for a frame, which `Start::limit` ought to prevent.
            let short = Exited { stderr: String::new(), cut: true, output: 0, ..exited };
            self.link.send(&FromRunner::Exited(short), &[]);
        }
    }

    /// The worker is silent: its leases may end, and others may run its tasks.
    fn abandon(&mut self) {
        let count = self.processes.len();
        self.log.say(&format!("the worker is silent: {count} running processes are killed"));
        for running in self.processes.values_mut() {
            running.abandoned |= !running.has_ended();
        }
        self.link.forget_silence();
        self.kill_all();
    }

    /// The container is to stop: the worker decides when.
    fn drain(&mut self) {
        if !self.draining {
            self.draining = true;
            self.log.say("told to stop: no new tasks are taken, running ones may end");
            self.link.send(&FromRunner::Drain {}, &[]);
        }
    }

    fn disconnected(&mut self, lost: &Lost, now: Instant) {
        let count = self.processes.len();
        if self.link.lose(now) && self.leaving.is_none() {
            let why = chain(lost);
            self.log.say(&format!(
                "the connection to the worker is gone ({why}): {count} running processes are killed"
            ));
        }
        self.kill_all();
    }

    /// Dials the worker, once everything of an earlier connection has ended.
    fn dial(&mut self, now: Instant) -> Result<(), RunError> {
        if orphans::exist() {
            self.sweep(now);
            self.link.wait(now);
            return Ok(());
        }
        let connected = self
            .link
            .dial(&self.socket, now)
            .map_err(|source| RunError::Dial { path: self.socket.display().to_string(), source })?;
        if self.link.down_since().is_some_and(|since| now >= since + GONE) && self.link.is_news() {
            self.log.say(&format!("waits for the worker at {}", self.socket.display()));
        }
        if connected && self.reports.is_none() {
            self.reports = Some(Reports::beside(&self.socket).map_err(RunError::Reports)?);
        }
        if connected && self.draining {
            self.link.send(&FromRunner::Drain {}, &[]);
        }
        Ok(())
    }

    /// Does what its time has come for.
    fn due(&mut self, now: Instant) -> Result<(), RunError> {
        self.processes.values_mut().for_each(|running| running.due(now));
        if self.sweeps.is_some_and(|sweep| now >= sweep) {
            self.sweep(now);
        }
        if self.link.is_silent(now) {
            // What it has said may not have been read, where it is the runner that was held up.
            self.listen(now);
        }
        if self.link.is_silent(now) {
            self.abandon();
        }
        let Some(since) = self.link.down_since().filter(|_| self.leaving.is_none()) else { return Ok(()) };
        if self.draining && now >= since + GONE {
            self.log.say("the worker has not come back: nothing is left to wait for");
            self.leave(0, now);
        } else if getppid() != self.parent {
            // Under `petiole dev`. Not PR_SET_PDEATHSIG, which the end of one of its threads would set off.
            self.log.say("the process that started this runner has ended");
            self.leave(0, now);
        } else if self.link.deadline().is_some_and(|dial| now >= dial) && self.processes.is_empty() {
            self.dial(now)?;
        }
        Ok(())
    }

    fn write(&mut self, now: Instant) {
        self.log.write();
        if let Err(lost) = self.link.write() {
            self.disconnected(&lost, now);
        }
    }

    /// When something is due next.
    fn deadline(&self) -> Option<Instant> {
        let processes = self.processes.values().filter_map(Process::deadline);
        let link = match self.link.down_since() {
            _ if self.leaving.is_some() => None,
            // All must have been collected before it is dialled, which SIGCHLD tells.
            Some(since) if !self.processes.is_empty() => self.draining.then_some(since + GONE),
            _ => self.link.deadline(),
        };
        let leaving = self.leaving.map(|leaving| leaving.deadline);
        processes.chain(link).chain(leaving).chain(self.sweeps).min()
    }

    fn leave(&mut self, code: u8, now: Instant) {
        if self.leaving.is_none() {
            self.leaving = Some(Leaving { code, deadline: now + LEAVE });
            self.kill_all();
        }
    }

    /// Nothing may run on: the worker is gone, or the runner is about to be.
    fn killing(&self) -> bool {
        self.leaving.is_some() || self.link.down_since().is_some()
    }

    /// The exit code, when it is time to go.
    fn left(&self, now: Instant) -> Option<u8> {
        let leaving = self.leaving?;
        let done = self.processes.is_empty() && self.log.writable().is_none();
        (done || now >= leaving.deadline).then_some(leaving.code)
    }
}

fn is_started(processes: &BTreeMap<u64, Process>, pid: Pid) -> bool {
    processes.values().any(|running| running.pid() == pid)
}
