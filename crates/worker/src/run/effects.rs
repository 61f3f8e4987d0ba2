//! What the state machine wants done outside.

use std::time::Duration;

use bytes::Bytes;
use petiole_broker::Tag;
use serde::Serialize;

use super::Peer;
use crate::outcome::Outcome;
use crate::work::Work;

/// What has to be done outside.
#[derive(Debug, Default)]
pub struct Effects {
    /// Bytes to write, per connection, in order.
    pub frames: Vec<(Peer, Vec<u8>)>,
    /// Deliveries whose task has started, where something is written at that moment.
    pub started: Vec<Started>,
    /// States of their own that tasks want recorded.
    pub progress: Vec<Progress>,
    /// Ids of tasks that have started, where [`super::Runs::tell_starts`] asks for them.
    pub begun: Vec<String>,
    /// Attempts that have ended because their task was revoked.
    pub revoked: Vec<Revoked>,
    /// Attempts that have ended.
    pub ended: Vec<Ended>,
}

impl Effects {
    /// Appends a frame for a connection; `false` when it is too large to be one.
    pub fn send<T: Serialize>(&mut self, peer: Peer, header: &T, payload: &[u8]) -> bool {
        let mut bytes = match self.frames.pop_if(|(last, _)| *last == peer) {
            Some((_, bytes)) => bytes,
            None => Vec::new(),
        };
        let put = petiole_contract::frame::put(&mut bytes, header, payload);
        if let Err(error) = &put {
            tracing::warn!(error = %petiole_process::log::Chain(error), "a frame could not be written");
        }
        if !bytes.is_empty() {
            self.frames.push((peer, bytes));
        }
        put.is_ok()
    }
}

/// A task that has started.
#[derive(Debug)]
pub struct Started {
    /// Its delivery.
    pub tag: Tag,
    /// What it does.
    pub work: Box<Work>,
    /// The process that runs it, where that is known.
    pub pid: Option<u32>,
    /// It starts now; otherwise its process has become known since then.
    pub begins: bool,
}

/// A state of a task's own.
#[derive(Debug)]
pub struct Progress {
    /// Its delivery.
    pub tag: Tag,
    /// What it does.
    pub work: Box<Work>,
    /// The state's name.
    pub state: String,
    /// Its meta: a JSON value.
    pub meta: Bytes,
}

/// An attempt that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its delivery.
    pub tag: Tag,
    /// What it was to do.
    pub work: Box<Work>,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it ran, where it ran.
    pub took: Option<Duration>,
}

/// An attempt that has ended because its task was revoked.
#[derive(Debug)]
pub struct Revoked {
    /// Its delivery.
    pub tag: Tag,
    /// What it was to do.
    pub work: Box<Work>,
    /// By which signal it was ended; `None` where it had not started.
    pub signal: Option<i32>,
}
