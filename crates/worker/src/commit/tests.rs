//! The checks on settling, against results that are apart from the broker: in memory, and on two Redis servers.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use petiole_broker::conformance::{Checked, Member, Subject};
use petiole_broker::dead_letter::DeadLetters;
use petiole_broker::exchange::Binding;
use petiole_broker::memory::{Fault, MemoryBroker};
use petiole_broker::redis::{
    Config, Endpoint, MailboxConfig, RedisConsumer, RedisDeadLetters, RedisInspector, RedisLease,
    RedisMailbox, RedisRevocations, Timeouts,
};
use petiole_broker::{
    Address, Attempts, Begun, Delivery, Inspector, Intake, LEASE, Lease, Mailbox, Node, Parking, QueueName,
    Rates, Revocations, Worker, message,
};
use petiole_protocol::keys::{self, BrokerKeys};
use petiole_results::memory::MemoryStore;
use petiole_results::redis::{Connection, RedisStore};
use petiole_testkit::redis::Server;
use petiole_testkit::wait::until;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

/// A worker's side of the broker, settling as the worker does.
struct Settling(Committer);

#[async_trait]
impl Consumer for Settling {
    async fn receive_for(&self, want: usize, begun: &Begun) -> Result<Vec<Delivery>, BrokerError> {
        self.0.consumer.receive_for(want, begun).await
    }

    async fn wait(&self) {
        self.0.consumer.wait().await;
    }

    /// By the committer.
    fn stores_results(&self) -> bool {
        true
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, BrokerError> {
        self.0.settled(batch).await.ok_or(BrokerError::LeaseLost)
    }

    async fn adopt(&self, knows: &(dyn Fn(Tag) -> bool + Sync)) -> Result<Vec<Delivery>, BrokerError> {
        self.0.consumer.adopt(knows).await
    }
}

fn member<T>(consumer: Arc<T>, lease: Arc<dyn Lease>, store: Arc<dyn Store>) -> Member
where
    T: Consumer + Attempts + Parking + Rates + 'static,
{
    assert!(!consumer.stores_results());
    let settling = Settling(Committer { consumer: consumer.clone(), store: Some(store) });
    Member {
        consumer: Arc::new(settling),
        attempts: consumer.clone(),
        parking: consumer.clone(),
        rates: consumer,
        lease,
    }
}

struct Memory {
    broker: MemoryBroker,
    store: MemoryStore,
    /// The clock: milliseconds.
    now: Arc<AtomicU64>,
}

fn in_memory() -> Ready<Memory> {
    let now = Arc::new(AtomicU64::new(1_700_000_000_000));
    let (read, since) = (now.clone(), now.clone());
    let wall = move || Timestamp::UNIX_EPOCH + Duration::from_millis(read.load(Ordering::SeqCst));
    let store = MemoryStore::new(Arc::new(move || Duration::from_millis(since.load(Ordering::SeqCst))));
    ready(Memory { broker: MemoryBroker::new(Arc::new(wall), None), store, now })
}

#[async_trait(?Send)]
impl Subject for Memory {
    async fn register(&self, worker: Worker, intake: Intake) -> Checked<Member> {
        let worker = Arc::new(self.broker.register_with(worker, intake)?);
        Ok(member(worker.clone(), worker, self.store()))
    }

    fn mailbox(&self, node: &str) -> Arc<dyn Mailbox> {
        Arc::new(self.broker.mailbox(Node::new(node)))
    }

    async fn bound(&self, from: &Address) -> Checked<Vec<String>> {
        Ok(self.broker.bound(from))
    }

    fn revocations(&self) -> Arc<dyn Revocations> {
        Arc::new(self.broker.clone())
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::new(self.broker.clone())
    }

    fn inspector(&self) -> Arc<dyn Inspector> {
        Arc::new(self.broker.clone())
    }

    async fn publish(&self, queue: &QueueName, raw: &str) -> Checked {
        self.broker.publish(queue, raw);
        Ok(())
    }

    async fn celery_holds(&self, queue: &QueueName, _: &str) -> Checked {
        self.broker.celery_holds(queue);
        Ok(())
    }

    async fn waiting(&self, queue: &str, step: u8) -> Checked<Vec<String>> {
        let waiting = self.broker.waiting(queue, step).into_iter().map(String::from_utf8);
        Ok(waiting.collect::<Result<_, _>>()?)
    }

    async fn document(&self, task_id: &str) -> Checked<Option<String>> {
        Ok(self.store.get(task_id))
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn bind(&self, exchange: &str, binding: Binding) -> Checked {
        self.broker.bind(exchange, binding);
        Ok(())
    }

    async fn now(&self) -> Checked<Timestamp> {
        Ok(Timestamp::UNIX_EPOCH + Duration::from_millis(self.now.load(Ordering::SeqCst)))
    }

    async fn pass(&self, time: Duration) -> Checked {
        self.now.fetch_add(u64::try_from(time.as_millis())?, Ordering::SeqCst);
        Ok(())
    }

    fn lease(&self) -> Duration {
        LEASE
    }

    async fn cut(&self) -> Checked {
        self.broker.cut();
        Ok(())
    }

    async fn lose_answers(&self) -> Checked {
        self.broker.set_fault(Fault::Mute);
        Ok(())
    }

    async fn answer_again(&self) -> Checked {
        self.broker.set_fault(Fault::None);
        Ok(())
    }
}

struct Redis {
    broker: Server,
    results: Server,
    admin: Connection,
}

fn on_redis() -> Ready<Redis> {
    let (broker, results) = (Server::start().unwrap(), Server::start().unwrap());
    let admin = Connection::new(Endpoint::parse(&broker.url()).unwrap(), Timeouts::default());
    ready(Redis { broker, results, admin })
}

impl Redis {
    async fn time(&self) -> Duration {
        let time: (u64, u32) = self.admin.query(&redis::cmd("TIME")).await.unwrap();
        Duration::new(time.0, time.1 * 1000)
    }
}

#[async_trait(?Send)]
impl Subject for Redis {
    async fn register(&self, worker: Worker, intake: Intake) -> Checked<Member> {
        let results = Some(Endpoint::parse(&self.results.url())?);
        let endpoint = Endpoint::parse(&self.broker.url())?;
        let config = Config { results, intake, ..Config::new(endpoint, worker) };
        let lease = RedisLease::register(config.clone()).await?;
        let consumer = RedisConsumer::connect(config).await?;
        Ok(member(Arc::new(consumer), Arc::new(lease), self.store()))
    }

    fn mailbox(&self, node: &str) -> Arc<dyn Mailbox> {
        let endpoint = Endpoint::parse(&self.broker.url()).unwrap();
        Arc::new(RedisMailbox::new(MailboxConfig::new(endpoint, Node::new(node))))
    }

    async fn bound(&self, from: &Address) -> Checked<Vec<String>> {
        let mut members = redis::cmd("SMEMBERS");
        members.arg(BrokerKeys::default().bindings(&from.exchange));
        let members: Vec<String> = self.admin.query(&members).await?;
        let bound = keys::bound_queues(members.iter().map(String::as_str), &from.routing_key);
        Ok(bound.into_iter().map(str::to_owned).collect())
    }

    fn revocations(&self) -> Arc<dyn Revocations> {
        let endpoint = Endpoint::parse(&self.broker.url()).unwrap();
        Arc::new(RedisRevocations::new(endpoint, Timeouts::default()))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        let endpoint = Endpoint::parse(&self.broker.url()).unwrap();
        Arc::new(RedisDeadLetters::new(endpoint, Timeouts::default()))
    }

    fn inspector(&self) -> Arc<dyn Inspector> {
        let endpoint = Endpoint::parse(&self.broker.url()).unwrap();
        Arc::new(RedisInspector::new(endpoint, Timeouts::default()))
    }

    async fn publish(&self, queue: &QueueName, raw: &str) -> Checked {
        let step = message::step(raw.as_bytes(), &queue.priority_steps);
        let mut push = redis::cmd("LPUSH");
        push.arg(BrokerKeys::default().list(&queue.name, step)).arg(raw);
        let _: u64 = self.admin.query(&push).await?;
        Ok(())
    }

    async fn celery_holds(&self, _: &QueueName, _: &str) -> Checked {
        Err("no check on settling asks for it".into())
    }

    async fn waiting(&self, queue: &str, step: u8) -> Checked<Vec<String>> {
        let mut range = redis::cmd("LRANGE");
        range.arg(BrokerKeys::default().list(queue, step)).arg(0).arg(-1);
        let mut waiting: Vec<String> = self.admin.query(&range).await?;
        waiting.reverse();
        Ok(waiting)
    }

    async fn document(&self, task_id: &str) -> Checked<Option<String>> {
        Ok(self.store().load(task_id).await?)
    }

    fn store(&self) -> Arc<dyn Store> {
        let endpoint = Endpoint::parse(&self.results.url()).unwrap();
        Arc::new(RedisStore::new(endpoint, Timeouts::default()))
    }

    async fn bind(&self, exchange: &str, binding: Binding) -> Checked {
        let pattern = if binding.topic { "^.*$" } else { "" };
        let mut add = redis::cmd("SADD");
        add.arg(BrokerKeys::default().bindings(exchange));
        add.arg(keys::binding(&binding.routing_key, pattern, &binding.queue));
        let _: u64 = self.admin.query(&add).await?;
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

    /// Not here: the committer asks until it is answered.
    async fn cut(&self) -> Checked {
        for kind in ["normal", "pubsub"] {
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg("TYPE").arg(kind).arg("SKIPME").arg("yes");
            let _: u64 = self.admin.query(&kill).await?;
        }
        Ok(())
    }

    async fn lose_answers(&self) -> Checked {
        Err("answers are not lost here".into())
    }

    async fn answer_again(&self) -> Checked {
        Ok(())
    }
}

/// All checks on settlements but those that lose answers, or that wait for an error: the committer tries again.
macro_rules! apart {
    ($topic:ident, $subject:path) => {
        mod $topic {
            petiole_broker::conformance! { $subject;
                settle::an_acknowledged_message_is_gone,
                settle::a_kept_message_stays_held,
                settle::a_record_is_written_with_the_acknowledgement,
                settle::requeued_messages_are_next_in_their_order_and_marked,
                settle::a_message_that_is_given_up_says_why,
                settle::a_message_is_settled_once,
                settle::a_batch_settles_what_is_held_and_leaves_the_rest,
                lease::a_worker_that_is_known_to_have_ended_is_ended_at_once,
                follow_ups::what_is_sent_stands_behind_the_others_of_its_priority,
                follow_ups::an_exchange_feeds_the_queues_that_are_bound_to_it,
                follow_ups::a_message_for_nobody_is_refused_and_nothing_is_written,
                follow_ups::a_lost_lease_writes_nothing_of_all_of_it,
                follow_ups::a_message_that_is_gone_has_nothing_written,
                follow_ups::what_was_acknowledged_early_is_still_followed_up,
                follow_ups::several_records_are_written_with_what_they_may_replace,
                follow_ups::a_retry_comes_back_at_its_time_and_says_which_it_is,
                follow_ups::a_message_that_cannot_be_made_a_retry_is_given_up,
                chord::the_last_part_holds_its_message_until_the_body_is_sent,
                chord::a_chord_of_one_is_complete_at_once,
                chord::a_part_is_counted_with_what_it_adds,
                chord::parts_of_one_batch_complete_once,
                chord::two_finishers_at_once_complete_once,
                chord::a_part_that_is_delivered_twice_counts_once,
                chord::a_worker_that_ends_between_claim_and_body_strands_nothing,
                chord::a_claim_that_ran_out_is_taken_by_the_next_part,
                chord::a_part_that_comes_after_the_body_does_nothing,
            }
        }
    };
}

apart!(memory, super::in_memory);
apart!(two_servers, super::on_redis);

/// A worker that holds message 1.
async fn holding(subject: &Memory) -> (Member, Tag) {
    let queue = petiole_broker::conformance::queue("mail");
    let worker = Worker { incarnation: "a".to_owned(), ..Worker::default() };
    let member = subject.register(worker, Intake::strict(std::slice::from_ref(&queue))).await.unwrap();
    subject.publish(&queue, &petiole_broker::conformance::message("1", 0)).await.unwrap();
    let tag = member.consumer.receive(1).await.unwrap()[0].tag;
    (member, tag)
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_again_without_an_answer_is_sent_once() {
    let subject = in_memory().await;
    let (member, tag) = holding(&subject).await;
    let record = petiole_broker::conformance::record("1");
    let settlement = Settlement {
        sends: vec![petiole_broker::conformance::send("print", "2", 0)],
        ..Settlement::new(tag, Disposition::Ack).with_records([record])
    };
    subject.lose_answers().await.unwrap();
    let batch = [settlement];
    let settled = member.consumer.settle(&batch);
    let answers = async {
        // Long enough for several tries.
        tokio::time::sleep(RETRY.1 * 5).await;
        subject.answer_again().await.unwrap();
    };
    let (settled, ()) = tokio::join!(settled, answers);
    assert_eq!(settled.unwrap(), [Settled::Done]);
    assert_eq!(subject.waiting("print", 0).await.unwrap().len(), 1);
    assert!(subject.document("1").await.unwrap().is_some());
}

/// What is added could end, and complete the chord, before the part that has added it was counted.
#[tokio::test]
async fn a_part_is_counted_before_what_it_adds_is_sent() {
    let subject = in_memory().await;
    let (member, tag) = holding(&subject).await;
    let mut part = petiole_broker::conformance::part("g", "1", 0, "a", CLAIM);
    part.adds = vec!["2".to_owned()];
    let nowhere =
        petiole_broker::Target::Exchange { exchange: "nobody's".to_owned(), routing_key: "none".to_owned() };
    let mut sends = vec![petiole_broker::conformance::send("mail", "2", 0)];
    sends[0].to = nowhere;
    let settlement =
        Settlement { chord: Some(part.clone()), sends, ..Settlement::new(tag, Disposition::Ack) };
    let settled = member.consumer.settle(&[settlement]).await.unwrap();
    assert!(matches!(settled[..], [Settled::Refused(_)]), "{settled:?}");
    assert_eq!(subject.store().chord_parts("g").await.unwrap().members, [part.member]);
}

#[tokio::test]
async fn what_stays_open_is_told() {
    let subject = in_memory().await;
    let queue = petiole_broker::conformance::queue("mail");
    let worker = Worker { incarnation: "a".to_owned(), queues: vec![queue.clone()], ..Worker::default() };
    let worker = Arc::new(subject.broker.register(worker).unwrap());
    for id in ["1", "2", "3"] {
        subject.publish(&queue, &petiole_broker::conformance::message(id, 0)).await.unwrap();
    }
    let tags: Vec<_> = worker.receive(3).await.unwrap().iter().map(|delivery| delivery.tag).collect();
    let claim = petiole_results::chord::ChordClaim { group: "g".to_owned(), token: "t".to_owned() };
    let batch = vec![
        Settlement::new(tags[0], Disposition::Keep),
        Settlement::new(tags[1], Disposition::Ack),
        Settlement { finish: Some(claim), ..Settlement::new(tags[2], Disposition::Ack) },
        Settlement::new(99, Disposition::Ack),
    ];
    let committer = Committer { consumer: worker, store: Some(subject.store()) };
    let written = committer.write(batch).await.unwrap();
    let expected =
        Committed { released: vec![tags[1]], lost: vec![99], open: vec![(tags[2], Settled::ClaimLost)] };
    assert_eq!(written, expected);
}
