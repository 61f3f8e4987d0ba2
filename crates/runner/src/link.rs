//! The way to the worker: whether there is a connection, and what its silence means.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use petiole_contract::control::{FromRunner, SILENCE, ToRunner};

use crate::connection::{Connection, Lost};

/// How often the worker is dialled while it is not there.
const DIAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) enum Link {
    Down {
        since: Instant,
        /// When it is dialled next.
        dial: Instant,
        /// The log says already that there is no worker.
        told: bool,
    },
    Up {
        connection: Connection,
        /// When the worker is taken for silent; nothing, once it has been.
        silent: Option<Instant>,
        /// An earlier loss was told, and the worker has said nothing since: one more is no news.
        told: bool,
    },
}

impl Link {
    /// Not yet connected.
    pub(crate) fn new(now: Instant) -> Self {
        Self::Down { since: now, dial: now, told: false }
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Up { connection, .. } => Some(connection),
            Self::Down { .. } => None,
        }
    }

    /// Since when there is no connection.
    pub(crate) fn down_since(&self) -> Option<Instant> {
        match self {
            Self::Down { since, .. } => Some(*since),
            Self::Up { .. } => None,
        }
    }

    /// When the link needs attention next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Down { dial, .. } => Some(*dial),
            Self::Up { silent, .. } => *silent,
        }
    }

    /// Dials. `true` when there is a connection now.
    pub(crate) fn dial(&mut self, path: &Path, now: Instant) -> io::Result<bool> {
        let Some(connection) = Connection::dial(path)? else {
            self.wait(now);
            return Ok(false);
        };
        let told = matches!(self, Self::Down { told: true, .. });
        *self = Self::Up { connection, silent: Some(now + SILENCE), told };
        Ok(true)
    }

    /// Dials a little later, where there is no connection.
    pub(crate) fn wait(&mut self, now: Instant) {
        if let Self::Down { dial, .. } = self {
            *dial = now + DIAL;
        }
    }

    /// The connection is gone. Says whether that is news: a worker that hangs up at once, again and again, is not
    /// worth a line each time.
    pub(crate) fn lose(&mut self, now: Instant) -> bool {
        let news = matches!(self, Self::Up { told: false, .. });
        *self = Self::Down { since: now, dial: now + DIAL, told: true };
        news
    }

    /// Whether it is news that there is no worker. It is none a second time.
    pub(crate) fn is_news(&mut self) -> bool {
        match self {
            Self::Down { told, .. } => !std::mem::replace(told, true),
            Self::Up { .. } => false,
        }
    }

    /// What the worker has said. Nothing, while there is no connection.
    pub(crate) fn read(&mut self, now: Instant) -> Result<Vec<(ToRunner, Vec<u8>)>, Lost> {
        let Self::Up { connection, silent, told } = self else { return Ok(Vec::new()) };
        let frames = connection.read()?;
        if !frames.is_empty() {
            *silent = Some(now + SILENCE);
            *told = false;
        }
        Ok(frames)
    }

    /// Puts a frame behind those that wait to be written; nobody is told where there is no connection. `false`
    /// when it is too large.
    pub(crate) fn send(&mut self, header: &FromRunner, payload: &[u8]) -> bool {
        match self {
            Self::Up { connection, .. } => connection.send(header, payload),
            Self::Down { .. } => true,
        }
    }

    pub(crate) fn write(&mut self) -> Result<(), Lost> {
        match self {
            Self::Up { connection, .. } => connection.write(),
            Self::Down { .. } => Ok(()),
        }
    }

    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        matches!(self, Self::Up { silent: Some(silent), .. } if now >= *silent)
    }

    /// The worker's silence has had its consequences, until it is heard again.
    pub(crate) fn forget_silence(&mut self) {
        if let Self::Up { silent, .. } = self {
            *silent = None;
        }
    }
}
