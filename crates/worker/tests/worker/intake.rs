//! What a worker takes is changed by remote control: how often tasks start, from which queues, how many at a time.

use petiole_broker::memory::MemoryBroker;
use petiole_broker::{Address, QueueName};
use petiole_contract::control::Status;
use petiole_testkit::wait::until;
use serde_json::{Value, json};

use crate::rig::{Asker, PATIENCE, Runner, Running, broker, message_of, queue};

/// The broker's clock stands still, so this many seconds never pass.
const LIMIT: &str = "1/h";

/// A worker with its runner, and somebody who asks it.
async fn working(broker: &MemoryBroker) -> (Running, Runner, Asker) {
    let worker = Running::start(broker, "pod-1");
    let runner = worker.runner().await;
    (worker, runner, Asker::of(broker).await)
}

fn publish(broker: &MemoryBroker, queue: &QueueName, id: &str) {
    broker.publish(queue, message_of(id, &Value::Null));
}

/// Waits until a task of this id starts, and ends it.
async fn runs(runner: &mut Runner, id: &str) {
    let start = runner.hears("start").await;
    assert_eq!(start["label"], id);
    runner.exited(start["process"].as_u64().unwrap(), Status::Code(0)).await;
}

/// Waits until these tasks stand in line.
async fn in_line(asker: &Asker, ids: &[&str]) {
    let look = async || {
        let (_, scheduled) = asker.ask("scheduled", &json!({})).await;
        // Another node's answer to an earlier question is none.
        let Value::Array(scheduled) = scheduled else { return Err(Vec::new()) };
        let mut found: Vec<_> = scheduled.iter().map(|task| task["request"]["id"].clone()).collect();
        found.sort_by_key(Value::to_string);
        if found == ids { Ok(()) } else { Err(found) }
    };
    until("the tasks to stand in line", PATIENCE, look).await.unwrap();
}

#[tokio::test]
async fn a_task_whose_limit_is_reached_waits_on_the_broker() {
    let broker = broker();
    let (_worker, mut runner, asker) = working(&broker).await;
    let limit = json!({"task_name": "demo.noop", "rate_limit": LIMIT});
    let (_, answer) = asker.ask("rate_limit", &limit).await;
    assert_eq!(answer, json!({"ok": "new rate limit set successfully"}));
    let (_, registered) = asker.ask("registered", &json!({"taskinfoitems": ["rate_limit"]})).await;
    assert_eq!(registered, json!(["demo.noop [rate_limit=1/h]"]));
    for id in ["id-1", "id-2", "id-3"] {
        publish(&broker, &queue(), id);
    }
    runs(&mut runner, "id-1").await;
    in_line(&asker, &["id-2", "id-3"]).await;
    // It holds nothing of them, and has room.
    assert_eq!(asker.ask("reserved", &json!({})).await.1, json!([]));
    asker.ask("revoke", &json!({"task_id": "id-2"})).await;
    in_line(&asker, &["id-3"]).await;
    let off = json!({"task_name": "demo.noop", "rate_limit": 0});
    assert_eq!(asker.ask("rate_limit", &off).await.1, json!({"ok": "rate limit disabled successfully"}));
    runs(&mut runner, "id-3").await;
}

#[tokio::test]
async fn a_limit_counts_for_all_workers_of_the_pool() {
    let broker = broker();
    let (_one, mut runner, asker) = working(&broker).await;
    asker.ask("rate_limit", &json!({"task_name": "demo.noop", "rate_limit": LIMIT})).await;
    publish(&broker, &queue(), "id-1");
    runs(&mut runner, "id-1").await;
    asker.ask("cancel_consumer", &json!({"queue": "work"})).await;

    let other = Running::start(&broker, "pod-2");
    let _runner = other.runner().await;
    let limit = json!({"task_name": "demo.noop", "rate_limit": LIMIT});
    let look = async || match asker.ask("rate_limit", &limit).await {
        (node, answer) if node == "celery@pod-2" && answer.get("ok").is_some() => Ok(()),
        other => Err(other),
    };
    until("the other one to know the limit", PATIENCE, look).await.unwrap();
    publish(&broker, &queue(), "id-2");
    in_line(&asker, &["id-2"]).await;
}

#[tokio::test]
async fn queues_are_added_and_cancelled_while_a_worker_runs() {
    let broker = broker();
    let (_worker, mut runner, asker) = working(&broker).await;
    let more = QueueName { name: "more".to_owned(), dead_letter: "more.dead".to_owned(), ..queue() };
    let (_, answer) = asker.ask("add_consumer", &json!({"queue": "more", "exchange": "x"})).await;
    assert_eq!(answer, json!({"ok": "add consumer more"}));
    publish(&broker, &more, "id-1");
    runs(&mut runner, "id-1").await;
    let bound = Address { exchange: "x".to_owned(), routing_key: "more".to_owned() };
    let look = async || if broker.bound(&bound) == ["more"] { Ok(()) } else { Err("not bound") };
    until("the queue to be bound", PATIENCE, look).await.unwrap();

    asker.ask("cancel_consumer", &json!({"queue": "work"})).await;
    let (_, queues) = asker.ask("active_queues", &json!({})).await;
    assert_eq!(queues.as_array().unwrap().iter().map(|queue| &queue["name"]).collect::<Vec<_>>(), ["more"]);
    publish(&broker, &queue(), "id-2");
    publish(&broker, &more, "id-3");
    runs(&mut runner, "id-3").await;
    assert_eq!(broker.waiting("work", 0).len(), 1);
    asker.ask("add_consumer", &json!({"queue": "work"})).await;
    runs(&mut runner, "id-2").await;
}

#[tokio::test]
async fn what_a_task_of_an_added_queue_leaves_goes_to_its_own_dead_letter_queue() {
    let broker = broker();
    let (_worker, _runner, asker) = working(&broker).await;
    asker.ask("add_consumer", &json!({"queue": "more"})).await;
    let more = QueueName { name: "more".to_owned(), ..queue() };
    broker.publish(&more, "no message");
    let look = async || match broker.waiting("more.dead", 0).len() {
        1 => Ok(()),
        other => Err(other),
    };
    until("the message to be given up", PATIENCE, look).await.unwrap();
}

#[tokio::test]
async fn the_pool_grows_while_it_works() {
    let broker = broker();
    let (_worker, mut runner, asker) = working(&broker).await;
    publish(&broker, &queue(), "id-1");
    publish(&broker, &queue(), "id-2");
    let first = runner.hears("start").await;
    assert_eq!(first["label"], "id-1");
    assert_eq!(asker.ask("pool_grow", &json!({})).await.1, json!({"ok": "pool will grow"}));
    assert_eq!(runner.hears("start").await["label"], "id-2");
    let (_, stats) = asker.ask("stats", &json!({})).await;
    assert_eq!(stats["pool"]["max-concurrency"], 2);
    let busy = json!({"error": "ValueError(\"Can't shrink pool. All processes busy!\")"});
    assert_eq!(asker.ask("pool_shrink", &json!({})).await.1, busy);
}
