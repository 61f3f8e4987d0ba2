#![allow(clippy::needless_pass_by_value, reason = "the helpers take literals")]
#![allow(clippy::unnecessary_wraps, reason = "an outcome is what is asked for")]

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::fixtures::pool_with;

fn pool(replicas: i32) -> WorkerPool {
    pool_with(json!({ "replicas": replicas }))
}

fn deployment(status: Value) -> Deployment {
    let status = crate::fixtures::with(json!({ "observedGeneration": 1 }), status);
    serde_json::from_value(json!({ "metadata": { "generation": 1 }, "status": status })).unwrap()
}

fn pod(status: Value) -> Live {
    let pod =
        serde_json::from_value(json!({ "metadata": { "name": "resizer-1" }, "status": status })).unwrap();
    Live { pods: vec![Arc::new(pod)], ..Live::default() }
}

fn now(pool: &WorkerPool, outcome: &Result<Applied, Refusal>, live: &Live) -> WorkerPoolStatus {
    let known = Known { live, latest: None, worker_image: "worker:7", tells_autoscalers: true };
    status(pool, outcome, &known, Timestamp::UNIX_EPOCH)
}

fn applied(replicas: i32, status: Value) -> Result<Applied, Refusal> {
    Ok(Applied { deployment: deployment(status), replicas, draining: 0, drain_goes_on: false })
}

#[track_caller]
fn says(status: &WorkerPoolStatus, kind: &str, expected: (&str, &str)) {
    let condition = conditions::find(&status.conditions, kind).unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), expected, "{}", condition.message);
}

#[test]
fn a_pool_is_ready_when_all_pods_that_are_wanted_take_tasks() {
    let full = json!({ "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2 });
    let status = now(&pool(2), &applied(2, full), &Live::default());
    says(&status, READY, ("True", reasons::PODS_READY));
    says(&status, PROGRESSING, ("False", reasons::SETTLED));
    says(&status, DEGRADED, ("False", reasons::AS_WANTED));
    assert_eq!((status.replicas, status.ready_replicas), (2, 2));
    assert_eq!(status.selector.as_deref(), Some("petiole.dev/pool=resizer"));
    assert_eq!(status.worker_image.as_deref(), Some("worker:7"));

    let some = json!({ "replicas": 2, "updatedReplicas": 2, "readyReplicas": 1 });
    let status = now(&pool(2), &applied(2, some), &Live::default());
    says(&status, READY, ("False", reasons::PODS_NOT_READY));
    says(&status, PROGRESSING, ("True", reasons::SCALING));

    let none = now(&pool(0), &applied(0, json!({})), &Live::default());
    says(&none, READY, ("True", reasons::NO_PODS_WANTED));
}

#[test]
fn a_roll_out_is_under_way_until_every_pod_is_of_the_new_spec() {
    let half = json!({ "replicas": 3, "updatedReplicas": 1, "readyReplicas": 2 });
    says(&now(&pool(2), &applied(2, half), &Live::default()), PROGRESSING, ("True", reasons::ROLLING_OUT));
    let unseen = json!({ "observedGeneration": 0, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2 });
    let status = now(&pool(2), &applied(2, unseen), &Live::default());
    says(&status, PROGRESSING, ("True", reasons::ROLLING_OUT));
    says(&status, READY, ("False", reasons::PODS_NOT_READY));
}

#[test]
fn a_refusal_is_said_and_the_pods_that_run_are_counted() {
    let refusal = Err(Refusal::new(reasons::TASK_QUEUE_NOT_FOUND, "there is none"));
    let live = Live {
        deployment: Some(Arc::new(deployment(
            json!({ "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2 }),
        ))),
        ..Live::default()
    };
    let status = now(&pool(2), &refusal, &live);
    says(&status, READY, ("False", reasons::TASK_QUEUE_NOT_FOUND));
    says(&status, DEGRADED, ("True", reasons::TASK_QUEUE_NOT_FOUND));
    assert_eq!(status.ready_replicas, 2);
}

#[test]
fn pods_that_the_api_server_refuses_are_said_with_its_words() {
    let refused = json!({ "conditions": [
        { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "violates PodSecurity" },
    ] });
    let status = now(&pool(1), &applied(1, refused), &Live::default());
    says(&status, DEGRADED, ("True", reasons::PODS_REFUSED));
    says(&status, READY, ("False", reasons::PODS_REFUSED));
    let degraded = conditions::find(&status.conditions, DEGRADED).unwrap();
    assert!(degraded.message.ends_with("violates PodSecurity"), "{}", degraded.message);
}

#[test]
fn a_container_that_does_not_start_is_named() {
    let waiting = json!({ "containerStatuses": [{
        "name": "task", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } },
    }] });
    let status = now(&pool(1), &applied(1, json!({ "replicas": 1, "updatedReplicas": 1 })), &pod(waiting));
    says(&status, READY, ("False", reasons::PODS_FAILING));
    let degraded = conditions::find(&status.conditions, DEGRADED).unwrap();
    assert_eq!(degraded.message, "container task of pod resizer-1: ImagePullBackOff: no such image");
    let starting = json!({ "containerStatuses": [{
        "name": "task", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": "ContainerCreating" } },
    }] });
    let status = now(&pool(1), &applied(1, json!({ "replicas": 1, "updatedReplicas": 1 })), &pod(starting));
    says(&status, READY, ("False", reasons::PODS_NOT_READY));
}

#[test]
fn only_a_new_problem_and_its_end_are_news() {
    let good = now(&pool(1), &applied(1, json!({ "replicas": 1, "readyReplicas": 1 })), &Live::default());
    let bad = now(&pool(1), &Err(Refusal::new(reasons::QUEUE_TWICE, "twice")), &Live::default());
    assert!(news(None, &good).is_empty());
    assert!(news(Some(&bad), &bad).is_empty());
    assert_eq!(news(Some(&good), &bad)[0].reason, reasons::QUEUE_TWICE);
    assert!(news(Some(&bad), &good)[0].good);
    assert_eq!(change(Some(&good), &good), Change::None);
    assert_eq!(change(Some(&good), &bad), Change::State);
}
