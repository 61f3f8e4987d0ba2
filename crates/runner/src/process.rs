//! One process: from its start to what is told of its end.
//!
//! The main process' exit ends the attempt. Its group is killed in the same moment, before its process id can be
//! used again, so that no grandchild runs on beside a successor. `exited` follows when the group is gone and its
//! pipes are at their ends, or after [`GRACE`].

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use petiole_contract::control::{Exited, Output, Start, Status};
use petiole_contract::exec::{PROGRESS, RESULT, STDERR_TAIL};
use petiole_contract::frame::MAX_PAYLOAD;
use petiole_contract::serve::SOCKET;

use crate::log::Log;
use crate::outbox::Outbox;
use crate::progress::{Progress, Said};
use crate::stream::Stream;
use crate::{program, report, signals};

/// How long an ended process' group and pipes may take to go. Killed processes need milliseconds; what holds a
/// pipe for longer has left the group, or hangs in the kernel.
const GRACE: Duration = Duration::from_secs(1);

/// What a process is given besides its `start` frame.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) socket: &'a Path,
    /// Where it may write its report.
    pub(crate) report: PathBuf,
    /// Where it may say how far it is.
    pub(crate) progress: Option<Progress>,
}

/// One of a process' pipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pipe {
    Input,
    Output,
    Error,
    Progress,
}

#[derive(Debug)]
pub(crate) struct Process {
    /// The worker's name for it.
    number: u64,
    child: Child,
    group: Pid,
    /// Gone when all is written, or when the process has closed its end.
    input: Option<(ChildStdin, Outbox)>,
    output: Stream<ChildStdout>,
    error: Stream<ChildStderr>,
    progress: Option<Progress>,
    report: PathBuf,
    limit: usize,
    ended: Option<(Status, Instant)>,
    /// Processes that left the group are still there.
    pub(crate) escaped: bool,
    /// It is killed because the worker is silent.
    pub(crate) abandoned: bool,
}

impl Process {
    /// Starts a process. An error is a sentence for [`Status::NotStarted`].
    pub(crate) fn start(
        start: &Start,
        payload: Vec<u8>,
        surroundings: Surroundings<'_>,
    ) -> Result<Self, String> {
        let (mut child, group) = spawn(start, &surroundings)?;
        let Surroundings { socket: _, report, progress } = surroundings;
        let limit = start.limit.min(MAX_PAYLOAD / 2);
        let pipes = || -> nix::Result<_> {
            let input = child.stdin.take().filter(|_| !payload.is_empty());
            if let Some(pipe) = &input {
                signals::nonblocking(pipe)?;
            }
            let output = Stream::new(child.stdout.take())?;
            let output = match start.output {
                Output::Log => output.into_log(&start.label),
                Output::Capture => output.keep_head(limit),
            };
            let error = Stream::new(child.stderr.take())?.into_log(&start.label).keep_tail(STDERR_TAIL);
            Ok((input.map(|pipe| (pipe, Outbox::of(payload))), output, error))
        };
        match pipes() {
            Ok((input, output, error)) => Ok(Self {
                number: start.process,
                child,
                group,
                input,
                output,
                error,
                progress,
                report,
                limit,
                ended: None,
                escaped: false,
                abandoned: false,
            }),
            Err(error) => {
                let _ = killpg(group, Signal::SIGKILL);
                let _ = child.wait();
                Err(format!("failed to set up the pipes of the process: {error}"))
            }
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        self.group
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Sends a signal to the whole group. Nothing happens once the process has ended: its group is gone with it.
    pub(crate) fn signal(&self, signal: Signal) -> nix::Result<()> {
        if self.has_ended() {
            return Ok(());
        }
        match killpg(self.group, signal) {
            Err(Errno::ESRCH) => Ok(()),
            sent => sent,
        }
    }

    /// Looks whether the process has ended, kills what is left of its group then, and collects its status.
    pub(crate) fn reap(&mut self, now: Instant) {
        let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        if self.has_ended() || !is_end(waitid(Id::Pid(self.group), peek)) {
            return;
        }
        // Not yet collected, so that no other process can have got its number. ESRCH and EPERM: nobody is left.
        let _ = killpg(self.group, Signal::SIGKILL);
        let status = match self.child.try_wait() {
            Ok(Some(status)) => status.code().map(Status::Code).or(status.signal().map(Status::Signal)),
            Ok(None) => return,
            Err(_) => None,
        };
        // How it ended is unknown only if someone else has collected it: it is lost, like one that was killed.
        self.ended = Some((status.unwrap_or(Status::Signal(Signal::SIGKILL as i32)), now + GRACE));
    }

    /// The pipes that wait for something, and for what.
    pub(crate) fn pipes<'a>(
        &'a self,
        log: &Log,
    ) -> impl Iterator<Item = (Pipe, BorrowedFd<'a>, PollFlags)> + use<'a> {
        let input = self.input.as_ref().map(|(pipe, _)| (Pipe::Input, pipe.as_fd(), PollFlags::POLLOUT));
        // What an ended process has left in its pipes is little, and is taken also into a full log.
        let any = self.has_ended();
        let output = self.output.readable(log, any).map(|pipe| (Pipe::Output, pipe, PollFlags::POLLIN));
        let error = self.error.readable(log, any).map(|pipe| (Pipe::Error, pipe, PollFlags::POLLIN));
        // How far it was before its end is no news after it.
        let progress = self.progress.as_ref().filter(|_| !any).and_then(Progress::readable);
        let progress = progress.map(|pipe| (Pipe::Progress, pipe, PollFlags::POLLIN));
        [input, output, error, progress].into_iter().flatten()
    }

    /// A pipe is ready: reads or writes once. Returns what the process has said of how far it is.
    pub(crate) fn ready(
        &mut self,
        pipe: Pipe,
        scratch: &mut [u8],
        log: &mut Log,
        now: Instant,
    ) -> Option<Said> {
        match pipe {
            Pipe::Input => self.write(),
            Pipe::Output => self.output.read(scratch, log),
            Pipe::Error => self.error.read(scratch, log),
            Pipe::Progress => return self.progress.as_mut()?.read(scratch, now),
        }
        None
    }

    /// Time has passed.
    pub(crate) fn due(&mut self, now: Instant) {
        if let Some(progress) = &mut self.progress {
            progress.due(now);
        }
    }

    fn write(&mut self) {
        let Some((pipe, payload)) = &mut self.input else { return };
        match pipe.write(payload.pending()) {
            Ok(count) => payload.advance(count),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            // A task need not read its input.
            Err(_) => self.input = None,
        }
        if self.input.as_ref().is_some_and(|(_, payload)| payload.is_empty()) {
            self.input = None;
        }
    }

    /// When [`Process::is_finished`] or [`Process::due`] has to be called again at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.ended {
            Some((_, deadline)) => Some(*deadline),
            None => self.progress.as_ref().and_then(Progress::deadline),
        }
    }

    /// Nothing of it is left, or nothing more is waited for.
    pub(crate) fn is_finished(&self, now: Instant) -> bool {
        let Some((_, deadline)) = &self.ended else { return false };
        let gone = || killpg(self.group, None) == Err(Errno::ESRCH);
        let quiet = !self.output.is_open() && !self.error.is_open() && !self.escaped;
        now >= *deadline || (quiet && gone())
    }

    /// What is told of its end: the frame and its payload.
    pub(crate) fn finish(mut self, log: &mut Log) -> (Exited, Vec<u8>) {
        self.output.close(log);
        self.error.close(log);
        let (mut payload, output_cut) = self.output.take_head();
        let output = payload.len();
        let (report, report_cut) = report::take(&self.report, self.limit).unwrap_or_else(|error| {
            log.say(&format!("the file of {RESULT} was not read ({}): {error}", self.report.display()));
            (Vec::new(), false)
        });
        payload.extend_from_slice(&report);
        let status = self.ended.map_or(Status::Signal(Signal::SIGKILL as i32), |(status, _)| status);
        let exited = Exited {
            process: self.number,
            status,
            stderr: self.error.take_tail(),
            cut: output_cut || report_cut,
            abandoned: self.abandoned,
            output,
        };
        (exited, payload)
    }
}

/// What is told of a process that did not start.
pub(crate) fn not_started(process: u64, why: String) -> Exited {
    let status = Status::NotStarted(why);
    Exited { process, status, stderr: String::new(), cut: false, abandoned: false, output: 0 }
}

/// Whether a look with `WNOHANG` has seen an end. `EINVAL` is one by a signal that nix has no name for (the
/// real-time ones); `ECHILD` one that somebody else has collected.
fn is_end(seen: nix::Result<WaitStatus>) -> bool {
    !matches!(seen, Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
}

fn spawn(start: &Start, surroundings: &Surroundings<'_>) -> Result<(Child, Pid), String> {
    let Surroundings { socket, report, progress } = surroundings;
    let name = start.command.first().map_or("", String::as_str);
    let own = start.env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| OsString::from(value));
    let program = program::find(name, own.or_else(|| std::env::var_os("PATH")).as_deref())?;
    let mut command = Command::new(&program);
    command
        .arg0(name)
        .args(start.command.iter().skip(1))
        .env(SOCKET, socket)
        .envs(start.env.iter().map(|(key, value)| (key, value)))
        .env(RESULT, report)
        .envs(progress.as_ref().map(|progress| (PROGRESS, progress.path())))
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    signals::prepare_child(&mut command);
    let child = command.spawn().map_err(|error| program::explain(&program, &error))?;
    let pid = i32::try_from(child.id()).map_err(|_| "the kernel gave it an impossible number".to_owned())?;
    Ok((child, Pid::from_raw(pid)))
}
