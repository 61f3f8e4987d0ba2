//! The real connections: broker and store on Redis, at the endpoints that the pool's file names.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use petiole_broker::redis::{
    Config, MailboxConfig, RedisConsumer, RedisInspector, RedisLease, RedisMailbox, RedisRevocations,
    Timeouts,
};
use petiole_broker::{
    BrokerError, Inspector, Intake, Lease, Mailbox, Node, Order, QueueName, Revocations, Worker,
};
use petiole_contract::pool::{self, Pool};
use petiole_process::log::Chain;
use petiole_results::Store;
use petiole_results::redis::{Endpoint, RedisStore};

use crate::connect::{Connect, Holder};
use crate::endpoint::endpoint;

/// Connects to the broker and the store of a pool.
#[derive(Debug)]
pub struct RedisConnect {
    broker: pool::Endpoint,
    results: Option<pool::Endpoint>,
    worker: Worker,
    intake: Intake,
    visibility_timeout: Duration,
}

impl RedisConnect {
    /// For a worker on this host, or in this pod.
    pub fn new(pool: &Pool, host: String) -> Self {
        let queue = |queue: &pool::Queue| {
            let name = QueueName {
                name: queue.name.clone(),
                priority_steps: queue.priority_steps.clone(),
                dead_letter: queue.dead_letter.clone(),
            };
            (name, queue.weight)
        };
        let order = match pool.order {
            pool::Order::Strict => Order::Strict,
            pool::Order::Weighted => Order::Weighted,
        };
        let intake = Intake::new(order, pool.queues.iter().map(queue));
        // The messages of one database are restored together, so the most patient of its queues decides.
        let visibility_timeout =
            pool.queues.iter().map(|queue| queue.visibility_timeout).max().unwrap_or_default();
        Self {
            broker: pool.broker.clone(),
            results: pool.results.as_ref().map(|results| results.store.clone()),
            worker: Worker {
                incarnation: String::new(),
                namespace: pool.namespace.clone(),
                pool: pool.name.clone(),
                host,
                queues: intake.queues(),
            },
            intake,
            visibility_timeout: Duration::from_secs(visibility_timeout),
        }
    }

    fn config(&self, incarnation: &str) -> Result<Config, BrokerError> {
        let worker = Worker { incarnation: incarnation.to_owned(), ..self.worker.clone() };
        Ok(Config {
            results: self.results.as_ref().map(|results| read(results, "results")).transpose()?,
            intake: self.intake.clone(),
            visibility_timeout: self.visibility_timeout,
            ..Config::new(read(&self.broker, "broker")?, worker)
        })
    }
}

fn read(named: &pool::Endpoint, whose: &str) -> Result<Endpoint, BrokerError> {
    endpoint(named).map_err(|error| BrokerError::Endpoint(format!("the {whose}: {}", Chain(&error))))
}

#[async_trait]
impl Connect for RedisConnect {
    fn intake(&self) -> Intake {
        self.intake.clone()
    }

    async fn lease(&self, incarnation: &str) -> Result<Arc<dyn Lease>, BrokerError> {
        Ok(Arc::new(RedisLease::register(self.config(incarnation)?).await?))
    }

    async fn consumer(&self, incarnation: &str) -> Result<Arc<dyn Holder>, BrokerError> {
        Ok(Arc::new(RedisConsumer::connect(self.config(incarnation)?).await?))
    }

    async fn store(&self) -> Result<Option<Arc<dyn Store>>, BrokerError> {
        let Some(results) = &self.results else { return Ok(None) };
        Ok(Some(Arc::new(RedisStore::new(read(results, "results")?, Timeouts::default()))))
    }

    async fn mailbox(&self, nodename: &str) -> Result<Arc<dyn Mailbox>, BrokerError> {
        let config = MailboxConfig::new(read(&self.broker, "broker")?, Node::new(nodename));
        Ok(Arc::new(RedisMailbox::new(config)))
    }

    async fn revocations(&self) -> Result<Arc<dyn Revocations>, BrokerError> {
        Ok(Arc::new(RedisRevocations::new(read(&self.broker, "broker")?, Timeouts::default())))
    }

    async fn inspector(&self) -> Result<Arc<dyn Inspector>, BrokerError> {
        Ok(Arc::new(RedisInspector::new(read(&self.broker, "broker")?, Timeouts::default())))
    }
}
