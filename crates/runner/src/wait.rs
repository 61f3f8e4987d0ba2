//! The one place where the runner waits.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::connection::Connection;
use crate::log::Log;
use crate::process::{Pipe, Process};
use crate::signals::Signals;

/// What is waited for.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    pub(crate) signals: &'a Signals,
    pub(crate) connection: Option<&'a Connection>,
    pub(crate) log: &'a Log,
    pub(crate) processes: &'a BTreeMap<u64, Process>,
}

/// What is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    Signals,
    /// Something can be read from the worker, or its connection has ended.
    Worker,
    Process(u64, Pipe),
}

impl Waiting<'_> {
    /// Waits until something is ready, at most so long. Signals and the worker come first, so that no flood of
    /// output delays them. What can only be written is not told: that is tried after each wait.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> nix::Result<Vec<Ready>> {
        let mut asked = vec![(Some(Ready::Signals), self.signals.as_fd(), PollFlags::POLLIN)];
        asked.extend(self.connection.map(|worker| (Some(Ready::Worker), worker.as_fd(), worker.events())));
        asked.extend(self.log.writable().map(|log| (None, log, PollFlags::POLLOUT)));
        for (process, running) in self.processes {
            let pipes = running.pipes(self.log);
            asked.extend(pipes.map(|(pipe, fd, events)| (Some(Ready::Process(*process, pipe)), fd, events)));
        }
        let mut polled: Vec<PollFd<'_>> =
            asked.iter().map(|(_, fd, events)| PollFd::new(*fd, *events)).collect();
        match poll(&mut polled, limit(timeout)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let ready = asked.iter().zip(&polled).filter(|(_, polled)| polled.any().unwrap_or(true));
        Ok(ready.filter_map(|((ready, ..), _)| *ready).collect())
    }
}

/// Rounded up: a wait that ends before its deadline would be followed by waits of no time at all.
fn limit(timeout: Option<Duration>) -> PollTimeout {
    let Some(timeout) = timeout else { return PollTimeout::NONE };
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_does_not_end_before_its_deadline() {
        assert_eq!(limit(None), PollTimeout::NONE);
        assert_eq!(limit(Some(Duration::ZERO)), PollTimeout::ZERO);
        assert_eq!(limit(Some(Duration::from_nanos(1))).as_millis(), Some(1));
        assert_eq!(limit(Some(Duration::from_secs(u64::MAX))), PollTimeout::MAX);
    }
}
