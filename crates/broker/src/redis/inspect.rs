//! What the operator sees and does: depths, workers, their end, hazards.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use petiole_results::redis::Connection;

use super::keys::{Keys, SCHEMA};
use super::lease::known_schema;
use super::remote::{Ear, Heard};
use super::scripts::{DEPTHS, END, LOADS, WISH};
use super::unacked::{Found, Unacked};
use super::unknown::Unknown;
use super::{Endpoint, Timeouts, during, give_up, milliseconds, restore};
use crate::lost::End;
use crate::{BrokerError, Depth, Hazard, Inspector, QueueName, Report, SOON, Wish, Worker};

/// How many queues one script counts, or workers it tells: some half a millisecond of Redis' time. The scripts of one
/// question travel together.
const BATCH: usize = 64;

/// What the operator sees and does on Redis.
#[derive(Debug)]
pub struct RedisInspector {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    /// For what Celery's own workers say (`remote.rs`).
    pub(super) ear: Ear,
    unacked: Unacked,
}

impl RedisInspector {
    /// An inspector of this broker. It connects when it is first used.
    pub fn new(broker: Endpoint, timeouts: Timeouts) -> Self {
        let (keys, heard) = (Keys::new(broker.key_prefix()), Arc::new(Heard::default()));
        let ear = Ear::new(heard.clone());
        let connection =
            Connection::new(broker, timeouts).with_pushes(Arc::new(move |push| heard.hear(push)));
        Self { connection, keys, ear, unacked: Unacked::default() }
    }

    /// Goes on counting what Celery's workers hold, when it is time to.
    async fn count_unacked(&self) {
        let Some((number, step)) = self.unacked.step(&self.keys, Instant::now()) else { return };
        match self.connection.run::<Found>(step).await {
            Ok(found) => self.unacked.found(number, found, Instant::now()),
            Err(error) if error.is_refusal() => {
                if self.unacked.refused() {
                    tracing::warn!(%error, "what Celery's workers hold cannot be counted");
                }
            }
            // The next question takes the same step. That the broker is away is said by what is asked with it.
            Err(error) => tracing::debug!(%error, "what Celery's workers hold could not be counted"),
        }
    }

    async fn info(&self, section: &str) -> Result<HashMap<String, String>, BrokerError> {
        let mut ask = redis::cmd("INFO");
        ask.arg(section);
        let text: String = self.connection.query(&ask).await.map_err(during("read the broker's settings"))?;
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// Whose lease was ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nobody's: there was none.
    Nobody,
    /// This worker's.
    Known(Box<Worker>),
    /// A worker's of whom nothing else is known.
    Unknown,
}

/// Ends a worker's lease for good.
pub(super) async fn end(
    connection: &Connection,
    keys: &Keys,
    incarnation: &str,
    how: End,
) -> Result<Ended, BrokerError> {
    let mut call = END.call(5);
    call.arg(keys.schema()).arg(keys.leases()).arg(keys.workers()).arg(keys.started(incarnation));
    call.arg(keys.begun(incarnation));
    call.arg(SCHEMA).arg(incarnation).arg(u8::from(how == End::GivenUp));
    let (schema, found, known): (u64, bool, Option<String>) =
        connection.run(call).await.map_err(during("end a lease"))?;
    known_schema(schema)?;
    if !found {
        return Ok(Ended::Nobody);
    }
    Ok(match read_worker(incarnation, known.as_deref()) {
        Some(worker) => Ended::Known(Box::new(worker)),
        None => Ended::Unknown,
    })
}

/// Reads what a worker has written about itself.
pub(super) fn read_worker(incarnation: &str, known: Option<&str>) -> Option<Worker> {
    let read = known.map(serde_json::from_str::<Worker>);
    match read {
        Some(Ok(worker)) => Some(Worker { incarnation: incarnation.to_owned(), ..worker }),
        Some(Err(error)) => {
            tracing::warn!(worker = incarnation, %error, "what is known of a worker cannot be read");
            None
        }
        None => {
            tracing::warn!(worker = incarnation, "a lease has no worker");
            None
        }
    }
}

#[async_trait]
impl Inspector for RedisInspector {
    async fn depths(&self, queues: &[QueueName]) -> Result<Vec<Depth>, BrokerError> {
        let celery = self.keys.celery();
        let calls: Vec<_> = queues
            .chunks(BATCH)
            .map(|batch| {
                let mut call = DEPTHS.call(batch.iter().map(|queue| 3 + queue.priority_steps.len()).sum());
                for queue in batch {
                    call.arg(self.keys.parked(&queue.name)).arg(celery.list(&queue.dead_letter, 0));
                    call.arg(self.keys.consumers(&queue.name));
                    call.arg(celery.lists(&queue.name, &queue.priority_steps));
                }
                call.arg(self.keys.held_head());
                for queue in batch {
                    call.arg(queue.priority_steps.len()).arg(Keys::held_tail(&queue.name));
                }
                call.arg(milliseconds(SOON));
                call
            })
            .collect();
        // Both are on their way before either is answered. They are not one pipeline, so that a server that refuses the one
        // still counts the other.
        let (counted, ()) = tokio::join!(self.connection.run_all(&calls), self.count_unacked());
        let counted: Vec<Vec<(u64, u64, u64, u64, u64, u64)>> = counted.map_err(during("count messages"))?;
        let depth = |((ready, reserved, scheduled, due, dead, consumers), queue): (_, &QueueName)| Depth {
            ready,
            reserved,
            unacked: self.unacked.of(&queue.name),
            scheduled,
            due,
            dead,
            consumers,
        };
        Ok(counted.into_iter().flatten().zip(queues).map(depth).collect())
    }

    async fn workers(&self) -> Result<Vec<Worker>, BrokerError> {
        let mut ask = redis::pipe();
        ask.cmd("ZRANGE").arg(self.keys.leases()).arg(0).arg(-1);
        ask.cmd("HGETALL").arg(self.keys.workers());
        let (leases, known): (Vec<String>, HashMap<String, String>) =
            self.connection.query_all(&ask).await.map_err(during("list the workers"))?;
        Ok(leases.iter().filter_map(|name| read_worker(name, known.get(name).map(String::as_str))).collect())
    }

    async fn loads(&self) -> Result<Vec<Report>, BrokerError> {
        let mut call = LOADS.call(1);
        call.arg(self.keys.leases()).arg(self.keys.load_head());
        let said: Vec<String> =
            self.connection.run(call).await.map_err(during("ask how busy workers are"))?;
        let read = |text: &String| {
            // A newer worker may say it in another way.
            serde_json::from_str(text)
                .inspect_err(|error| tracing::debug!(%error, "a load cannot be read"))
                .ok()
        };
        Ok(said.iter().filter_map(read).collect())
    }

    async fn wish(&self, wishes: &[(String, Wish)], lasts: Duration) -> Result<(), BrokerError> {
        let calls: Vec<_> = wishes
            .chunks(BATCH)
            .map(|batch| {
                let mut call = WISH.call(1 + batch.len());
                call.arg(self.keys.leases());
                for (worker, _) in batch {
                    call.arg(self.keys.wish(worker));
                }
                call.arg(milliseconds(lasts));
                for (worker, wish) in batch {
                    call.arg(worker).arg(u8::from(*wish == Wish::Drain));
                }
                call
            })
            .collect();
        let _: Vec<u64> =
            self.connection.run_all(&calls).await.map_err(during("say what workers are to do"))?;
        Ok(())
    }

    async fn end(&self, incarnation: &str) -> Result<usize, BrokerError> {
        let (connection, keys) = (&self.connection, &self.keys);
        let worker = match end(connection, keys, incarnation, End::Known).await? {
            Ended::Nobody => return Ok(0),
            Ended::Known(worker) => *worker,
            Ended::Unknown => {
                let unknown = Unknown::default();
                loop {
                    if let Some(worker) = unknown.look(connection, keys, incarnation).await? {
                        break worker;
                    }
                }
            }
        };
        restore::restore(connection, keys, &worker, End::Known).await
    }

    async fn give_up(&self, queue: &QueueName) -> Result<usize, BrokerError> {
        give_up::give_up(&self.connection, &self.keys, queue).await
    }

    async fn hazards(&self) -> Result<Vec<Hazard>, BrokerError> {
        let (memory, cluster) = (self.info("memory").await?, self.info("cluster").await?);
        let mut hazards = Vec::new();
        let policy = memory.get("maxmemory_policy").map_or("noeviction", String::as_str);
        if memory.get("maxmemory").is_some_and(|limit| limit != "0") && policy != "noeviction" {
            hazards.push(Hazard {
                reason: "EvictsKeys",
                message: format!(
                    "maxmemory-policy is {policy}: Redis throws messages or results away when its memory is \
                     full. Set maxmemory-policy noeviction"
                ),
            });
        }
        if cluster.get("cluster_enabled").is_some_and(|enabled| enabled == "1") {
            hazards.push(Hazard {
                reason: "ClusterMode",
                message: "the broker is a Redis Cluster, which Celery cannot use: a command's keys lie on \
                          several nodes. Use a single server, or Sentinel"
                    .to_owned(),
            });
        }
        Ok(hazards)
    }
}
