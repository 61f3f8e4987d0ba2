//! A Redis server of its own for each test.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use petiole_broker::conformance::{Checked, Member, Subject, queue};
use petiole_broker::dead_letter::DeadLetters;
use petiole_broker::exchange::Binding;
use petiole_broker::redis::{
    Config, Endpoint, MailboxConfig, RedisConsumer, RedisDeadLetters, RedisInspector, RedisLease,
    RedisMailbox, RedisRevocations, Timeouts,
};
use petiole_broker::{Address, Inspector, Intake, Mailbox, Node, QueueName, Revocations, Worker, message};
use petiole_protocol::keys::{self, BrokerKeys, SEPARATOR};
use petiole_results::Store;
use petiole_results::redis::{Connection, RedisStore};
use petiole_testkit::proxy::Proxy;
use petiole_testkit::redis::{Server, Settings};
use petiole_testkit::wait::until;
use redis::{FromRedisValue, cmd};

/// How long a test waits for what must come.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// Short, so that tests are; long beside what a busy machine delays.
pub(super) const BEAT: Duration = Duration::from_millis(400);
pub(super) const LEASE: Duration = Duration::from_millis(1600);

pub(super) struct Redis {
    pub(super) server: Server,
    pub(super) proxy: Proxy,
    pub(super) broker: Endpoint,
    pub(super) results: Endpoint,
    /// Not by the proxy.
    pub(super) admin: Connection,
    pub(super) keys: BrokerKeys,
}

pub(super) async fn redis() -> Redis {
    Redis::start(Settings::default(), 0, 0, "", "").await
}

pub(super) async fn redis_apart() -> Redis {
    Redis::start(Settings::default(), 2, 5, "{celery}:", "app").await
}

impl Redis {
    pub(super) async fn start(
        settings: Settings,
        broker_db: u8,
        results_db: u8,
        broker_prefix: &str,
        results_prefix: &str,
    ) -> Self {
        let server = settings.start().unwrap();
        let proxy = Proxy::start(server.port()).await.unwrap();
        let address = |port: u16, db: u8| Endpoint::parse(&format!("redis://127.0.0.1:{port}/{db}")).unwrap();
        Self {
            admin: Connection::new(address(server.port(), broker_db), Timeouts::default()),
            broker: address(proxy.port(), broker_db).with_key_prefix(broker_prefix),
            results: address(proxy.port(), results_db).with_key_prefix(results_prefix),
            keys: BrokerKeys::new(broker_prefix),
            server,
            proxy,
        }
    }

    /// A worker's settings.
    pub(super) fn config(&self, incarnation: &str) -> Config {
        let worker = Worker {
            incarnation: incarnation.to_owned(),
            queues: vec![queue("mail"), queue("print")],
            ..Worker::default()
        };
        Config {
            results: Some(self.results.clone()),
            beat: BEAT,
            lease: LEASE,
            ..Config::new(self.broker.clone(), worker)
        }
    }

    /// Asks the server something.
    pub(super) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        self.admin.query(&command).await.unwrap()
    }

    pub(super) async fn time(&self) -> Duration {
        let (seconds, microseconds): (u64, u32) = self.ask(&["TIME"]).await;
        Duration::new(seconds, microseconds * 1000)
    }
}

/// Registers a worker, and connects it.
pub(super) async fn join(config: Config) -> Result<Member, petiole_broker::BrokerError> {
    let lease = RedisLease::register(config.clone()).await?;
    let consumer = Arc::new(RedisConsumer::connect(config).await?);
    Ok(Member {
        consumer: consumer.clone(),
        attempts: consumer.clone(),
        parking: consumer.clone(),
        rates: consumer,
        lease: Arc::new(lease),
    })
}

#[async_trait(?Send)]
impl Subject for Redis {
    async fn register(&self, worker: Worker, intake: Intake) -> Checked<Member> {
        let config = Config { worker, intake, ..self.config("") };
        Ok(join(config).await?)
    }

    fn mailbox(&self, node: &str) -> Arc<dyn Mailbox> {
        Arc::new(RedisMailbox::new(MailboxConfig::new(self.broker.clone(), Node::new(node))))
    }

    async fn bound(&self, from: &Address) -> Checked<Vec<String>> {
        let mut bindings: Vec<String> = self.ask(&["SMEMBERS", &self.keys.bindings(&from.exchange)]).await;
        bindings.sort();
        let queue = |binding: &String| {
            let [key, _, queue] = binding.split(SEPARATOR).collect::<Vec<_>>()[..] else { return None };
            (key == from.routing_key).then(|| queue.to_owned())
        };
        Ok(bindings.iter().filter_map(queue).collect())
    }

    fn revocations(&self) -> Arc<dyn Revocations> {
        Arc::new(RedisRevocations::new(self.broker.clone(), Timeouts::default()))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::new(RedisDeadLetters::new(self.broker.clone(), Timeouts::default()))
    }

    fn inspector(&self) -> Arc<dyn Inspector> {
        Arc::new(RedisInspector::new(self.broker.clone(), Timeouts::default()))
    }

    async fn publish(&self, queue: &QueueName, raw: &str) -> Checked {
        let step = message::step(raw.as_bytes(), &queue.priority_steps);
        let _: u64 = self.ask(&["LPUSH", &self.keys.list(&queue.name, step), raw]).await;
        Ok(())
    }

    async fn celery_holds(&self, queue: &QueueName, raw: &str) -> Checked {
        let tag = uuid::Uuid::new_v4().to_string();
        let entry = format!("[{raw}, \"\", {}]", serde_json::to_string(&queue.name)?);
        let _: u64 = self.ask(&["HSET", &self.keys.unacked(), &tag, &entry]).await;
        let _: u64 = self.ask(&["ZADD", &self.keys.unacked_index(), "1764000000.5", &tag]).await;
        Ok(())
    }

    async fn waiting(&self, queue: &str, step: u8) -> Checked<Vec<String>> {
        let mut waiting: Vec<String> = self.ask(&["LRANGE", &self.keys.list(queue, step), "0", "-1"]).await;
        waiting.reverse();
        Ok(waiting)
    }

    async fn document(&self, task_id: &str) -> Checked<Option<String>> {
        Ok(RedisStore::new(self.results.clone(), Timeouts::default()).load(task_id).await?)
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(RedisStore::new(self.results.clone(), Timeouts::default()))
    }

    async fn bind(&self, exchange: &str, binding: Binding) -> Checked {
        let Binding { routing_key, topic, queue } = binding;
        let pattern = if topic { "^.*$" } else { "" };
        let member = keys::binding(&routing_key, pattern, &queue);
        let _: u64 = self.ask(&["SADD", &self.keys.bindings(exchange), &member]).await;
        Ok(())
    }

    async fn now(&self) -> Checked<Timestamp> {
        Ok(Timestamp::UNIX_EPOCH + self.time().await)
    }

    async fn pass(&self, time: Duration) -> Checked {
        // What expires in a millisecond is still there in it.
        let end = self.time().await + time + Duration::from_millis(1);
        until("the time to pass", time + LIMIT, async || match self.time().await {
            now if now > end => Ok(()),
            now => Err(end.saturating_sub(now)),
        })
        .await?;
        Ok(())
    }

    fn lease(&self) -> Duration {
        LEASE
    }

    async fn cut(&self) -> Checked {
        for kind in ["normal", "pubsub"] {
            let _: u64 = self.ask(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
        }
        Ok(())
    }

    async fn lose_answers(&self) -> Checked {
        self.proxy.lose_answers();
        Ok(())
    }

    async fn answer_again(&self) -> Checked {
        self.proxy.answer_again();
        Ok(())
    }
}
