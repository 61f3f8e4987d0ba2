"""Kubernetes' own autoscaler, by what the operators tell it: made by the operator, and by a user."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import objects
import pytest
from conftest import API_SERVICE, Gate, another_provider, pods
from rig.kube import Namespace
from rig.waiting import until

#: The autoscaler looks each 15 s by default, and twice before it does something.
WITHIN = 150

METRICS = "/apis/external.metrics.k8s.io/v1beta1"


@pytest.fixture(autouse=True)
def provider(namespace: Namespace) -> None:
    """Waits until the API server asks the operators."""
    if other := another_provider():
        pytest.skip(f"external metrics of this cluster are led to {other}")

    def available() -> bool:
        conditions = namespace.get("apiservice", API_SERVICE).get("status", {}).get("conditions", [])
        return any(each["type"] == "Available" and each["status"] == "True" for each in conditions)

    until("the API server asks the operators", available, 60, every=0.3)


def figures(namespace: Namespace, metric: str, selector: str) -> dict[str, int]:
    """What is said of a metric, by state."""
    path = f"{METRICS}/namespaces/{namespace.name}/{metric}?labelSelector={quote(selector)}"
    items = json.loads(namespace.kubectl("get", "--raw", path))["items"]
    return {item["metricLabels"]["state"]: int(item["value"]) for item in items}


def autoscaler(name: str, kind: str, api_version: str, target: str, **spec: Any) -> dict[str, Any]:
    """A HorizontalPodAutoscaler as a user writes it: a pod for each message of the queue that has the target's name."""
    external = {
        "metric": {"name": "petiole_queue_work", "selector": {"matchLabels": {"task_queue": target}}},
        "target": {"type": "AverageValue", "averageValue": "1"},
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": api_version, "kind": kind, "name": target},
            "minReplicas": 1,
            "maxReplicas": 3,
            "metrics": [{"type": "External", "external": external}],
            **spec,
        },
    }


def test_what_there_is_to_do_can_be_asked_for(
    namespace: Namespace, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(objects.pool, replicas=0)
    gate.send(pool, 3)
    until("they are counted", lambda: figures(namespace, "petiole_queue_work", f"task_queue={pool}")["ready"] == 3, 30)
    assert figures(namespace, "petiole_queue_work", f"queue={pool},state in (due, reserved)") == {"due": 0, "reserved": 0}
    assert sum(figures(namespace, "petiole_pool_work", f"worker_pool={pool}").values()) == 3
    assert figures(namespace, "petiole_pool_work", "worker_pool=nobody") == {}

    resources = json.loads(namespace.kubectl("get", "--raw", METRICS))["resources"]
    assert {each["name"] for each in resources} == {"petiole_pool_work", "petiole_queue_work"}
    until("the schema is the API server's", lambda: METRICS[1:] in namespace.kubectl("get", "--raw", "/openapi/v3"), 60)
    with pytest.raises(RuntimeError, match="no metric petiole_nothing"):
        figures(namespace, "petiole_nothing", "")
    with pytest.raises(RuntimeError, match="forbidden"):
        path = f"{METRICS}/namespaces/{namespace.name}/petiole_queue_work"
        namespace.kubectl("get", "--as", "nobody", "--raw", path)


def test_the_operators_autoscaler_brings_pods_from_none_and_takes_the_last(
    namespace: Namespace, make_pool: Callable[..., str], gate: Gate
) -> None:
    scaling = {
        "mode": "HorizontalPodAutoscaler",
        "maxReplicas": 4,
        "messagesPerReplica": 1,
        "coolDownSeconds": 1,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    }
    pool = make_pool(objects.scaled_pool, ready=0, scaling=scaling)
    until("there is none", lambda: namespace.get("wp", pool)["spec"]["replicas"] == 0, 30)
    sent = gate.send(pool, 4)
    until("the first runs", gate.started, 30)
    until("each task has a pod", lambda: len({pod for _, pod in gate.started()}) == 4, WITHIN)
    # What runs counts, and so the autoscaler is content.
    until("it says so", lambda: namespace.condition("wp", pool, "ScalingActive")[:2] == ("True", "SignalKnown"), WITHIN)
    assert namespace.get("wp", pool)["spec"]["replicas"] == 4
    gate.open()
    assert {name: result.get(timeout=WITHIN) for name, result in sent.items()} == {name: name for name in sent}
    until("no pod is left", lambda: not pods(namespace, pool), WITHIN, every=0.3)
    assert namespace.get("wp", pool)["spec"]["replicas"] == 0
    assert sorted(name for name, _ in gate.started()) == sorted(sent)


def test_an_autoscaler_of_ones_own_scales_a_pool_by_its_scale(
    namespace: Namespace, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(objects.scaled_pool, ready=1)
    namespace.apply(autoscaler(pool, "WorkerPool", "petiole.dev/v1alpha1", pool))
    try:
        gate.send(pool, 3)
        until("each task has a pod", lambda: len({pod for _, pod in gate.started()}) == 3, WITHIN)
        assert namespace.condition("wp", pool, "Degraded")[0] == "False"
    finally:
        namespace.kubectl("delete", "hpa", pool)


def test_an_autoscaler_of_the_deployment_is_named(namespace: Namespace, make_pool: Callable[..., str]) -> None:
    pool = make_pool(objects.scaled_pool, ready=1)
    namespace.apply(autoscaler("theirs", "Deployment", "apps/v1", pool))

    def degraded() -> tuple[str, str, str]:
        return namespace.condition("wp", pool, "Degraded")

    try:
        until("it is named", lambda: degraded()[:2] == ("True", "ForeignScaler"), 30)
        assert "HorizontalPodAutoscaler theirs" in degraded()[2]
    finally:
        namespace.kubectl("delete", "hpa", "theirs")
    until("it is forgotten", lambda: degraded()[0] == "False", 30)
