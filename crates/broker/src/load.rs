//! What workers say of themselves with their beats: how much they hold, and how long their tasks take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Messages that wait for their time are about to come when it is this near: as long as a pod takes to start, with room
/// to spare.
pub const SOON: Duration = Duration::from_secs(15);

/// What a worker says of itself. Counts begin with its incarnation and never fall.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Load {
    /// Attempts that have run and ended.
    pub ended: u64,
    /// How long these ran, together, in ms.
    pub ended_ms: u64,
    /// Attempts that run now.
    pub running: u64,
    /// How long these have run so far, together, in ms.
    pub running_ms: u64,
    /// Messages that it holds: they wait in it, run, or are being settled.
    pub held: u64,
    /// It does as it is wished: it takes no more, and has given back what had not begun. Workers from before there were
    /// wishes never say so.
    pub draining: bool,
}

impl Load {
    /// Whether nothing of it is left, and nothing comes.
    pub fn is_drained(&self) -> bool {
        self.draining && self.is_idle()
    }

    /// Whether it has nothing to do.
    pub fn is_idle(&self) -> bool {
        self.held == 0 && self.running == 0
    }
}

/// The load of one worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Report {
    /// Its name for one life of its process.
    pub incarnation: String,
    /// The namespace of its pool; empty outside a cluster.
    pub namespace: String,
    /// Its pool.
    pub pool: String,
    /// Its pod, or the host outside a cluster.
    pub host: String,
    /// What it has said last.
    #[serde(flatten)]
    pub load: Load,
}
