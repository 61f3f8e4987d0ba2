//! Remote control: what is asked of a worker, and what is revoked.

use petiole_broker::Revocations;
use petiole_broker::memory::MemoryBroker;
use petiole_contract::control::Status;
use petiole_results::memory::MemoryStore;
use petiole_testkit::wait::until;
use serde_json::{Value, json};

use crate::rig::{Asker, PATIENCE, Running, broker, broker_and_results, message, message_of, queue};

const NODE: &str = "celery@pod-1";

/// Waits for what is recorded of a task.
async fn recorded(results: &MemoryStore, id: &str) -> Value {
    let look = async || results.get(id).ok_or("no record");
    let record = until("a record", PATIENCE, look).await.unwrap();
    serde_json::from_str(&record).unwrap()
}

fn is_revoked(record: &Value, why: &str) {
    assert_eq!(record["status"], "REVOKED", "{record}");
    assert_eq!(record["result"]["exc_type"], "TaskRevokedError", "{record}");
    assert_eq!(record["result"]["exc_message"], json!([why]), "{record}");
}

/// A worker that runs the one message of its queue.
async fn running(broker: &MemoryBroker) -> (Running, crate::rig::Runner, u64) {
    let worker = Running::start(broker, "pod-1");
    let mut runner = worker.runner().await;
    broker.publish(&queue(), message());
    let process = runner.hears("start").await["process"].as_u64().unwrap();
    (worker, runner, process)
}

#[tokio::test]
async fn a_worker_answers_while_its_task_runs() {
    let broker = broker();
    let (_worker, _runner, _) = running(&broker).await;
    let asker = Asker::of(&broker).await;
    assert_eq!(asker.ask("ping", &json!({})).await, (NODE.to_owned(), json!({"ok": "pong"})));
    let (_, active) = asker.ask("active", &json!({})).await;
    assert_eq!(active[0]["id"], "id-1");
    assert_eq!(active[0]["delivery_info"]["routing_key"], "work");
    assert!(active[0]["time_start"].as_f64().unwrap() > 0.0);
    assert_eq!(asker.ask("reserved", &json!({})).await.1, json!([]));
    assert_eq!(asker.ask("registered", &json!({})).await.1, json!(["demo.noop"]));
    assert_eq!(asker.ask("stats", &json!({})).await.1["total"], json!({"demo.noop": 1}));
    assert_eq!(asker.ask("nonexistent", &json!({})).await.1, json!({"error": "KeyError('nonexistent')"}));
}

#[tokio::test]
async fn a_message_that_is_revoked_before_it_is_taken_does_not_run() {
    let (broker, results) = broker_and_results();
    let worker = Running::start(&broker, "pod-1");
    let mut runner = worker.runner().await;
    let asker = Asker::of(&broker).await;
    asker.ask("enable_events", &json!({})).await;
    let (_, answer) = asker.ask("revoke", &json!({"task_id": "id-1"})).await;
    assert_eq!(answer, json!({"ok": "tasks {'id-1'} flagged as revoked"}));
    broker.publish(&queue(), message());
    is_revoked(&recorded(&results, "id-1").await, "revoked");
    broker.publish(&queue(), message_of("id-2", &Value::Null));
    assert_eq!(runner.hears("start").await["label"], "id-2", "the first one never starts");
    let look = async || match worker.events_of("id-1") {
        events if events == ["task-revoked"] => Ok(()),
        events => Err(events),
    };
    until("the event", PATIENCE, look).await.unwrap();
}

#[tokio::test]
async fn a_revocation_that_was_made_while_no_worker_was_there_counts() {
    let (broker, results) = broker_and_results();
    broker.revoke(&["id-1".to_owned()]).await.unwrap();
    broker.publish(&queue(), message());
    let worker = Running::start(&broker, "pod-1");
    let _runner = worker.runner().await;
    is_revoked(&recorded(&results, "id-1").await, "revoked");
}

#[tokio::test]
async fn a_revocation_is_kept_for_workers_that_start_later() {
    let broker = broker();
    let _worker = Running::start(&broker, "pod-1");
    Asker::of(&broker).await.ask("revoke", &json!({"task_id": ["id-1", "id-2"]})).await;
    let look = async || match broker.load(None).await.unwrap().ids {
        ids if ids == ["id-1", "id-2"] => Ok(()),
        ids => Err(ids),
    };
    until("the revocation to be written", PATIENCE, look).await.unwrap();
}

#[tokio::test]
async fn a_parked_message_that_is_revoked_is_recorded_at_once() {
    let (broker, results) = broker_and_results();
    let worker = Running::start(&broker, "pod-1");
    let _runner = worker.runner().await;
    broker.publish(&queue(), message_of("id-1", &json!("2999-01-01T00:00:00+00:00")));
    let asker = Asker::of(&broker).await;
    let look = async || match asker.ask("scheduled", &json!({})).await.1 {
        Value::Array(scheduled) if scheduled.len() == 1 => Ok(scheduled),
        other => Err(other),
    };
    let scheduled = until("the message to be parked", PATIENCE, look).await.unwrap();
    assert_eq!(scheduled[0]["eta"], "2999-01-01T00:00:00.000000+00:00");
    assert_eq!(scheduled[0]["request"]["id"], "id-1");
    asker.ask("revoke", &json!({"task_id": "id-1"})).await;
    is_revoked(&recorded(&results, "id-1").await, "revoked");
    assert_eq!(asker.ask("scheduled", &json!({})).await.1, json!([]));
}

#[tokio::test]
async fn a_running_task_is_ended_by_the_signal_that_is_asked_for() {
    let (broker, results) = broker_and_results();
    let (worker, mut runner, process) = running(&broker).await;
    let asker = Asker::of(&broker).await;
    asker.ask("enable_events", &json!({})).await;
    let revoke = json!({"task_id": "id-1", "terminate": true, "signal": "SIGINT"});
    assert_eq!(asker.ask("revoke", &revoke).await.1, json!({"ok": "terminate: id-1"}));
    assert_eq!(runner.hears("signal").await, json!({"process": process, "signal": 2}));
    assert_eq!(results.get("id-1"), None, "it still runs");
    // Whatever its process makes of the signal.
    runner.exited(process, Status::Code(0)).await;
    is_revoked(&recorded(&results, "id-1").await, "terminated");
    let look = async || match worker.events_of("id-1") {
        events if events == ["task-revoked"] => Ok(()),
        events => Err(events),
    };
    until("the event", PATIENCE, look).await.unwrap();
}

#[tokio::test]
async fn a_revocation_alone_does_not_end_a_running_task() {
    let (broker, results) = broker_and_results();
    let (_worker, mut runner, process) = running(&broker).await;
    Asker::of(&broker).await.ask("revoke", &json!({"task_id": "id-1"})).await;
    runner.exited(process, Status::Code(0)).await;
    assert_eq!(recorded(&results, "id-1").await["status"], "SUCCESS");
}

#[tokio::test]
async fn what_another_node_has_revoked_is_merged_and_answered() {
    let (broker, results) = broker_and_results();
    let worker = Running::start(&broker, "pod-1");
    let _runner = worker.runner().await;
    let asker = Asker::of(&broker).await;
    let hello = json!({"from_node": "celery@other", "revoked": ["id-1"]});
    assert_eq!(asker.ask("hello", &hello).await.1["revoked"], json!([]));
    assert_eq!(asker.ask("hello", &hello).await.1["revoked"], json!(["id-1"]));
    broker.publish(&queue(), message());
    is_revoked(&recorded(&results, "id-1").await, "revoked");
}

#[tokio::test]
async fn events_tell_the_life_of_a_task() {
    let broker = broker();
    let worker = Running::start(&broker, "pod-1");
    let mut runner = worker.runner().await;
    let asker = Asker::of(&broker).await;
    let (_, answer) = asker.ask("enable_events", &json!({})).await;
    assert_eq!(answer, json!({"ok": "task events enabled"}));
    assert_eq!(worker.own_events().first().map(String::as_str), Some("worker-online"));
    broker.publish(&queue(), message());
    let process = runner.hears("start").await["process"].as_u64().unwrap();
    runner.exited(process, Status::Code(0)).await;
    let look = async || match worker.events_of("id-1") {
        events if events == ["task-received", "task-started", "task-succeeded"] => Ok(()),
        events => Err(events),
    };
    until("the events", PATIENCE, look).await.unwrap();
}
