//! Tasks that take their worker down.

use petiole_broker::memory::MemoryBroker;
use petiole_broker::{Inspector, lost};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::redis::mark_redelivered;
use petiole_testkit::wait::until;

use crate::rig::{PATIENCE, Running, broker, message, queue};

/// Ends the lease of the only worker, and says how many deliveries the message has lost that comes back.
async fn lost(broker: &MemoryBroker) -> Result<u32, usize> {
    let workers = broker.workers().await.unwrap();
    let [worker] = &workers[..] else { return Err(workers.len()) };
    let count = broker.end(&worker.incarnation).await.unwrap();
    let waiting = broker.waiting("work", 0);
    let [raw] = &waiting[..] else { return Err(count) };
    Ok(lost::deliveries(&Envelope::from_redis(raw).unwrap().headers))
}

#[tokio::test]
async fn what_has_come_back_begins_only_when_its_end_would_be_counted() {
    let broker = broker();
    let worker = Running::start(&broker, "pod-1");
    let mut runner = worker.runner().await;
    broker.publish(&queue(), mark_redelivered(message().as_bytes()).unwrap());
    runner.hears("start").await;
    assert_eq!(lost(&broker).await, Ok(1));
}

#[tokio::test]
async fn what_runs_is_counted_when_its_worker_ends() {
    let broker = broker();
    let worker = Running::start(&broker, "pod-1");
    let mut runner = worker.runner().await;
    broker.publish(&queue(), message());
    runner.hears("start").await;
    let noted = async || if broker.noted().is_empty() { Err("nothing is noted") } else { Ok(()) };
    until("the note", PATIENCE, noted).await.unwrap();
    assert_eq!(lost(&broker).await, Ok(1));
}

#[tokio::test]
async fn what_begins_at_once_is_counted_from_its_start_on() {
    let broker = broker();
    let worker = Running::start(&broker, "pod-1");
    let mut runner = worker.runner().await;
    broker.publish(&queue(), message());
    // It may take its worker down now.
    runner.hears("start").await;
    assert_eq!(lost(&broker).await, Ok(1));
}
