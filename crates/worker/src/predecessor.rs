//! What an earlier process of this pod still holds: its leases are ended as soon as its tasks are known to be dead.
//!
//! The runner kills every process when it loses its worker, and dials again only when all of them have ended. So when
//! it says hello to a worker that has just started, nothing runs any more of what an earlier worker of the same pod
//! had started, and nobody has to wait until that one's lease has run out.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use petiole_broker::{BrokerError, LEASE};
use petiole_process::log::Chain;
use tokio::time::Instant;

use crate::connect::Connect;

/// Between two tries.
const RETRY: Duration = Duration::from_millis(500);

/// What follows the pod's name in an incarnation's: so many hexadecimal digits.
const DIGITS: usize = 8;

/// The names of a worker's incarnations: `<identity>-<8 hexadecimal digits>`. Clones share what was named.
#[derive(Debug, Clone)]
pub struct Incarnations {
    identity: String,
    /// Those of this process.
    own: Arc<Mutex<BTreeSet<String>>>,
}

impl Incarnations {
    /// Of the pod that has this name for ever: its UID.
    pub fn of(identity: String) -> Self {
        Self { identity, own: Arc::default() }
    }

    /// Names a new one.
    pub fn name(&self) -> String {
        let name = format!("{}-{:0DIGITS$x}", self.identity, uuid::Uuid::new_v4().as_fields().0);
        self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        name
    }

    /// Whether an earlier process of this pod had this name. Another pod's may begin with the same letters.
    fn is_earlier(&self, name: &str) -> bool {
        let digits = name.strip_prefix(&self.identity).and_then(|rest| rest.strip_prefix('-'));
        digits.is_some_and(|digits| {
            digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        }) && !self.own.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
}

/// Ends the leases of this pod's earlier processes: their messages go back to their queues. To be called when their
/// tasks are known to be dead. Gives up after the length of a lease: then the sweeps have done it.
pub async fn end(connect: Arc<dyn Connect>, incarnations: Incarnations) {
    let deadline = Instant::now() + LEASE;
    loop {
        match try_end(connect.as_ref(), &incarnations).await {
            Ok(()) => return,
            Err(error) if Instant::now() >= deadline => {
                tracing::info!(error = %Chain(&error), "the leases of earlier workers of this pod end by themselves");
                return;
            }
            Err(error) => tracing::debug!(error = %Chain(&error), "earlier workers could not be looked for"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn try_end(connect: &dyn Connect, incarnations: &Incarnations) -> Result<(), BrokerError> {
    let broker = connect.inspector().await?;
    // What this process names is noted before it is registered, so that none of its own is taken for an earlier one.
    for worker in broker.workers().await? {
        if incarnations.is_earlier(&worker.incarnation) {
            let count = broker.end(&worker.incarnation).await?;
            tracing::info!(
                worker = worker.incarnation,
                count,
                "an earlier worker of this pod has ended: its messages are back in their queues"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_earlier_processes_of_the_same_pod_are_earlier_ones() {
        let incarnations = Incarnations::of("pod-1".to_owned());
        let own = incarnations.name();
        assert!(incarnations.is_earlier("pod-1-0123abcd"));
        for other in [own.as_str(), "pod-1", "pod-1-", "pod-10-0123abcd", "pod-1-2-0123abcd", "pod-1-0123abc"]
        {
            assert!(!incarnations.is_earlier(other), "{other}");
        }
    }
}
