//! A pool that an autoscaler of Kubernetes scales, from the sample to the Deployment.

use petiole_api::conditions::{DEGRADED, SCALING_ACTIVE};

use super::scaling::Scaling;
use super::*;

const AUTOSCALERS: &str = "/apis/autoscaling/v2/namespaces/photos/horizontalpodautoscalers";

fn by_kubernetes(replicas: i32, scaling: Value) -> WorkerPool {
    let plain = json!({ "mode": "HorizontalPodAutoscaler", "maxReplicas": 10, "messagesPerReplica": 10 });
    pool_with(json!({ "replicas": replicas, "scaling": crate::fixtures::with(plain, scaling) }))
}

fn autoscaler(operator: &Operator) -> Option<Value> {
    operator.server.get(&format!("{AUTOSCALERS}/resizer"))
}

/// What the operator has written into the pool's `replicas`, if anything, since it was asked last.
fn written(operator: &Operator) -> Option<Value> {
    let scaled = operator.server.calls().iter().any(|call| call == "PATCH workerpools/resizer/scale");
    let scale = operator.server.get("/apis/petiole.dev/v1alpha1/namespaces/photos/workerpools/resizer/scale");
    scale.filter(|_| scaled).map(|scale| scale["spec"]["replicas"].clone())
}

#[tokio::test(start_paused = true)]
async fn the_autoscaler_writes_how_many_pods_there_are_and_the_operator_the_first_and_the_last() {
    let mut scaling = Scaling::new();
    let new = by_kubernetes(1, json!({ "coolDownSeconds": 60 }));
    scaling.pool(&new);
    scaling.operator.look_after(&new).await;
    assert_eq!(scaling.replicas(), 0, "nobody knows yet whether there is anything to do");

    scaling.sample(Some(0)).await;
    scaling.operator.reconcile(&new).await.unwrap();
    assert_eq!(written(&scaling.operator), Some(json!(0)));

    let none = by_kubernetes(0, json!({ "coolDownSeconds": 60 }));
    assert_eq!(scaling.sample(Some(35)).await, ["resizer"]);
    scaling.operator.reconcile(&none).await.unwrap();
    assert_eq!(written(&scaling.operator), Some(json!(1)));
    let event = scaling.event(reasons::SCALED_OUT).unwrap();
    assert!(event["note"].as_str().unwrap().contains("0 -> 1 pods"), "{event}");

    let four = by_kubernetes(4, json!({ "coolDownSeconds": 60 }));
    scaling.operator.reconcile(&four).await.unwrap();
    assert_eq!((scaling.replicas(), written(&scaling.operator)), (json!(4), None));

    // There is nothing to do any more, but not for long enough.
    let one = by_kubernetes(1, json!({ "coolDownSeconds": 60 }));
    scaling.sample(Some(0)).await;
    scaling.operator.reconcile(&one).await.unwrap();
    assert_eq!((scaling.replicas(), written(&scaling.operator)), (json!(1), None));
    let status = scaling.operator.status(&one).await;
    assert_eq!((status.desired_replicas, status.last_decision, status.last_scaled), (Some(1), None, None));
}

#[tokio::test(start_paused = true)]
async fn the_last_pod_goes_when_there_was_nothing_to_do_for_long_enough() {
    let mut scaling = Scaling::new();
    let one = by_kubernetes(1, json!({ "coolDownSeconds": 0 }));
    scaling.pool(&one);
    scaling.sample(Some(5)).await;
    scaling.operator.look_after(&one).await;
    assert_eq!(written(&scaling.operator), None);
    scaling.sample(Some(0)).await;
    scaling.operator.reconcile(&one).await.unwrap();
    assert_eq!(written(&scaling.operator), Some(json!(0)));
    assert!(scaling.event(reasons::SCALED_IN).is_some());

    // Unknown is not zero, and not one either.
    scaling.sample(None).await;
    let none = by_kubernetes(0, json!({ "coolDownSeconds": 0 }));
    scaling.operator.reconcile(&none).await.unwrap();
    assert_eq!(written(&scaling.operator), None);
    let status = scaling.operator.status(&none).await;
    let active = conditions::find(&status.conditions, SCALING_ACTIVE).unwrap();
    assert_eq!(active.reason, reasons::SIGNAL_UNKNOWN, "{}", active.message);
}

#[tokio::test]
async fn the_autoscaler_is_made_once_and_goes_with_its_mode() {
    let mut operator = Operator::new();
    let behavior = json!({ "scaleDown": { "stabilizationWindowSeconds": 60,
        "policies": [{ "type": "Percent", "value": 10, "periodSeconds": 30 }] } });
    let pool = by_kubernetes(2, json!({ "minReplicas": 2, "behavior": behavior, "pause": "Out" }));
    let pool = operator.look_after(&pool).await;
    let made = autoscaler(&operator).unwrap();
    assert_eq!(made["metadata"]["ownerReferences"][0]["kind"], "WorkerPool");
    let any = json!([{ "type": "Pods", "value": 10_000, "periodSeconds": 1 }]);
    let expected = json!({
        "scaleTargetRef": { "apiVersion": "petiole.dev/v1alpha1", "kind": "WorkerPool", "name": "resizer" },
        "minReplicas": 2,
        "maxReplicas": 10,
        "metrics": [{ "type": "External", "external": {
            "metric": { "name": "petiole_pool_work",
                "selector": { "matchLabels": { "worker_pool": "resizer" } } },
            "target": { "type": "AverageValue", "averageValue": "10" },
        } }],
        "behavior": {
            "scaleUp": { "stabilizationWindowSeconds": 0, "selectPolicy": "Disabled", "policies": any },
            "scaleDown": { "stabilizationWindowSeconds": 60, "selectPolicy": "Max", "policies": [
                { "type": "Percent", "value": 10, "periodSeconds": 30 },
            ] },
        },
    });
    assert_eq!(made["spec"], expected);

    // Its status moves: that is no reason to write it again.
    let mut moved = made.clone();
    moved["status"] = json!({ "desiredReplicas": 2, "currentReplicas": 2, "conditions": [] });
    operator.server.put(&format!("{AUTOSCALERS}/resizer"), moved.clone());
    operator.watch();
    operator.reconcile(&pool).await.unwrap();
    assert!(!operator.server.calls().iter().any(|call| call.starts_with("PATCH horizontal")));
    // Somebody has changed it: that is.
    moved["spec"]["maxReplicas"] = json!(99);
    operator.server.put(&format!("{AUTOSCALERS}/resizer"), moved);
    operator.watch();
    operator.reconcile(&pool).await.unwrap();
    assert_eq!(autoscaler(&operator).unwrap()["spec"]["maxReplicas"], 10);

    operator.watch();
    operator.reconcile(&pool_with(json!({ "replicas": 2 }))).await.unwrap();
    assert_eq!(autoscaler(&operator), None);
}

#[tokio::test]
async fn an_operator_that_tells_autoscalers_nothing_makes_none_and_says_what_to_do() {
    let mut operator = Operator::new();
    Arc::get_mut(&mut operator.context).unwrap().tells_autoscalers = false;
    let pool = operator.look_after(&by_kubernetes(3, json!({}))).await;
    assert_eq!(autoscaler(&operator), None);
    let conditions = &pool.status.as_ref().unwrap().conditions;
    let active = conditions::find(conditions, SCALING_ACTIVE).unwrap();
    assert_eq!((&*active.status, &*active.reason), ("False", reasons::EXTERNAL_METRICS_DISABLED));
    assert!(active.message.contains("externalMetrics.enabled=true"), "{}", active.message);
}

#[tokio::test]
async fn an_autoscaler_of_the_deployment_is_named_and_the_pods_stay_the_operators() {
    let mut operator = Operator::new();
    let theirs = json!({
        "metadata": { "name": "theirs", "namespace": "photos" },
        "spec": { "maxReplicas": 3,
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "resizer" } },
    });
    operator.autoscalers.apply_watcher_event(&Event::Apply(serde_json::from_value(theirs).unwrap()));
    let pool = operator.look_after(&pool_with(json!({ "replicas": 2 }))).await;
    let degraded = conditions::find(&pool.status.as_ref().unwrap().conditions, DEGRADED).unwrap();
    assert_eq!((&*degraded.status, &*degraded.reason), ("True", reasons::FOREIGN_SCALER));
    assert!(degraded.message.contains("HorizontalPodAutoscaler theirs"), "{}", degraded.message);
    assert_eq!(operator.deployment()["spec"]["replicas"], 2);
}
