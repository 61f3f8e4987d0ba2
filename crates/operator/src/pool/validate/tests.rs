use serde_json::json;

use super::*;
use crate::fixtures::{by_name, celery_pool, pool, pool_with, queue, queue_with};

#[track_caller]
fn refused(pool: &WorkerPool, queues: impl IntoIterator<Item = TaskQueue>, reason: &str, says: &str) {
    let refusal = validate(pool, &by_name(queues)).unwrap_err();
    assert_eq!(refusal.reason, reason);
    assert!(refusal.message.contains(says), "{}", refusal.message);
}

fn thumbnails() -> BTreeMap<String, TaskQueue> {
    by_name([queue("thumbnails")])
}

#[test]
fn a_queue_brings_what_the_workers_need_to_know_of_it() {
    let thumbnails = queue_with(
        "thumbnails",
        json!({
            "queue": "celery",
            "broker": { "url": "redis://a", "redis": { "visibilityTimeout": "2h", "prioritySteps": [0, 5] } },
        }),
    );
    let validated = validate(&pool(), &by_name([thumbnails])).unwrap();
    let expected = Queue {
        name: "celery".to_owned(),
        priority_steps: vec![0, 5],
        visibility_timeout: 7200,
        dead_letter: "celery.dead".to_owned(),
        limits: Limits::default(),
        retry: None,
        max_deliveries: Some(5),
        weight: 1,
    };
    assert_eq!(validated.queues, vec![expected]);
    assert_eq!(validated.first_task_queue, "thumbnails");
}

#[test]
fn a_queue_that_is_not_there_is_named() {
    refused(&pool(), [queue("reports")], reasons::TASK_QUEUE_NOT_FOUND, "no TaskQueue thumbnails");
}

#[test]
fn queues_on_two_brokers_are_refused() {
    let pool = pool_with(json!({ "queues": [{ "taskQueue": "a" }, { "taskQueue": "b" }] }));
    let on = |name: &str, broker: serde_json::Value| queue_with(name, json!({ "broker": broker }));
    let a = || on("a", json!({ "url": "redis://redis/0" }));
    validate(&pool, &by_name([a(), on("b", json!({ "url": "redis://redis/0" }))])).unwrap();
    for other in [
        json!({ "url": "redis://redis/1" }),
        json!({ "url": "redis://redis/0", "redis": { "keyPrefix": "x" } }),
        json!({ "url": "redis://redis/0", "passwordFrom": { "secretKeyRef": { "name": "s", "key": "k" } } }),
    ] {
        refused(&pool, [a(), on("b", other)], reasons::BROKERS_DIFFER, "TaskQueues a and b");
    }
}

#[test]
fn queues_with_two_result_stores_are_refused() {
    let pool = pool_with(json!({ "queues": [{ "taskQueue": "a" }, { "taskQueue": "b" }] }));
    let b = queue_with("b", json!({ "results": { "url": "redis://redis/1" } }));
    refused(&pool, [queue("a"), b], reasons::RESULTS_DIFFER, "TaskQueues a and b");
    let results = |extended: bool| json!({ "results": { "url": "redis://redis/1", "extended": extended } });
    let [a, b] = [("a", true), ("b", false)].map(|(name, extended)| queue_with(name, results(extended)));
    refused(&pool, [a, b], reasons::RESULTS_DIFFER, "whether they are extended");
}

#[test]
fn one_queue_under_two_names_is_refused() {
    let pool = pool_with(json!({ "queues": [{ "taskQueue": "a" }, { "taskQueue": "b" }] }));
    let [a, b] = ["a", "b"].map(|name| queue_with(name, json!({ "queue": "celery" })));
    refused(&pool, [a, b], reasons::QUEUE_TWICE, "celery");
}

#[test]
fn a_queues_limits_are_its_own_and_cut_to_the_pools() {
    let limits = |queue_limits: serde_json::Value| {
        let queue = queue_with("thumbnails", queue_limits);
        let pool = pool_with(json!({ "timeLimit": "10m", "softTimeLimit": "9m" }));
        let validated = validate(&pool, &by_name([queue])).unwrap();
        assert_eq!(validated.defaults, Limits { hard: Some(600.0), soft: Some(540.0) });
        let Limits { hard, soft } = validated.queues[0].limits;
        (hard, soft)
    };
    assert_eq!(limits(json!({})), (None, None));
    assert_eq!(limits(json!({ "timeLimit": "1m", "softTimeLimit": "30s" })), (Some(60.0), Some(30.0)));
    assert_eq!(limits(json!({ "timeLimit": "none" })), (None, None));
    assert_eq!(limits(json!({ "timeLimit": "20m", "softTimeLimit": "15m" })), (Some(600.0), Some(900.0)));
}

#[test]
fn each_queue_of_a_pool_has_limits_of_its_own() {
    let pool = pool_with(json!({ "queues": [{ "taskQueue": "a" }, { "taskQueue": "b" }] }));
    let b = queue_with("b", json!({ "timeLimit": "1m" }));
    let queues = validate(&pool, &by_name([queue("a"), b])).unwrap().queues;
    let hard: Vec<Option<f64>> = queues.iter().map(|queue| queue.limits.hard).collect();
    assert_eq!(hard, [None, Some(60.0)]);
}

#[test]
fn a_tasks_retries_are_what_its_worker_is_told() {
    let retry = |retry: serde_json::Value| {
        let task = crate::fixtures::with(json!({ "name": "make", "command": ["a"] }), retry);
        let validated = validate(&pool_with(json!({ "tasks": [task] })), &thumbnails()).unwrap();
        validated.tasks["make"].retry.clone()
    };
    assert_eq!(retry(json!({})), None, "its queue has the word");
    assert_eq!(retry(json!({ "retry": {} })), Some(RetryPolicy::default()), "both sides have one default");
    let told = retry(json!({ "retry": {
        "max": 8, "delay": "500ms", "backoff": "Exponential", "maxDelay": "1h", "jitter": true,
        "onExitCodes": [1, 255], "onErrors": ["ConnectionError", "requests.exceptions.Timeout"],
    } }));
    let expected = RetryPolicy {
        max: Some(8),
        delay: 0.5,
        exponential: true,
        most: 3600.0,
        jitter: true,
        exit_codes: vec![1, 255],
        errors: vec!["ConnectionError".to_owned(), "requests.exceptions.Timeout".to_owned()],
    };
    assert_eq!(told, Some(expected));
    assert_eq!(retry(json!({ "retry": { "max": "none" } })).unwrap().max, None);
}

#[test]
fn a_queue_brings_retries_deliveries_and_its_weight_in_the_pool() {
    let thumbnails = queue_with(
        "thumbnails",
        json!({ "retry": { "max": 1 }, "deadLetter": { "queue": "dead", "maxDeliveries": 2 } }),
    );
    let pool = pool_with(json!({
        "queueOrder": "Weighted",
        "queues": [{ "taskQueue": "reports", "weight": 7 }, { "taskQueue": "thumbnails" }],
    }));
    let validated = validate(&pool, &by_name([thumbnails, queue("reports")])).unwrap();
    assert_eq!(validated.order, Order::Weighted);
    let told: Vec<_> = validated
        .queues
        .iter()
        .map(|queue| (queue.weight, queue.max_deliveries, queue.retry.as_ref().and_then(|retry| retry.max)))
        .collect();
    assert_eq!(told, [(7, Some(5), None), (1, Some(2), Some(1))]);
    assert_eq!(validated.queues[1].dead_letter, "dead");
}

#[test]
fn a_rate_is_told_in_celerys_words() {
    let task = json!({ "name": "make", "command": ["a"], "rateLimit": "100/m" });
    let validated = validate(&pool_with(json!({ "tasks": [task] })), &thumbnails()).unwrap();
    let rate = validated.tasks["make"].rate_limit.as_deref();
    assert_eq!(rate, Some("100/m"));
    petiole_protocol::control::RateLimit::parse(rate.unwrap()).unwrap();
}

#[test]
fn a_route_whose_pattern_cannot_be_read_is_refused() {
    let routes = |task: &str| pool_with(json!({ "routes": [{ "task": task, "queue": "a" }] }));
    for good in ["mail.*", "mail.[ab]*", "mail.send", "[z-a]"] {
        validate(&routes(good), &thumbnails()).unwrap();
    }
    refused(
        &routes("[z-a]*"),
        [queue("thumbnails")],
        reasons::ROUTE_REFUSED,
        "the pattern \"[z-a]*\" cannot be used",
    );
}

#[test]
fn a_command_that_cannot_be_filled_is_refused_with_the_place() {
    let with =
        |command: serde_json::Value| pool_with(json!({ "tasks": [{ "name": "make", "command": command }] }));
    let thumbnails = || [queue("thumbnails")];
    for (command, says) in [
        (json!(["convert", "$(args[x])"]), "task make: command[1], column"),
        (json!(["$(args[0])"]), "the program cannot come from a message"),
        (json!([""]), "the program is empty"),
        (json!([]), "write a command"),
    ] {
        refused(&with(command), thumbnails(), reasons::TASK_REFUSED, says);
    }
    let plain = validate(&with(json!(["convert", "$$(args[0])"])), &by_name(thumbnails())).unwrap();
    assert_eq!(plain.tasks["make"].command[1], "$$(args[0])");
}

#[test]
fn the_grace_period_is_made_for_the_longest_task_that_can_run() {
    let grace =
        |spec: serde_json::Value| validate(&pool_with(spec), &thumbnails()).map(|pool| pool.grace_seconds);
    let task = |limit: &str| json!([{ "name": "make", "command": ["a"], "timeLimit": limit }]);
    assert_eq!(grace(json!({})), Ok(3600 + GRACE_MARGIN_SECONDS));
    assert_eq!(grace(json!({ "tasks": task("1m") })), Ok(60 + GRACE_MARGIN_SECONDS));
    assert_eq!(grace(json!({ "tasks": task("1m"), "drain": { "gracePeriod": "2h" } })), Ok(7200));
    let serve = json!({ "mode": "Serve", "serve": { "command": ["a"] }, "tasks": [{ "name": "a", "timeLimit": "1m" }] });
    assert_eq!(grace(serve), Ok(3600 + GRACE_MARGIN_SECONDS));
    assert_eq!(grace(json!({ "timeLimit": "none", "tasks": task("1m") })), Ok(60 + GRACE_MARGIN_SECONDS));
    assert!(grace(json!({ "timeLimit": "none" })).is_err());
}

#[test]
fn the_grace_period_is_made_for_the_most_patient_of_the_queues() {
    let grace = |task: serde_json::Value, limits: [&str; 2]| {
        let [a, b] = [("a", limits[0]), ("b", limits[1])]
            .map(|(name, limit)| queue_with(name, json!({ "timeLimit": limit })));
        let task = crate::fixtures::with(json!({ "name": "make", "command": ["a"] }), task);
        let pool =
            pool_with(json!({ "queues": [{ "taskQueue": "a" }, { "taskQueue": "b" }], "tasks": [task] }));
        validate(&pool, &by_name([a, b])).unwrap().grace_seconds - GRACE_MARGIN_SECONDS
    };
    assert_eq!(grace(json!({}), ["1m", "2m"]), 120);
    assert_eq!(grace(json!({}), ["1m", "2h"]), 3600, "no queue has more than the pool");
    assert_eq!(grace(json!({}), ["1m", "none"]), 3600);
    assert_eq!(grace(json!({ "timeLimit": "5m" }), ["1m", "2m"]), 300, "the task's own comes first");
}

#[test]
fn a_template_that_takes_what_is_ours_is_refused() {
    let with = |task: serde_json::Value, pod: serde_json::Value| {
        let task = crate::fixtures::with(json!({ "name": "task", "image": "a" }), task);
        let pod = crate::fixtures::with(json!({ "containers": [task] }), pod);
        pool_with(json!({ "template": { "spec": pod } }))
    };
    let none = || json!({});
    for (pool, says) in [
        (with(none(), json!({ "volumes": [{ "name": "petiole-socket" }] })), "start with petiole-"),
        (
            with(json!({ "volumeMounts": [{ "name": "a", "mountPath": "/petiole/run" }] }), none()),
            "below /petiole",
        ),
        (
            with(json!({ "env": [{ "name": "PETIOLE_SOCKET", "value": "/a" }] }), none()),
            "PETIOLE_SOCKET is set",
        ),
    ] {
        refused(&pool, [queue("thumbnails")], reasons::TEMPLATE_REFUSED, says);
    }
}

#[test]
fn what_celery_s_worker_cannot_be_told_is_refused() {
    let odd = queue_with("thumbnails", json!({ "queue": "a,b" }));
    refused(&celery_pool(json!({})), [odd], reasons::TASK_REFUSED, "parts names at commas");
    let task = |env: &str| {
        let env = json!([{ "name": env, "value": "a" }]);
        let container = json!({ "name": "task", "image": "shop:1", "env": env });
        celery_pool(json!({ "template": { "spec": { "containers": [container] } } }))
    };
    let says = "POD_NAME is set by Petiole";
    refused(&task("POD_NAME"), [queue("thumbnails")], reasons::TEMPLATE_REFUSED, says);
    validate(&task("A"), &thumbnails()).unwrap();
}
