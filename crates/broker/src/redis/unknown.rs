//! A worker of which nothing is known but its lease: what stood in the table of workers is gone, or cannot be read. Its
//! queues are found by what it holds, since `unacked` says the queue of each message. That table may be long, so it is
//! looked through in steps, some of them at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use petiole_protocol::keys::PRIORITY_STEPS;
use petiole_results::redis::Connection;

use super::abandoned;
use super::keys::Keys;
use super::{during, tag};
use crate::{BrokerError, QueueName, Worker};

/// About how many entries of `unacked` Redis looks at in one step: some 0.2 ms.
const STEP: usize = 500;

/// How many steps one call makes, so that it does not keep its caller from renewing a lease.
const ROUND: usize = 100;

/// Looks for what such workers held. Each of them takes as many calls as it takes.
#[derive(Debug, Default)]
pub(super) struct Unknown(Mutex<HashMap<String, Search>>);

/// How far the search for a worker's queues has come.
#[derive(Debug, Default)]
struct Search {
    cursor: u64,
    queues: BTreeSet<String>,
}

impl Unknown {
    /// Goes on looking for what this worker held, whose lease was ended for good. Once all has been looked through, a
    /// worker with the queues that were found and with all that others have: as good as what was written down.
    pub(super) async fn look(
        &self,
        connection: &Connection,
        keys: &Keys,
        incarnation: &str,
    ) -> Result<Option<Worker>, BrokerError> {
        // A step that fails begins the search anew.
        let mut search = self.searches().remove(incarnation).unwrap_or_default();
        for _ in 0..ROUND {
            search.step(connection, keys, incarnation).await?;
            if search.cursor == 0 {
                return search.worker(connection, keys, incarnation).await.map(Some);
            }
        }
        self.searches().insert(incarnation.to_owned(), search);
        Ok(None)
    }

    fn searches(&self) -> std::sync::MutexGuard<'_, HashMap<String, Search>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Search {
    async fn step(
        &mut self,
        connection: &Connection,
        keys: &Keys,
        incarnation: &str,
    ) -> Result<(), BrokerError> {
        let mut scan = redis::cmd("HSCAN");
        scan.arg(keys.celery().unacked()).arg(self.cursor);
        scan.arg("MATCH").arg(format!("{}*", literal(&tag::prefix(incarnation)))).arg("COUNT").arg(STEP);
        let (cursor, found): (u64, Vec<(String, Vec<u8>)>) =
            connection.query(&scan).await.map_err(during("look for what a worker held"))?;
        self.cursor = cursor;
        for (tag, entry) in found {
            if let Some((_, _, queue)) = abandoned::parts(&entry) {
                self.queues.insert(queue);
            } else {
                tracing::warn!(tag, "an entry of unacked is not one of ours; it is left alone");
            }
        }
        Ok(())
    }

    /// The steps of a queue's priorities are what others say of it, and kombu's where nobody does.
    async fn worker(
        self,
        connection: &Connection,
        keys: &Keys,
        incarnation: &str,
    ) -> Result<Worker, BrokerError> {
        let mut ask = redis::cmd("HVALS");
        ask.arg(keys.workers());
        let known: Vec<String> =
            connection.query(&ask).await.map_err(during("look for what a worker held"))?;
        let workers = known.iter().filter_map(|known| serde_json::from_str::<Worker>(known).ok());
        let mut queues: BTreeMap<String, QueueName> =
            workers.flat_map(|worker| worker.queues).map(|queue| (queue.name.clone(), queue)).collect();
        for name in self.queues {
            queues.entry(name.clone()).or_insert_with(|| QueueName {
                name,
                priority_steps: PRIORITY_STEPS.to_vec(),
                dead_letter: String::new(),
            });
        }
        let queues = queues.into_values().collect();
        Ok(Worker { incarnation: incarnation.to_owned(), queues, ..Worker::default() })
    }
}

/// A pattern that matches this text alone.
fn literal(text: &str) -> String {
    let special = |char| matches!(char, '*' | '?' | '[' | '\\');
    text.chars().flat_map(|char| special(char).then_some('\\').into_iter().chain([char])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_matched_as_it_stands() {
        assert_eq!(literal("petiole:pod.1_a:"), "petiole:pod.1_a:");
        assert_eq!(literal(r"a*[b]\c"), r"a\*\[b]\\c");
    }
}
