//! What a worker does with messages on Redis.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, RwLock};

use async_trait::async_trait;
use petiole_protocol::keys::ResultKeys;
use petiole_results::redis::{Connection, GroupKeys};

use super::exchanges::Exchanges;
use super::keys::Keys;
use super::rates::NextTurn;
use super::table::Table;
use super::under_way::UnderWay;
use super::watch::Watch;
use super::weigh::Weights;
use super::{Config, Queue, during, tag};
use crate::{Begun, BrokerError, Consumer, Delivery, Disposition, Intake, Settled, Settlement, Tag, Worker};

/// What a worker does with messages on Redis. It needs a registered lease: see [`super::RedisLease`].
#[derive(Debug)]
pub struct RedisConsumer {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    /// The worker's name.
    pub(super) worker: String,
    /// What stands before the sequence number in its tags.
    pub(super) tag_prefix: String,
    /// What else is known of it; its queues stand in `intake`.
    pub(super) worker_known: Worker,
    /// What it takes.
    pub(super) intake: Intake,
    /// Its queues, as far as they are written down.
    pub(super) table: RwLock<Arc<Table>>,
    /// Hash: when the tasks of its pool have started last.
    pub(super) gates: String,
    pub(super) turn: NextTurn,
    /// Where results go, when they go by the commit.
    pub(super) results: Option<ResultsHere>,
    pub(super) under_way: UnderWay,
    /// What the last `adopt` found held but not known.
    pub(super) suspects: Mutex<HashSet<Tag>>,
    /// What was settled, or not: the answer was lost.
    pub(super) unanswered: Mutex<HashMap<Tag, Disposition>>,
    /// Marks of what was done once, and answered: the server need not keep them any more.
    pub(super) answered: Mutex<Vec<String>>,
    pub(super) exchanges: Exchanges,
    pub(super) weights: Weights,
    watch: Watch,
}

/// A result store on the broker's own server.
#[derive(Debug)]
pub(super) struct ResultsHere {
    pub(super) db: i64,
    pub(super) keys: ResultKeys,
    pub(super) groups: GroupKeys,
}

impl RedisConsumer {
    /// Connects a worker. Its lease must have been registered.
    pub async fn connect(config: Config) -> Result<Self, BrokerError> {
        config.check()?;
        let Config { broker, results, worker, intake, timeouts, .. } = config;
        let keys = Keys::new(broker.key_prefix());
        let queues = Queue::all(&keys, &Worker { queues: intake.queues(), ..worker.clone() });
        let results = results.map(|results| ResultsHere::of(&broker, &results)).transpose()?.flatten();
        let consumer = Self {
            tag_prefix: tag::prefix(&worker.incarnation),
            gates: keys.gates(&worker),
            worker: worker.incarnation.clone(),
            worker_known: worker,
            intake,
            watch: Watch::new(&broker, timeouts, &keys),
            connection: Connection::new(broker, timeouts),
            keys,
            table: RwLock::new(Arc::new(Table::unknown(queues))),
            turn: NextTurn::default(),
            results,
            under_way: UnderWay::default(),
            suspects: Mutex::default(),
            unanswered: Mutex::default(),
            answered: Mutex::default(),
            exchanges: Exchanges::default(),
            weights: Weights::default(),
        };
        let _: String =
            consumer.connection.query(&redis::cmd("PING")).await.map_err(during("connect to the broker"))?;
        Ok(consumer)
    }
}

impl ResultsHere {
    fn of(broker: &super::Endpoint, results: &super::Endpoint) -> Result<Option<Self>, BrokerError> {
        let same = broker.is_server_of(results).map_err(|source| BrokerError::Unreachable {
            doing: "read the credentials of the broker and the result store",
            source: Box::new(source),
        })?;
        let prefix = results.key_prefix();
        let here =
            || Self { db: results.db(), keys: ResultKeys::new(prefix), groups: GroupKeys::new(prefix) };
        Ok(same.then(here))
    }
}

#[async_trait]
impl Consumer for RedisConsumer {
    async fn receive_for(&self, want: usize, begun: &Begun) -> Result<Vec<Delivery>, BrokerError> {
        let deliveries = self.take(want, begun).await?;
        if !deliveries.is_empty() {
            self.watch.found();
        }
        Ok(deliveries)
    }

    async fn wait(&self) {
        let (version, table) = (self.intake.version(), self.table());
        let taken = self.intake.plan(0, table.queues.len()).order;
        let queues: Vec<_> = taken.iter().filter_map(|index| table.queues.get(*index)).collect();
        tokio::select! {
            () = self.watch.wait(&queues) => {}
            () = self.turn.wait() => {}
            () = self.intake.changed_since(table.version().unwrap_or(version)) => {}
        }
    }

    fn stores_results(&self) -> bool {
        self.results.is_some()
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, BrokerError> {
        self.settle_all(batch).await
    }

    async fn adopt(&self, knows: &(dyn Fn(Tag) -> bool + Sync)) -> Result<Vec<Delivery>, BrokerError> {
        self.take_up(knows).await
    }
}
