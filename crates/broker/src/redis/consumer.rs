//! What a worker does with messages on Redis.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use async_trait::async_trait;
use petiole_protocol::keys::ResultKeys;
use petiole_results::redis::{Connection, GroupKeys};

use super::exchanges::Exchanges;
use super::keys::Keys;
use super::under_way::UnderWay;
use super::watch::Watch;
use super::{Config, Queue, during, tag};
use crate::{BrokerError, Consumer, Delivery, Disposition, Settled, Settlement, Tag};

/// What a worker does with messages on Redis. It needs a registered lease: see [`super::RedisLease`].
#[derive(Debug)]
pub struct RedisConsumer {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    /// The worker's name.
    pub(super) worker: String,
    /// What stands before the sequence number in its tags.
    pub(super) tag_prefix: String,
    pub(super) queues: Vec<Queue>,
    /// The lists of all queues in the order in which they are emptied, each with its queue's index.
    pub(super) lists: Vec<(String, usize)>,
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
        let Config { broker, results, worker, timeouts, .. } = config;
        let keys = Keys::new(broker.key_prefix());
        let queues = Queue::all(&keys, &worker);
        let results = results.map(|results| ResultsHere::of(&broker, &results)).transpose()?.flatten();
        let consumer = Self {
            lists: in_order(&keys, &queues),
            tag_prefix: tag::prefix(&worker.incarnation),
            worker: worker.incarnation,
            watch: Watch::new(&broker, timeouts, &keys, &queues),
            connection: Connection::new(broker, timeouts),
            keys,
            queues,
            results,
            under_way: UnderWay::default(),
            suspects: Mutex::default(),
            unanswered: Mutex::default(),
            answered: Mutex::default(),
            exchanges: Exchanges::default(),
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

/// The most urgent step of all queues first, as kombu does; within a step, the queues in their order.
fn in_order(keys: &Keys, queues: &[Queue]) -> Vec<(String, usize)> {
    let all = queues.iter().enumerate();
    let mut lists: Vec<_> = all
        .flat_map(|(index, queue)| queue.name.priority_steps.iter().map(move |step| (*step, index)))
        .collect();
    lists.sort_unstable();
    lists
        .into_iter()
        .map(|(step, index)| (keys.celery().list(&queues[index].name.name, step), index))
        .collect()
}

#[async_trait]
impl Consumer for RedisConsumer {
    async fn receive(&self, want: usize) -> Result<Vec<Delivery>, BrokerError> {
        let deliveries = self.take(want).await?;
        if !deliveries.is_empty() {
            self.watch.found();
        }
        Ok(deliveries)
    }

    async fn wait(&self) {
        self.watch.wait().await;
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
