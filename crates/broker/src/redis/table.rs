//! The queues of a worker as its consumer has written them down, and how it follows a change of them.

use std::sync::{Arc, PoisonError};

use redis::Value;

use super::consumer::RedisConsumer;
use super::scripts::SUBSCRIBE;
use super::{Queue, during};
use crate::{BrokerError, Worker};

/// A version that no intake has: nothing is written down by this consumer yet.
const UNKNOWN: u64 = 0;

/// Queues, by their index. Only ever grows.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) queues: Vec<Queue>,
    /// Of the intake.
    version: u64,
}

impl Table {
    pub(super) fn unknown(queues: Vec<Queue>) -> Self {
        Self { queues, version: UNKNOWN }
    }

    /// Of the intake whose queues these are; `None` before they are written down.
    pub(super) fn version(&self) -> Option<u64> {
        Some(self.version).filter(|version| *version != UNKNOWN)
    }
}

impl RedisConsumer {
    /// The queues that are written down.
    pub(super) fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The queues as they are to be now. A new one is written down before anything is taken from it: otherwise nobody
    /// would put its messages back.
    pub(super) async fn follow(&self) -> Result<Arc<Table>, BrokerError> {
        let known = self.table();
        let version = self.intake.version();
        if known.version == version {
            return Ok(known);
        }
        let worker = Worker { queues: self.intake.queues(), ..self.worker_known.clone() };
        let queues = Queue::all(&self.keys, &worker);
        let described = worker.described()?;
        let mut call = SUBSCRIBE.call(2 + queues.len());
        call.arg(self.keys.leases()).arg(self.keys.workers());
        for queue in &queues {
            call.arg(self.keys.consumers(&queue.name.name));
        }
        call.arg(&self.worker).arg(described);
        match self.connection.run(call).await.map_err(during("write down the worker's queues"))? {
            Value::Int(1) => {}
            Value::Int(_) => return Err(BrokerError::LeaseEnded),
            _ => return Err(BrokerError::LeaseLost),
        }
        let table = Arc::new(Table { queues, version });
        let mut written = self.table.write().unwrap_or_else(PoisonError::into_inner);
        // Two calls at once: the one that knows more stays.
        if written.version < version {
            *written = table;
        }
        Ok(written.clone())
    }
}
