//! Signals and inherited state: what reaches the runner, and what a child starts with.
#![allow(
    unsafe_code,
    reason = "nix has no safe form for a signal's disposition, nor for code between fork and exec"
)]

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What has been signalled since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Signalled {
    /// `SIGCHLD`: a child has ended.
    pub(crate) child: bool,
    /// `SIGTERM` or `SIGINT`: the container is to stop.
    pub(crate) stop: bool,
}

/// The signals that the runner waits for, as a file descriptor.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Takes the signals over, and the orphans of all later children (which PID 1 gets anyway).
    pub(crate) fn take() -> nix::Result<Self> {
        prctl::set_child_subreaper(true)?;
        // A parent may have left it ignored; children would then vanish without telling how they ended.
        // SAFETY: no handler is installed, so there is no code that must be safe in one.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.add(Signal::SIGTERM);
        mask.add(Signal::SIGINT);
        mask.thread_block()?;
        SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map(Self)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    pub(crate) fn read(&self) -> nix::Result<Signalled> {
        let mut signalled = Signalled::default();
        loop {
            match self.0.read_signal() {
                Ok(Some(info)) => match i32::try_from(info.ssi_signo).map(Signal::try_from) {
                    Ok(Ok(Signal::SIGCHLD)) => signalled.child = true,
                    _ => signalled.stop = true,
                },
                Ok(None) => return Ok(signalled),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Gives a child the signal mask that a program expects, which is not the runner's, and ends it with the runner:
/// a runner that is killed under `petiole dev` takes its processes along, as PID 1 of a container does.
pub(crate) fn prepare_child(command: &mut Command) {
    let prepare = || {
        SigSet::empty().thread_set_mask()?;
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        Ok(())
    };
    // SAFETY: between fork and exec this makes two system calls and touches no memory of the parent's.
    unsafe { command.pre_exec(prepare) };
}

/// Makes reads and writes of our end of a pipe return at once. The child's end is not affected.
pub(crate) fn nonblocking(pipe: &impl AsFd) -> nix::Result<()> {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop)
}
