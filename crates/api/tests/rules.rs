//! The schema's rules, evaluated on good and bad objects, and what they say.

#![allow(clippy::needless_pass_by_value, reason = "the helpers take literals")]

use petiole_api::check::refusals;
use petiole_api::examples::examples;
use petiole_api::{TaskQueue, WorkerPool};
use serde_json::{Value, json};

fn queue(spec: Value) -> Value {
    json!({ "apiVersion": "petiole.dev/v1alpha1", "kind": "TaskQueue", "metadata": { "name": "images" }, "spec": spec })
}

fn queue_with_broker(broker: Value) -> Value {
    queue(json!({ "broker": broker }))
}

/// `base` with the fields of `more`, which win.
fn with(mut base: Value, more: Value) -> Value {
    if let Value::Object(fields) = more {
        for (name, value) in fields {
            base[name] = value;
        }
    }
    base
}

fn pool(spec: Value) -> Value {
    let spec = with(json!({ "queues": [{ "taskQueue": "images" }] }), spec);
    json!({ "apiVersion": "petiole.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": "images" }, "spec": spec })
}

fn exec_pool(spec: Value) -> Value {
    let mut plain = json!({ "tasks": [{ "name": "resize", "command": ["resize"] }] });
    if spec.get("template").is_none() {
        plain["image"] = json!("resize:1");
    }
    pool(with(plain, spec))
}

fn templated(pod: Value) -> Value {
    exec_pool(json!({ "template": { "spec": pod } }))
}

#[track_caller]
fn accepted(object: &Value) {
    assert_eq!(refusals(object), Vec::<String>::new());
}

/// Refused once, with a message that holds this.
#[track_caller]
fn refused(object: &Value, says: &str) {
    let refusals = refusals(object);
    assert!(refusals.len() == 1 && refusals[0].contains(says), "{refusals:#?}");
}

#[test]
fn every_example_is_accepted_and_reads_back_as_it_was_written() {
    for example in examples() {
        for object in example.objects {
            let value = object.to_value().unwrap();
            accepted(&value);
            match object {
                petiole_api::examples::Object::TaskQueue(queue) => {
                    assert_eq!(*queue, serde_json::from_value::<TaskQueue>(value).unwrap());
                }
                petiole_api::examples::Object::WorkerPool(pool) => {
                    assert_eq!(*pool, serde_json::from_value::<WorkerPool>(value).unwrap());
                }
                petiole_api::examples::Object::Secret(_) => (),
            }
        }
    }
}

#[test]
fn each_form_of_a_broker_is_accepted() {
    for broker in [
        json!({ "url": "redis://redis:6379/0" }),
        json!({ "url": "rediss://app@redis:6379", "passwordFrom": { "secretKeyRef": { "name": "a", "key": "b" } } }),
        json!({ "urlFrom": { "secretKeyRef": { "name": "a", "key": "b" } } }),
        json!({ "url": "sentinel://a:26379/0;sentinel://b:26379/0", "redis": { "sentinel": { "masterName": "m" } } }),
        json!({ "url": "rediss://redis", "tls": { "caFrom": { "secretKeyRef": { "name": "a", "key": "b" } } } }),
    ] {
        accepted(&queue_with_broker(broker));
    }
}

#[test]
fn a_password_in_a_url_is_refused() {
    for url in [
        "redis://:secret@redis:6379/0",
        "redis://app:secret@redis",
        "rediss://app:se/cr:et@redis",
        "redis://redis/0?password=secret",
    ] {
        refused(&queue_with_broker(json!({ "url": url })), "a password does not belong in the URL");
    }
    let behind_sentinel = json!({ "url": "sentinel://a:1/0;sentinel://:secret@b:1/0", "redis": { "sentinel": { "masterName": "m" } } });
    refused(&queue_with_broker(behind_sentinel), "a password does not belong in the URL");
}

#[test]
fn a_broker_that_cannot_be_meant_is_refused() {
    let key = json!({ "secretKeyRef": { "name": "a", "key": "b" } });
    for (broker, says) in [
        (json!({}), "write exactly one of url and urlFrom"),
        (json!({ "url": "redis://a", "urlFrom": key }), "write exactly one of url and urlFrom"),
        (json!({ "url": "amqp://a" }), "write redis://HOST:PORT/DB"),
        (json!({ "url": "redis://a;redis://b" }), "write redis://HOST:PORT/DB"),
        (json!({ "urlFrom": key, "passwordFrom": key }), "leave usernameFrom and passwordFrom out"),
        (json!({ "url": "redis://a", "usernameFrom": key }), "usernameFrom needs passwordFrom"),
        (json!({ "url": "redis://u@a", "usernameFrom": key, "passwordFrom": key }), "leave one of them out"),
        (json!({ "url": "sentinel://a" }), "needs redis.sentinel.masterName"),
        (
            json!({ "url": "redis://a", "redis": { "sentinel": { "masterName": "m" } } }),
            "belongs to a sentinel:// URL",
        ),
        (json!({ "url": "redis://a", "tls": { "caFrom": key } }), "write rediss:// instead of redis://"),
        (json!({ "url": "rediss://a", "tls": {} }), "leave tls out"),
        (
            json!({ "url": "rediss://a", "tls": { "caFrom": key, "keyFrom": key } }),
            "write certificateFrom and keyFrom",
        ),
        (json!({ "url": "redis://a", "redis": { "prioritySteps": [3, 6] } }), "rising order from 0"),
        (json!({ "url": "redis://a", "redis": { "prioritySteps": [0, 6, 3] } }), "rising order from 0"),
        (json!({ "url": "redis://a", "redis": { "prioritySteps": [0, 3, 3] } }), "rising order from 0"),
        (
            json!({ "url": "redis://a", "redis": { "visibilityTimeout": "1 hour" } }),
            "write a duration such as",
        ),
        (json!({ "url": "redis://a", "amqp": {} }), "spec.broker.amqp: there is no such field"),
    ] {
        refused(&queue_with_broker(broker), says);
    }
}

#[test]
fn a_result_store_has_the_rules_of_a_broker() {
    let results = |store: Value| queue(json!({ "broker": { "url": "redis://a" }, "results": store }));
    accepted(&results(json!({ "url": "redis://a/1", "expires": "0" })));
    refused(&results(json!({ "url": "redis://:secret@a/1" })), "a password does not belong in the URL");
    refused(&results(json!({ "expires": "1h" })), "write exactly one of url and urlFrom");
    refused(&results(json!({ "url": "redis://a/1", "expires": "never" })), "or 0 to keep results for ever");
    refused(&results(json!({ "url": "db+sqlite:///a" })), "write redis://HOST:PORT/DB");
}

#[test]
fn a_queue_cannot_be_its_own_dead_letter_queue() {
    let queue = |spec: Value| queue(with(json!({ "broker": { "url": "redis://a" } }), spec));
    accepted(&queue(json!({ "deadLetter": {} })));
    accepted(&queue(json!({ "queue": "celery", "deadLetter": { "queue": "images" } })));
    refused(&queue(json!({ "deadLetter": { "queue": "images" } })), "deadLetter.queue is the queue itself");
    refused(
        &queue(json!({ "queue": "a", "deadLetter": { "queue": "a" } })),
        "deadLetter.queue is the queue itself",
    );
    refused(&queue(json!({ "queue": "a\u{6}\u{16}3" })), "without control characters");
    accepted(&queue(json!({ "deadLetter": { "maxDeliveries": 1 } })));
}

#[test]
fn a_name_that_leaves_no_room_for_a_pod_s_is_refused() {
    let mut object = exec_pool(json!({}));
    object["metadata"]["name"] = json!("n".repeat(52));
    accepted(&object);
    object["metadata"]["name"] = json!("n".repeat(53));
    refused(&object, "at most 52 characters");
}

#[test]
fn a_pool_without_what_its_mode_needs_is_refused() {
    accepted(&exec_pool(json!({})));
    accepted(&pool(json!({ "mode": "Serve", "image": "a", "serve": { "command": ["a"] } })));
    let task = |more: Value| json!([with(json!({ "name": "resize" }), more)]);
    let serve = json!({ "command": ["a"] });
    for (spec, says) in [
        (json!({ "tasks": task(json!({ "command": ["a"] })) }), "write exactly one of image"),
        (json!({ "image": "a" }), "mode Exec needs tasks:"),
        (json!({ "image": "a", "tasks": task(json!({})) }), "mode Exec needs tasks[].command"),
        (
            json!({ "image": "a", "tasks": task(json!({ "command": ["a"] })), "serve": serve }),
            "serve belongs to mode Serve",
        ),
        (json!({ "image": "a", "mode": "Serve" }), "mode Serve needs serve.command"),
        (
            json!({ "image": "a", "mode": "Serve", "serve": serve, "tasks": task(json!({ "command": ["a"] })) }),
            "leave tasks[].command",
        ),
        (
            json!({ "image": "a", "mode": "Serve", "serve": serve, "tasks": task(json!({ "result": "text" })) }),
            "tasks[].result out",
        ),
    ] {
        refused(&pool(spec), says);
    }
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let task = |limits: Value| json!([with(json!({ "name": "resize", "command": ["a"] }), limits)]);
    accepted(&exec_pool(json!({ "timeLimit": "none", "drain": { "gracePeriod": "2h" } })));
    accepted(&exec_pool(json!({ "tasks": task(json!({ "timeLimit": "1h", "softTimeLimit": "59m" })) })));
    for (spec, says) in [
        (json!({ "timeLimit": "none" }), "timeLimit none needs drain.gracePeriod"),
        (json!({ "timeLimit": "0s" }), "write a duration such as 90s, 10m or 1h30m, or none"),
        (json!({ "timeLimit": "1m", "softTimeLimit": "60s" }), "softTimeLimit must be shorter"),
        (json!({ "tasks": task(json!({ "timeLimit": "61m" })) }), "must not be longer than the pool's"),
        (json!({ "tasks": task(json!({ "timeLimit": "none" })) }), "must not be longer than the pool's"),
        (
            json!({ "tasks": task(json!({ "timeLimit": "1m", "softTimeLimit": "1m" })) }),
            "softTimeLimit must be shorter",
        ),
    ] {
        refused(&exec_pool(spec), says);
    }
}

#[test]
fn retries_that_cannot_be_meant_are_refused() {
    let retry =
        |retry: Value| exec_pool(json!({ "tasks": [{ "name": "a", "command": ["a"], "retry": retry }] }));
    for good in [
        json!({}),
        json!({ "max": 0, "delay": "10m" }),
        json!({ "max": "none", "delay": "1s", "backoff": "Exponential", "maxDelay": "1h", "jitter": true }),
        json!({ "onExitCodes": [1, 75, 255], "onErrors": ["OSError", "photos.errors.TimeLimitExceeded"] }),
    ] {
        accepted(&retry(good));
    }
    for (bad, says) in [
        (json!({ "max": -1 }), "or none for no end"),
        (json!({ "max": 1_000_001 }), "from 0 to 1000000"),
        (json!({ "delay": "0s" }), "write a duration such as"),
        (json!({ "delay": "11m" }), "which is 10m when it is not written"),
        (json!({ "delay": "2s", "maxDelay": "1s" }), "delay must not be longer than maxDelay"),
        (json!({ "onExitCodes": [1, 0] }), "0 is success"),
        (json!({ "onExitCodes": [256] }), "from 1 to 255"),
        (json!({ "onErrors": ["*"] }), "* is not one"),
        (json!({ "onErrors": ["TimeLimitExceeded"] }), "leave TimeLimitExceeded and WorkerLostError out"),
        (json!({ "onErrors": ["billiard.exceptions.WorkerLostError"] }), "is not tried again"),
        (json!({ "onError": ["OSError"] }), "retry.onError: there is no such field"),
    ] {
        refused(&retry(bad), says);
    }
}

#[test]
fn a_queue_has_the_rules_of_a_task_for_its_retries() {
    let retry = |retry: Value| queue(json!({ "broker": { "url": "redis://a" }, "retry": retry }));
    accepted(&retry(json!({ "max": "none", "backoff": "Exponential", "onExitCodes": [7] })));
    refused(&retry(json!({ "delay": "11m" })), "which is 10m when it is not written");
    refused(&retry(json!({ "onErrors": ["*"] })), "* is not one");
}

#[test]
fn a_rate_is_so_many_in_a_time() {
    let rate =
        |rate: Value| exec_pool(json!({ "tasks": [{ "name": "a", "command": ["a"], "rateLimit": rate }] }));
    for good in ["10/s", "100/m", "5/h"] {
        accepted(&rate(json!(good)));
    }
    for bad in ["10", "0/s", "1.5/s", "10/d", "10/s "] {
        refused(&rate(json!(bad)), "such as 10/s, 100/m or 5/h");
    }
}

#[test]
fn weights_count_where_queues_are_weighted() {
    let queues = |order: &str, weight: u32| {
        let queues = json!([{ "taskQueue": "a", "weight": weight }, { "taskQueue": "b" }]);
        exec_pool(json!({ "queueOrder": order, "queues": queues }))
    };
    accepted(&queues("Weighted", 3));
    accepted(&queues("Strict", 1));
    refused(&queues("Strict", 3), "queueOrder: Weighted alone: write that, or leave weight out");
    let plain = json!([{ "taskQueue": "a", "weight": 2 }]);
    refused(&exec_pool(json!({ "queues": plain })), "queueOrder: Weighted alone");
}

#[test]
fn forms_of_messages_that_cannot_be_meant_are_refused() {
    let serve = |accept: Value| {
        pool(json!({ "mode": "Serve", "image": "a", "serve": { "command": ["a"] }, "accept": accept }))
    };
    let certificates = || json!({ "secretRef": { "name": "signers" } });
    for good in [
        json!({}),
        json!({ "content": ["json", "yaml", "msgpack", "pickle"] }),
        json!({ "content": ["auth"], "certificatesFrom": certificates() }),
        json!({ "content": ["json", "auth"], "certificatesFrom": certificates(), "onlySigned": true }),
        json!({ "content": ["auth"], "certificatesFrom": certificates(), "digest": "sha512" }),
    ] {
        accepted(&serve(good));
    }
    for (bad, says) in [
        (json!({ "content": ["json", "json"] }), "write each form once"),
        (json!({ "content": ["auth"] }), "auth is for signed messages, and needs certificatesFrom"),
        (json!({ "certificatesFrom": certificates() }), "add auth to content, or leave certificatesFrom out"),
        (json!({ "onlySigned": true }), "add auth to content, or leave onlySigned out"),
        (json!({ "digest": "sha512" }), "add auth to content, or leave digest out"),
        (json!({ "contents": ["json"] }), "accept.contents: there is no such field"),
    ] {
        refused(&serve(bad), says);
    }
    refused(&exec_pool(json!({ "accept": { "content": ["json", "pickle"] } })), "pickle needs mode Serve");
    accepted(&exec_pool(json!({ "accept": { "content": ["json", "msgpack"] } })));
}

#[test]
fn a_key_that_signs_has_a_certificate() {
    let from = |key: &str| json!({ "secretKeyRef": { "name": "signer", "key": key } });
    let signing = |signing: Value| exec_pool(json!({ "signing": signing }));
    accepted(&signing(json!({ "keyFrom": from("tls.key"), "certificateFrom": from("tls.crt") })));
    accepted(&signing(json!({ "keyFrom": from("a"), "certificateFrom": from("b"), "digest": "sha384" })));
    let both =
        json!({ "keyFrom": from("a"), "certificateFrom": from("b"), "key": "-----BEGIN PRIVATE KEY-----" });
    refused(&signing(both), "signing.key: there is no such field");
    let unread = |bad: Value| serde_json::from_value::<WorkerPool>(signing(bad)).unwrap_err().to_string();
    assert!(unread(json!({ "keyFrom": from("a") })).contains("missing field `certificateFrom`"));
    let md5 = json!({ "keyFrom": from("a"), "certificateFrom": from("b"), "digest": "md5" });
    assert!(unread(md5).contains("unknown variant `md5`"));
}

#[test]
fn a_route_leads_to_a_queue_that_can_have_that_name() {
    let routes = |queue: &str| exec_pool(json!({ "routes": [{ "task": "mail.*", "queue": queue }] }));
    accepted(&routes("mail"));
    refused(&routes("a\u{6}\u{16}3"), "without control characters");
}

#[test]
fn exit_codes_are_a_matter_of_mode_exec() {
    let serve = |retry: Value| {
        let tasks = json!([{ "name": "a", "retry": retry }]);
        pool(json!({ "mode": "Serve", "image": "a", "serve": { "command": ["a"] }, "tasks": tasks }))
    };
    accepted(&serve(json!({ "max": 1, "onErrors": ["OSError"] })));
    refused(&serve(json!({ "onExitCodes": [1] })), "leave tasks[].retry.onExitCodes out");
}

#[test]
fn a_template_keeps_what_kubernetes_knows_and_gives_up_nothing_of_ours() {
    accepted(&templated(json!({
        "containers": [
            { "name": "task", "image": "a", "resources": { "limits": { "memory": "1Gi" } } },
            { "name": "cache", "image": "b", "command": ["c"] },
        ],
        "initContainers": [{ "name": "fetch", "image": "b" }],
        "nodeSelector": { "disk": "fast" },
        "hostPID": false,
    })));
    let task = |more: Value| json!([with(json!({ "name": "task", "image": "a" }), more)]);
    for (pod, says) in [
        (json!({ "containers": [{ "name": "app", "image": "a" }] }), "one container must be named task"),
        (json!({ "containers": [{ "name": "task" }] }), "the container task needs an image"),
        (
            json!({ "containers": task(json!({ "command": ["a"] })) }),
            "write the program into tasks[].command",
        ),
        (json!({ "containers": task(json!({})), "hostPID": true }), "hostPID would show"),
        (
            json!({ "containers": task(json!({})), "shareProcessNamespace": true }),
            "shareProcessNamespace would let",
        ),
        (
            json!({ "containers": task(json!({})), "terminationGracePeriodSeconds": 5 }),
            "write drain.gracePeriod",
        ),
        (json!({ "containers": task(json!({})), "restartPolicy": "Never" }), "leave restartPolicy out"),
        (
            json!({ "containers": [{ "name": "task", "image": "a" }, { "name": "worker", "image": "b" }] }),
            "the names worker and install-runner are taken",
        ),
        (
            json!({ "containers": task(json!({})), "initContainers": [{ "name": "install-runner", "image": "b" }] }),
            "choose another one for your init container",
        ),
    ] {
        refused(&templated(pod), says);
    }
    let labelled = json!({ "metadata": { "labels": { "petiole.dev/pool": "other" } },
        "spec": { "containers": task(json!({})) } });
    refused(&exec_pool(json!({ "template": labelled })), "Petiole's own: choose another name");
}

#[test]
fn a_queue_that_a_pool_names_twice_is_refused() {
    let queues = json!([{ "taskQueue": "a" }, { "taskQueue": "a" }]);
    refused(&exec_pool(json!({ "queues": queues })), "write each TaskQueue once");
}

#[test]
fn a_misspelt_field_is_named() {
    refused(&exec_pool(json!({ "concurency": 4 })), "spec.concurency: there is no such field");
}

fn scaled_pool(scaling: Value) -> Value {
    exec_pool(json!({ "scaling": scaling }))
}

#[test]
fn each_form_of_scaling_is_accepted() {
    for scaling in [
        json!({ "mode": "Manual" }),
        json!({ "maxReplicas": 1, "messagesPerReplica": 1 }),
        json!({ "mode": "HorizontalPodAutoscaler", "maxReplicas": 9, "messagesPerReplica": 1, "pause": "In" }),
        json!({ "minReplicas": 2, "maxReplicas": 2, "drainSeconds": 60, "pause": "In" }),
        json!({ "maxReplicas": 9, "drainSeconds": 60, "coolDownSeconds": 0, "fallback": { "replicas": 9 } }),
        json!({ "maxReplicas": 9, "drainSeconds": 60, "behavior": {
            "scaleUp": { "stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
                { "type": "Percent", "value": 100, "periodSeconds": 15 },
                { "type": "Pods", "value": 4, "periodSeconds": 15 },
            ] },
            "scaleDown": { "selectPolicy": "Disabled" },
        } }),
    ] {
        accepted(&scaled_pool(scaling));
    }
}

#[test]
fn scaling_that_cannot_be_meant_is_refused_with_what_to_write() {
    for (scaling, says) in [
        (json!({ "messagesPerReplica": 1 }), "write maxReplicas: the most pods"),
        (
            json!({ "mode": "HorizontalPodAutoscaler", "messagesPerReplica": 1 }),
            "write maxReplicas: the most pods",
        ),
        (
            json!({ "mode": "HorizontalPodAutoscaler", "maxReplicas": 2, "drainSeconds": 60 }),
            "Write messagesPerReplica, or mode: Native",
        ),
        (
            json!({ "mode": "HorizontalPodAutoscaler", "maxReplicas": 2, "messagesPerReplica": 1,
                "fallback": { "replicas": 1 } }),
            "Leave fallback out, or write mode: Native",
        ),
        (
            json!({ "minReplicas": 3, "maxReplicas": 2, "messagesPerReplica": 1 }),
            "raise maxReplicas, or lower minReplicas",
        ),
        (json!({ "maxReplicas": 2 }), "write exactly one of messagesPerReplica"),
        (
            json!({ "maxReplicas": 2, "messagesPerReplica": 1, "drainSeconds": 1 }),
            "write exactly one of messagesPerReplica",
        ),
        (
            json!({ "maxReplicas": 2, "drainSeconds": 1, "fallback": { "replicas": 3 } }),
            "fallback.replicas must lie between minReplicas and maxReplicas",
        ),
        (json!({ "mode": "Manual", "maxReplicas": 2 }), "leave the rest of scaling out"),
        (json!({ "mode": "Manual", "pause": "Both" }), "write mode: Native and pause: Both"),
    ] {
        refused(&scaled_pool(scaling), says);
    }
}

/// So `kubectl scale` and a `HorizontalPodAutoscaler` on a pool that scales itself hear why they cannot.
#[test]
fn replicas_of_a_pool_that_scales_itself_cannot_be_written() {
    let scaling = json!({ "maxReplicas": 9, "messagesPerReplica": 1 });
    accepted(&exec_pool(json!({ "replicas": 1, "scaling": scaling })));
    for replicas in [0, 5] {
        refused(
            &exec_pool(json!({ "replicas": replicas, "scaling": scaling })),
            "To set it yourself write scaling.mode: Manual",
        );
    }
    accepted(&exec_pool(json!({ "replicas": 5, "scaling": { "mode": "Manual" } })));
    let autoscaler = json!({ "mode": "HorizontalPodAutoscaler", "maxReplicas": 9, "messagesPerReplica": 1 });
    accepted(&exec_pool(json!({ "replicas": 5, "scaling": autoscaler })));
}

fn celery_pool(celery: Value, spec: Value) -> Value {
    let celery = with(json!({ "app": "shop" }), celery);
    pool(with(json!({ "image": "shop:1", "mode": "Celery", "celery": celery }), spec))
}

#[test]
fn an_image_that_runs_its_own_worker_is_named_by_its_application() {
    accepted(&celery_pool(json!({}), json!({})));
    accepted(&celery_pool(
        json!({ "command": ["python", "-m", "celery"], "options": ["-l", "INFO", "--max-tasks-per-child=10"] }),
        json!({ "events": true, "timeLimit": "10m", "softTimeLimit": "9m" }),
    ));
    refused(&pool(json!({ "image": "shop:1", "mode": "Celery" })), "mode: Celery with celery.app");
    refused(&exec_pool(json!({ "celery": { "app": "shop" } })), "celery belong together");
    refused(&celery_pool(json!({ "app": "-b" }), json!({})), "as celery -A takes it");
}

#[test]
fn what_the_application_says_itself_is_refused_in_mode_celery() {
    for (spec, says) in [
        (json!({ "tasks": [{ "name": "a" }] }), "leave tasks and routes out"),
        (json!({ "routes": [{ "task": "a", "queue": "b" }] }), "leave tasks and routes out"),
        (json!({ "accept": { "content": ["yaml"] } }), "leave accept and signing out"),
        (json!({ "queueOrder": "Weighted" }), "leave queueOrder"),
        (json!({ "serve": { "command": ["a"] } }), "serve belongs to mode Serve"),
        (
            json!({ "scaling": { "mode": "HorizontalPodAutoscaler", "maxReplicas": 9, "messagesPerReplica": 1 } }),
            "write scaling.mode: Native",
        ),
    ] {
        refused(&celery_pool(json!({}), spec), says);
    }
}

#[test]
fn options_of_celery_that_petiole_sets_are_refused_with_what_to_write() {
    for (option, says) in [
        ("-n", "names the worker"),
        ("--hostname=a@b", "names the worker"),
        ("-Qmail", "spec.queues"),
        ("--exclude-queues", "spec.queues"),
        ("-c4", "spec.concurrency"),
        ("--autoscale=10,1", "spec.concurrency"),
        ("--time-limit=3", "spec.timeLimit"),
        ("--soft-time-limit", "spec.timeLimit"),
        ("-E", "spec.events"),
        ("--app=other", "spec.celery.app"),
        ("--broker=redis://a", "CELERY_BROKER_URL"),
        ("-B", "one beat apart"),
        ("--purge", "throw the queues' messages away"),
        ("--detach", "first process"),
        ("--without-heartbeat", "knows by the heartbeat"),
    ] {
        refused(&celery_pool(json!({ "options": [option] }), json!({})), says);
    }
    refused(&celery_pool(json!({ "options": ["-P", "solo"] }), json!({})), "silence: none");
    accepted(&celery_pool(json!({ "options": ["-P", "solo"], "silence": "none" }), json!({})));
}
