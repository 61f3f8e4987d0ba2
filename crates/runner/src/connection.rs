//! The worker's unix socket: frames in both directions, without ever waiting.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use petiole_contract::VERSION;
use petiole_contract::control::{FromRunner, RUNNER, ToRunner};
use petiole_contract::frame::{self, FrameError};

use crate::outbox::Outbox;

/// How much is read before the runner looks at its other duties; and what the buffer keeps while it is empty.
const CHUNK: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    incoming: Vec<u8>,
    outgoing: Outbox,
}

/// Why a connection is given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("the worker has closed it")]
    Closed,
    #[error("it broke")]
    Broken(#[source] io::Error),
    #[error("the worker sent what is no frame of this contract")]
    Frame(#[source] FrameError),
}

impl Connection {
    /// Connects and says hello. `None` while nobody listens, or while the worker is too busy to accept.
    pub(crate) fn dial(path: &Path) -> io::Result<Option<Self>> {
        let address = UnixAddr::new(path)?;
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        match connect(socket.as_raw_fd(), &address) {
            Ok(()) => {}
            // EACCES: it listens already, and its mode is not set yet.
            Err(Errno::ENOENT | Errno::ECONNREFUSED | Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        let mut connection =
            Self { stream: socket.into(), incoming: Vec::new(), outgoing: Outbox::default() };
        connection.send(&FromRunner::Hello { version: VERSION, handler: RUNNER.to_owned() }, &[]);
        Ok(Some(connection))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What the connection waits for.
    pub(crate) fn events(&self) -> PollFlags {
        if self.outgoing.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLIN | PollFlags::POLLOUT }
    }

    /// Puts a frame behind those that wait to be written. `false` when it is too large for one.
    pub(crate) fn send(&mut self, header: &FromRunner, payload: &[u8]) -> bool {
        frame::put(self.outgoing.end(), header, payload).is_ok()
    }

    /// Writes what can be written without waiting.
    pub(crate) fn write(&mut self) -> Result<(), Lost> {
        while !self.outgoing.is_empty() {
            match self.stream.write(self.outgoing.pending()) {
                Ok(count) => self.outgoing.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Lost::Broken(error)),
            }
        }
        Ok(())
    }

    /// Reads once, and returns the frames that are whole, with their payloads.
    pub(crate) fn read(&mut self) -> Result<Vec<(ToRunner, Vec<u8>)>, Lost> {
        let filled = self.incoming.len();
        self.incoming.resize(filled + CHUNK, 0);
        let read = self.stream.read(&mut self.incoming[filled..]);
        self.incoming.truncate(filled + read.as_ref().copied().unwrap_or_default());
        match read {
            Ok(0) => return Err(Lost::Closed),
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Err(Lost::Broken(error));
            }
            _ => {}
        }
        let mut frames = Vec::new();
        let mut taken = 0;
        while let Some(found) = frame::cut(&self.incoming[taken..]).map_err(Lost::Frame)? {
            frames.push((frame::read(found.header).map_err(Lost::Frame)?, found.payload.to_vec()));
            taken += found.taken;
        }
        self.incoming.drain(..taken);
        if self.incoming.len() <= CHUNK {
            self.incoming.shrink_to(2 * CHUNK);
        }
        Ok(frames)
    }
}
