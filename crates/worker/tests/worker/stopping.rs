//! A worker that is told to stop, and does not wait for its tasks: Celery's cold and soft shutdown.

use petiole_broker::Consumer;
use petiole_contract::control::Status;

use crate::rig::{Runner, Running, broker, known, message, queue};

/// The number of the task's process, once it was started and is to be killed.
async fn killed(worker: &Running) -> (Runner, u64) {
    let mut runner = worker.runner().await;
    let started = runner.hears("start").await;
    worker.stop.at_once.cancel();
    runner.hears("kill_all").await;
    (runner, started["process"].as_u64().unwrap())
}

#[tokio::test]
async fn a_worker_that_is_stopped_at_once_gives_back_what_ran() {
    let broker = broker();
    broker.publish(&queue(), message());
    let worker = Running::start(&broker, "pod-1");
    let (mut runner, process) = killed(&worker).await;
    let next = broker.register(known("pod-2-0123abcd")).unwrap();
    assert!(next.receive(1).await.unwrap().is_empty(), "its process may still run");

    runner.exited(process, Status::Signal(9)).await;
    runner.hears("drained").await;
    let again = next.receive(1).await.unwrap();
    assert!(again[0].envelope.as_ref().unwrap().redelivered());
}

#[tokio::test]
async fn what_ends_by_itself_while_all_is_killed_has_ended() {
    let broker = broker();
    broker.publish(&queue(), message());
    let worker = Running::start(&broker, "pod-1");
    let (mut runner, process) = killed(&worker).await;
    runner.exited(process, Status::Code(0)).await;
    runner.hears("drained").await;
    let next = broker.register(known("pod-2-0123abcd")).unwrap();
    assert!(next.receive(1).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_has_not_ended_when_the_time_for_a_drain_is_over_goes_back() {
    let broker = broker();
    broker.publish(&queue(), message());
    let worker = Running::patient(&broker, "pod-1", Some(0.0));
    let mut runner = worker.runner().await;
    let started = runner.hears("start").await;
    worker.stop.drain.cancel();
    runner.hears("kill_all").await;
    runner.exited(started["process"].as_u64().unwrap(), Status::Signal(9)).await;
    runner.hears("drained").await;
    let next = broker.register(known("pod-2-0123abcd")).unwrap();
    assert_eq!(next.receive(1).await.unwrap().len(), 1);
}
