//! Answers, to a worker of a pool of one queue and one task.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use petiole_protocol::envelope::Envelope;
use petiole_protocol::json::Object;
use petiole_protocol::message::Message;
use serde_json::{Value, json};

use super::super::facts::Facts;
use super::super::view::Due;
use super::*;
use crate::work::Work;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn facts() -> Facts {
    let pool = json!({
        "namespace": "shop", "name": "mail", "mode": "exec", "concurrency": 3,
        "broker": {"url": {"value": "redis://:secret@redis:7000/2"}},
        "queues": [{"name": "work", "prioritySteps": [0], "visibilityTimeout": 60, "deadLetter": "d"}],
        "tasks": {"demo.add": {"command": ["add"], "limits": {"hard": 9.0}}},
        "defaults": {"hard": 60.0},
    });
    Facts::new(&serde_json::from_value(pool).unwrap(), "celery@pod")
}

fn message(id: &str, stamps: &Value) -> Message {
    let headers = json!({
        "task": "demo.add", "id": id, "stamps": stamps, "stamped_headers": ["tenant"], "argsrepr": "(1,)",
    });
    let envelope = Envelope {
        headers: Object::read(headers.to_string().as_bytes()).unwrap(),
        content_type: Some("application/json".to_owned()),
        body: "[[1], {}, {}]".into(),
        ..Envelope::default()
    };
    Message::read(&envelope).unwrap()
}

fn work(id: &str, stamps: &Value) -> Work {
    Work {
        queue: 0,
        message: message(id, stamps),
        plan: Arc::default(),
        limits: Limits::default(),
        retry: Arc::default(),
        mapping: None,
        last_chance: false,
        raw: None,
    }
}

/// Asks a worker that runs `a`, of tenant t1, and holds `b`; where `c` is parked and `old` was revoked.
fn ask(method: &str, arguments: &Value) -> (Value, Vec<Act>) {
    let arguments = Object::read(arguments.to_string().as_bytes()).unwrap();
    let command = Command::read(method, &arguments).unwrap();
    let (running, waiting) = (work("a", &json!({"tenant": "t1"})), work("b", &json!({})));
    let (facts, mut revoked) = (facts(), Revoked::default());
    revoked.revoke(["old"], NOW);
    let parked = [Due { queue: 0, due: NOW, message: message("c", &json!({})) }];
    let totals = BTreeMap::from([("demo.add".to_owned(), 4)]);
    let rates = HashMap::from([("demo.add".to_owned(), RateLimit::parse("5/m").unwrap())]);
    let view = View {
        facts: &facts,
        now: NOW,
        clock: 7,
        uptime: Duration::from_secs(90),
        held: vec![
            Held { attempt: 1, work: &running, running: Some(Duration::from_secs(2)), pid: Some(12) },
            Held { attempt: 2, work: &waiting, running: None, pid: None },
        ],
        processes: vec![12, 15],
        wants: 1,
        parked: &parked,
        totals: &totals,
        revoked: &revoked,
        rates: &rates,
        rusage: None,
        task_events: false,
    };
    let (answer, acts) = answer(&command, &view);
    (answer.map_or(Value::Null, |answer| serde_json::from_str(answer.as_str()).unwrap()), acts)
}

/// What is said of a command that changes nothing.
fn said(method: &str, arguments: &Value) -> Value {
    let (answer, acts) = ask(method, arguments);
    assert_eq!(acts, []);
    answer
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect()
}

#[test]
fn what_runs_and_what_waits_are_told_apart() {
    let active = said("active", &json!({}));
    assert_eq!(ids(&active), ["a"]);
    assert_eq!(active[0]["args"], json!([1]));
    assert_eq!(active[0]["time_start"], json!(-2.0));
    assert_eq!(active[0]["worker_pid"], 12);
    assert_eq!(said("active", &json!({"safe": true}))[0]["args"], "(1,)");
    assert_eq!(ids(&said("reserved", &json!({}))), ["b"]);
    let scheduled = said("scheduled", &json!({}));
    assert_eq!(scheduled[0]["eta"], "1970-01-01T00:00:00.000000+00:00");
    assert_eq!(scheduled[0]["request"]["id"], "c");
    let known = said("query_task", &json!({"ids": ["a", "b", "c", "d"]}));
    let state = |id: &str| known[id][0].clone();
    assert_eq!(
        [state("a"), state("b"), state("c"), state("d")],
        [json!("active"), json!("reserved"), json!("scheduled"), Value::Null]
    );
}

#[test]
fn a_worker_says_what_it_is() {
    let stats = said("stats", &json!({}));
    assert_eq!(stats["total"], json!({"demo.add": 5}), "those that run count");
    assert_eq!((&stats["clock"], &stats["uptime"]), (&json!("7"), &json!(90)));
    assert_eq!(stats["pool"]["max-concurrency"], 3);
    assert_eq!(stats["pool"]["processes"], json!([12, 15]));
    assert_eq!(stats["broker"]["hostname"], "redis");
    assert_eq!((&stats["broker"]["port"], &stats["broker"]["virtual_host"]), (&json!(7000), &json!("2")));
    assert_eq!(said("active_queues", &json!({}))[0]["name"], "work");
    assert_eq!(said("registered", &json!({})), json!(["demo.add [rate_limit=5/m]"]));
    let shown = said("registered", &json!({"taskinfoitems": ["time_limit", "rate_limit"]}));
    assert_eq!(shown, json!(["demo.add [time_limit=9 rate_limit=5/m]"]));
    assert_eq!(said("revoked", &json!({})), json!(["old"]));
    assert_eq!(said("clock", &json!({})), json!({"clock": 7}));
    assert!(said("report", &json!({}))["ok"].as_str().unwrap().contains("petiole:"));
}

#[test]
fn no_password_is_told() {
    for method in ["conf", "stats", "report"] {
        assert!(!said(method, &json!({})).to_string().contains("secret"), "{method}");
    }
    assert_eq!(said("conf", &json!({}))["broker_url"], "redis://:********@redis:7000/2");
}

#[test]
fn a_revocation_is_answered_in_celerys_words() {
    let revoke = |ids: &[&str]| Act::Revoke(ids.iter().map(|id| (*id).to_owned()).collect());
    let (answer, acts) = ask("revoke", &json!({"task_id": "x"}));
    assert_eq!(answer, json!({"ok": "tasks {'x'} flagged as revoked"}));
    assert_eq!(acts, [revoke(&["x"])]);
    let (answer, acts) = ask("revoke", &json!({"task_id": ["a", "b", "x"], "terminate": true}));
    assert_eq!(answer, json!({"ok": "terminate: a, b"}));
    assert_eq!(acts, [revoke(&["a", "b", "x"]), Act::Terminate(vec![1, 2], 15)]);
    let (answer, _) = ask("terminate", &json!({"task_id": "x", "signal": "KILL"}));
    assert_eq!(answer, json!({"ok": "terminate: tasks unknown"}));
}

#[test]
fn stamps_end_the_tasks_that_run_with_them() {
    let revoke = |value: &str| Act::RevokeStamps(vec![("tenant".to_owned(), vec![format!("\"{value}\"")])]);
    let stamps = |value: &str| json!({"headers": {"tenant": value}, "terminate": true, "signal": "SIGKILL"});
    let (answer, acts) = ask("revoke_by_stamped_headers", &stamps("t1"));
    assert_eq!(answer["ok"], "headers defaultdict(<class 'set'>, {'tenant': {'t1'}}) revoked");
    assert_eq!(acts, [revoke("t1"), Act::Terminate(vec![1], 9)]);
    let (answer, acts) = ask("revoke_by_stamped_headers", &stamps("t2"));
    assert_eq!(answer["ok"], "headers {'tenant': 't2'} were not terminated");
    assert_eq!(acts, [revoke("t2"), Act::Terminate(vec![], 9)]);
}

#[test]
fn a_node_that_starts_is_told_what_is_revoked() {
    let (answer, acts) = ask("hello", &json!({"from_node": "celery@other", "revoked": {"x": [1.5, "x"]}}));
    assert_eq!(answer, json!({"revoked": ["old"], "clock": 7}));
    assert_eq!(acts, [Act::Merge(vec!["x".to_owned()])]);
    assert_eq!(said("hello", &json!({"from_node": "celery@pod", "revoked": ["x"]})), Value::Null);
}

#[test]
fn queues_come_and_go() {
    let (answer, acts) = ask("add_consumer", &json!({"queue": "x"}));
    assert_eq!(answer, json!({"ok": "add consumer x"}));
    assert!(matches!(&acts[..], [Act::Consume(add)] if add.queue == "x"), "{acts:?}");
    let topic = said("add_consumer", &json!({"queue": "x", "exchange_type": "topic"}));
    assert!(topic["error"].as_str().unwrap().contains("leave exchange_type out"), "{topic}");
    let (answer, acts) = ask("cancel_consumer", &json!({"queue": "work"}));
    assert_eq!(answer, json!({"ok": "no longer consuming from work"}));
    assert_eq!(acts, [Act::Cancel("work".to_owned())]);
    assert_eq!(said("cancel_consumer", &json!({"queue": "x"})), json!({"ok": "no longer consuming from x"}));
}

#[test]
fn a_pool_grows_and_shrinks_to_what_runs() {
    assert_eq!(ask("pool_grow", &json!({"n": 2})), (json!({"ok": "pool will grow"}), vec![Act::Resize(5)]));
    let shrunk = (json!({"ok": "pool will shrink"}), vec![Act::Resize(2)]);
    assert_eq!(ask("pool_shrink", &json!({})), shrunk);
    assert_eq!(ask("pool_shrink", &json!({"n": 2})).1, [Act::Resize(1)]);
    let error = |method: &str, n: u32| said(method, &json!({ "n": n }))["error"].as_str().unwrap().to_owned();
    assert!(error("pool_shrink", 3).contains("lower spec.replicas"));
    assert!(error("pool_grow", 998).contains("raise spec.replicas"));
    assert_eq!(said("autoscale", &json!({}))["error"], "ValueError('Autoscale not enabled')");
}

#[test]
fn limits_are_set_for_tasks_that_are_known() {
    let (answer, acts) = ask("time_limit", &json!({"task_name": "demo.add", "soft": 1, "hard": 2.5}));
    assert_eq!(answer, json!({"ok": "time limits set successfully"}));
    assert_eq!(acts, [Act::Limit("demo.add".to_owned(), Limits { soft: Some(1.0), hard: Some(2.5) })]);
    let unknown = json!({"error": "unknown task"});
    assert_eq!(said("time_limit", &json!({"task_name": "x", "hard": 2})), unknown);
    assert_eq!(said("rate_limit", &json!({"task_name": "x", "rate_limit": "1/s"})), unknown);
    for (limit, answer) in
        [("", "rate limit disabled successfully"), ("1/s", "new rate limit set successfully")]
    {
        let act = Act::Rate("demo.add".to_owned(), RateLimit::parse(limit).unwrap());
        let asked = ask("rate_limit", &json!({"task_name": "demo.add", "rate_limit": limit}));
        assert_eq!(asked, (json!({"ok": answer}), vec![act]));
    }
}

#[test]
fn commands_that_act_say_what_celery_says() {
    assert_eq!(
        ask("enable_events", &json!({})),
        (json!({"ok": "task events enabled"}), vec![Act::TaskEvents(true)])
    );
    let (answer, _) = ask("disable_events", &json!({}));
    assert_eq!(answer, json!({"ok": "task events already disabled"}));
    assert_eq!(ask("heartbeat", &json!({})), (Value::Null, vec![Act::Heartbeat]));
    let arguments = Object::read(b"{}").unwrap();
    assert!(matches!(Command::read("shutdown", &arguments), Ok(Command::Shutdown { message: None })));
    assert_eq!(ask("shutdown", &json!({})), (Value::Null, vec![Act::Shutdown(None)]));
}
