//! A worker whose pod is to go, and one that is called back.

use std::time::Duration;

use petiole_broker::memory::MemoryBroker;
use petiole_broker::{Consumer, Inspector, Report, Wish};
use petiole_contract::control::Status;
use petiole_testkit::wait::until;
use serde_json::Value;

use crate::rig::{PATIENCE, Runner, Running, broker, known, message_of, queue};

async fn wish(broker: &MemoryBroker, worker: &str, wish: Wish) {
    broker.wish(&[(worker.to_owned(), wish)], Duration::from_hours(1)).await.unwrap();
}

/// Waits until the one worker says of itself what `holds` wants.
async fn says(broker: &MemoryBroker, what: &str, holds: impl Fn(&Report) -> bool) -> Report {
    let look = async || {
        let loads = broker.loads().await.unwrap();
        loads.iter().find(|report| holds(report)).cloned().ok_or(loads)
    };
    until(what, PATIENCE, look).await.unwrap()
}

/// A worker that runs a task, the runner, and the number of the task's process.
async fn busy(broker: &MemoryBroker) -> (Running, Runner, u64, String) {
    broker.publish(&queue(), message_of("id-1", &Value::Null));
    let worker = Running::start(broker, "pod-1");
    let mut runner = worker.runner().await;
    let process = runner.hears("start").await["process"].as_u64().unwrap();
    let said = says(broker, "it to say that it is busy", |report| report.load.running == 1).await;
    (worker, runner, process, said.incarnation)
}

#[tokio::test]
async fn a_worker_that_is_to_go_ends_its_task_while_it_is_ready_and_is_not_ready_then() {
    let broker = broker();
    let (worker, mut runner, process, name) = busy(&broker).await;
    wish(&broker, &name, Wish::Drain).await;
    let said = says(&broker, "it to drain", |report| report.load.draining).await;
    assert_eq!((said.load.running, said.load.is_drained()), (1, false));
    assert_eq!(worker.ready.report(), None);

    broker.publish(&queue(), message_of("id-2", &Value::Null));
    runner.exited(process, Status::Code(0)).await;
    says(&broker, "it to have drained", |report| report.load.is_drained()).await;
    assert!(worker.ready.report().unwrap().starts_with("wish: drained"));
    let other = broker.register(known("pod-2-0123abcd")).unwrap();
    assert_eq!(other.receive(1).await.unwrap().len(), 1, "what has come meanwhile is for others");
}

#[tokio::test]
async fn a_worker_that_is_called_back_works_again() {
    let broker = broker();
    let (worker, mut runner, process, name) = busy(&broker).await;
    wish(&broker, &name, Wish::Drain).await;
    says(&broker, "it to drain", |report| report.load.draining).await;
    runner.exited(process, Status::Code(0)).await;
    says(&broker, "it to have drained", |report| report.load.is_drained()).await;

    broker.publish(&queue(), message_of("id-2", &Value::Null));
    wish(&broker, &name, Wish::Work).await;
    runner.hears("start").await;
    assert_eq!(worker.ready.report(), None);
    says(&broker, "it to say that it works", |report| !report.load.draining && report.load.running == 1)
        .await;
}

#[tokio::test]
async fn a_worker_that_drains_and_is_stopped_ends_as_any_other() {
    let broker = broker();
    let (worker, mut runner, process, name) = busy(&broker).await;
    wish(&broker, &name, Wish::Drain).await;
    says(&broker, "it to drain", |report| report.load.draining).await;
    worker.stop.drain.cancel();
    runner.exited(process, Status::Code(0)).await;
    runner.hears("drained").await;
    assert!(broker.workers().await.unwrap().is_empty());
}
