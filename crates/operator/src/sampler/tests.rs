//! Time stands still in these tests but for what they wait for.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use petiole_api::conditions::reasons;
use petiole_broker::{Depth, Hazard, Remote, Said, Wish, Worker};
use petiole_protocol::envelope::Envelope;
use petiole_results::chord::{ChordClaim, ChordPart, ChordParts, ChordStart, Counted};
use petiole_results::redis::EndpointError;
use petiole_results::{Record, StoreError};
use tokio::time::timeout;

use super::*;

/// Brokers and stores in memory: each queue holds as many messages as its name has letters.
#[derive(Default)]
struct Fake {
    down: Mutex<bool>,
    connections: AtomicUsize,
    asked: Mutex<Vec<usize>>,
    workers: Mutex<BTreeSet<String>>,
    store_down: Mutex<bool>,
    wished: Mutex<Vec<String>>,
}

struct Shared(Arc<Fake>);

fn unreachable() -> Box<dyn std::error::Error + Send + Sync> {
    "connection refused".into()
}

#[async_trait]
impl Remote for Shared {
    fn answers_to(&self) -> &'static str {
        ""
    }

    async fn converse(&self, _: &[Envelope]) -> Result<Said, BrokerError> {
        Ok(Said::default())
    }
}

#[async_trait]
impl Inspector for Shared {
    async fn depths(&self, queues: &[QueueName]) -> Result<Vec<Depth>, BrokerError> {
        self.0.asked.lock().unwrap().push(queues.len());
        if *self.0.down.lock().unwrap() {
            return Err(BrokerError::Unreachable { doing: "count messages", source: unreachable() });
        }
        Ok(queues.iter().map(|queue| Depth { ready: queue.name.len() as u64, ..Depth::default() }).collect())
    }

    async fn workers(&self) -> Result<Vec<Worker>, BrokerError> {
        let named = |name: &String| Worker { incarnation: name.clone(), ..Worker::default() };
        Ok(self.0.workers.lock().unwrap().iter().map(named).collect())
    }

    async fn loads(&self) -> Result<Vec<Report>, BrokerError> {
        Ok(Vec::new())
    }

    async fn wish(&self, wishes: &[(String, Wish)], _: Duration) -> Result<(), BrokerError> {
        self.0.wished.lock().unwrap().extend(wishes.iter().map(|(worker, _)| worker.clone()));
        Ok(())
    }

    async fn end(&self, incarnation: &str) -> Result<usize, BrokerError> {
        Ok(usize::from(self.0.workers.lock().unwrap().remove(incarnation)))
    }

    async fn give_up(&self, queue: &QueueName) -> Result<usize, BrokerError> {
        Ok(queue.name.len())
    }

    async fn hazards(&self) -> Result<Vec<Hazard>, BrokerError> {
        Ok(vec![Hazard { reason: "EvictsKeys", message: String::new() }])
    }
}

#[async_trait]
impl Store for Shared {
    async fn store(&self, _: &[Record]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn load(&self, _: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn load_many(&self, ids: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        Ok(vec![None; ids.len()])
    }

    async fn chord_start(&self, _: &[ChordStart]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn chord_part(&self, parts: &[ChordPart]) -> Result<Vec<Counted>, StoreError> {
        Ok(vec![Counted::Yes; parts.len()])
    }

    async fn chord_parts(&self, _: &str) -> Result<ChordParts, StoreError> {
        Ok(ChordParts::default())
    }

    async fn chord_extend(&self, _: &ChordClaim, _: Duration) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn chord_finish(&self, _: &ChordClaim) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        if *self.0.store_down.lock().unwrap() {
            return Err(StoreError::Unreachable { doing: "ask the result store", source: unreachable() });
        }
        Ok(())
    }
}

struct Connections(Arc<Fake>);

impl Connect for Connections {
    fn broker(&self, address: &Address) -> Result<Arc<dyn Inspector>, EndpointError> {
        address.endpoint()?;
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Shared(self.0.clone())))
    }

    fn results(&self, _: &Address) -> Result<Arc<dyn Store>, EndpointError> {
        Ok(Arc::new(Shared(self.0.clone())))
    }
}

fn key(name: &str) -> QueueKey {
    QueueKey { namespace: "photos".to_owned(), name: name.to_owned() }
}

fn on(broker: &str, queue: &str) -> Watch {
    Watch {
        broker: Address { url: broker.to_owned(), ..Address::default() },
        queue: QueueName {
            name: queue.to_owned(),
            priority_steps: vec![0],
            dead_letter: format!("{queue}.dead"),
        },
        results: None,
    }
}

fn sampler() -> (Arc<Fake>, Sampler, mpsc::UnboundedReceiver<QueueKey>) {
    let fake = Arc::new(Fake::default());
    let (sampler, changed) = Sampler::new(Arc::new(Connections(fake.clone())));
    (fake, sampler, changed)
}

/// Waits until a change was told; of paused time nothing is lost.
async fn change(changed: &mut mpsc::UnboundedReceiver<QueueKey>) -> QueueKey {
    timeout(Duration::from_mins(10), changed.recv()).await.expect("no change was told").unwrap()
}

fn ready(sampler: &Sampler, name: &str) -> Option<u64> {
    sampler.latest(&key(name))?.broker?.ok().map(|(depth, _)| depth.ready)
}

#[tokio::test(start_paused = true)]
async fn all_queues_of_a_broker_are_asked_about_at_once_by_one_connection() {
    let (fake, sampler, mut changed) = sampler();
    sampler.watch(key("a"), on("redis://one", "four"));
    sampler.watch(key("b"), on("redis://one", "seven77"));
    for _ in 0..2 {
        change(&mut changed).await;
    }
    assert_eq!((ready(&sampler, "a"), ready(&sampler, "b")), (Some(4), Some(7)));
    assert_eq!(fake.connections.load(Ordering::Relaxed), 1);
    assert_eq!(fake.asked.lock().unwrap().first(), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_goes_and_comes_is_told_of_each_time() {
    let (fake, sampler, mut changed) = sampler();
    *fake.down.lock().unwrap() = true;
    sampler.watch(key("a"), on("redis://one", "four"));
    change(&mut changed).await;
    let problem = sampler.latest(&key("a")).unwrap().broker.unwrap().unwrap_err();
    assert_eq!(problem.reason, reasons::UNREACHABLE);
    assert_eq!(problem.message, "failed to count messages: connection refused");

    *fake.down.lock().unwrap() = false;
    change(&mut changed).await;
    assert_eq!(ready(&sampler, "a"), Some(4));
    // The settings are asked for once the broker is there.
    change(&mut changed).await;
    assert_eq!(sampler.latest(&key("a")).unwrap().hazards.unwrap().len(), 1);

    *fake.down.lock().unwrap() = true;
    change(&mut changed).await;
    assert_eq!(ready(&sampler, "a"), None);
}

#[tokio::test(start_paused = true)]
async fn a_result_store_is_asked_whether_it_is_there() {
    let (fake, sampler, mut changed) = sampler();
    *fake.store_down.lock().unwrap() = true;
    let results = Some(Address { url: "redis://results".to_owned(), ..Address::default() });
    sampler.watch(key("a"), Watch { results, ..on("redis://one", "four") });
    let answer = loop {
        change(&mut changed).await;
        if let Some(answer) = sampler.latest(&key("a")).unwrap().results {
            break answer;
        }
    };
    assert_eq!(answer.unwrap_err().reason, reasons::UNREACHABLE);
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_queues_is_left_alone() {
    let (fake, sampler, mut changed) = sampler();
    sampler.watch(key("a"), on("redis://one", "four"));
    change(&mut changed).await;
    sampler.forget(&key("a"));
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::task::yield_now().await;
    assert!(sampler.0.lock().brokers.is_empty());
    // Asked about again, it gets a connection again.
    sampler.watch(key("a"), on("redis://one", "four"));
    change(&mut changed).await;
    assert_eq!(fake.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_cannot_be_used_says_what_to_write() {
    let (_, sampler, _changed) = sampler();
    sampler.watch(key("a"), on("amqp://one", "four"));
    let problem = sampler.latest(&key("a")).unwrap().broker.unwrap().unwrap_err();
    assert_eq!(problem.reason, reasons::ADDRESS_REFUSED);
    assert!(problem.message.contains("redis://HOST:PORT/DB"), "{}", problem.message);
}

#[tokio::test(start_paused = true)]
async fn every_incarnation_of_an_ended_pod_is_ended_and_no_other() {
    let (fake, sampler, _changed) = sampler();
    sampler.watch(key("a"), on("redis://one", "four"));
    let names = ["uid1-0a", "uid1-0b", "uid12-0a"].map(str::to_owned);
    fake.workers.lock().unwrap().extend(names);
    assert_eq!(sampler.end(&key("a"), "uid1").await.unwrap(), Some(2));
    assert_eq!(fake.workers.lock().unwrap().iter().collect::<Vec<_>>(), ["uid12-0a"]);
    assert_eq!(sampler.end(&key("b"), "uid1").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_twin_is_the_same_queue_at_the_same_place_and_another_object() {
    let (_, sampler, _changed) = sampler();
    sampler.watch(key("a"), on("redis://one", "mail"));
    for (name, watch) in [("b", on("redis://two", "mail")), ("c", on("redis://one", "print"))] {
        sampler.watch(key(name), watch);
    }
    let left = sampler.leave(&key("a")).unwrap();
    assert_eq!(sampler.twin(&left), None);
    sampler.watch(key("a"), on("redis://one", "mail"));
    assert_eq!(sampler.twin(&left), None);
    sampler.watch(key("d"), on("redis://user@one:6379/0", "mail"));
    assert_eq!(sampler.twin(&left), Some(key("d")));
    sampler.leave(&key("d"));
    assert_eq!(sampler.twin(&left), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_queue_keeps_the_connection_to_its_broker() {
    let (fake, sampler, mut changed) = sampler();
    sampler.watch(key("a"), on("redis://one", "mail"));
    change(&mut changed).await;
    let left = sampler.leave(&key("a")).unwrap();
    assert_eq!(sampler.latest(&key("a")), None);
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::task::yield_now().await;
    assert!(sampler.0.lock().brokers.is_empty());
    let (returned, depth) = left.unpark().await.unwrap();
    assert_eq!((returned, depth.ready), (4, 4));
    assert_eq!(fake.connections.load(Ordering::Relaxed), 1);
    assert!(sampler.leave(&key("a")).is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_a_queue_that_could_not_be_asked_about() {
    let (_, sampler, _changed) = sampler();
    sampler.watch(key("a"), on("amqp://one", "four"));
    assert!(sampler.leave(&key("a")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_forgotten_when_it_was_denied_twice_in_a_row() {
    let (_, sampler, _changed) = sampler();
    sampler.watch(key("a"), on("redis://one", "four"));
    for keep in [false, true, false] {
        sampler.retain(|_| keep);
        assert!(sampler.latest(&key("a")).is_some());
    }
    sampler.retain(|_| false);
    assert_eq!(sampler.latest(&key("a")), None);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_for_workers_that_are_celerys_own() {
    let (fake, sampler, _changed) = sampler();
    sampler.watch(key("a"), on("redis://one", "four"));
    let wishes = ["celery@own-1", "ours-1"].map(|worker| (worker.to_owned(), Wish::Drain));
    sampler.wish(&key("a"), &wishes, Duration::from_secs(15)).await.unwrap();
    sampler.wish(&key("a"), &wishes[..1], Duration::from_secs(15)).await.unwrap();
    assert_eq!(*fake.wished.lock().unwrap(), ["ours-1"]);
}
