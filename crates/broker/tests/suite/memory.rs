//! The broker in memory conforms.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use petiole_broker::conformance::{Checked, Member, Subject};
use petiole_broker::dead_letter::DeadLetters;
use petiole_broker::exchange::Binding;
use petiole_broker::memory::{Fault, MemoryBroker};
use petiole_broker::{Address, Inspector, Intake, LEASE, Mailbox, Node, QueueName, Revocations, Worker};
use petiole_results::Store;
use petiole_results::memory::MemoryStore;

struct Memory {
    broker: MemoryBroker,
    /// The clock: milliseconds.
    now: Arc<AtomicI64>,
}

fn memory() -> Ready<Memory> {
    let now = Arc::new(AtomicI64::new(1_700_000_000_000));
    let read = now.clone();
    let clock = Arc::new(move || Timestamp::from_millisecond(read.load(Ordering::SeqCst)).unwrap());
    let read = now.clone();
    let since = move || Duration::from_millis(u64::try_from(read.load(Ordering::SeqCst)).unwrap());
    ready(Memory { broker: MemoryBroker::new(clock, Some(MemoryStore::new(Arc::new(since)))), now })
}

#[async_trait(?Send)]
impl Subject for Memory {
    async fn register(&self, worker: Worker, intake: Intake) -> Checked<Member> {
        let worker = Arc::new(self.broker.register_with(worker, intake)?);
        Ok(Member {
            consumer: worker.clone(),
            attempts: worker.clone(),
            parking: worker.clone(),
            rates: worker.clone(),
            lease: worker,
        })
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
        Ok(self.broker.results().and_then(|results| results.get(task_id)))
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.broker.results().unwrap().clone())
    }

    async fn bind(&self, exchange: &str, binding: Binding) -> Checked {
        self.broker.bind(exchange, binding);
        Ok(())
    }

    async fn now(&self) -> Checked<Timestamp> {
        Ok(Timestamp::from_millisecond(self.now.load(Ordering::SeqCst))?)
    }

    async fn pass(&self, time: Duration) -> Checked {
        self.now.fetch_add(i64::try_from(time.as_millis())?, Ordering::SeqCst);
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

petiole_broker::conformance!(memory);

#[tokio::test]
async fn a_broker_that_is_away_fails_and_does_nothing() {
    let memory = memory().await;
    let queue = petiole_broker::conformance::queue("mail");
    let worker = Worker { incarnation: "a".to_owned(), ..Worker::default() };
    let worker = memory.register(worker, Intake::strict(std::slice::from_ref(&queue))).await.unwrap();
    memory.publish(&queue, &petiole_broker::conformance::message("1", 0)).await.unwrap();
    memory.broker.set_fault(Fault::Away);
    assert!(worker.consumer.receive(1).await.is_err());
    assert!(worker.lease.beat().await.is_err());
    memory.broker.set_fault(Fault::None);
    assert_eq!(worker.consumer.receive(1).await.unwrap().len(), 1);
}
