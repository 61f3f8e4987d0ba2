"""A pool that scales itself: out for what waits, in without cutting anything off."""

import json
import os
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import objects
import pytest
from conftest import Client, Gate, pods
from rig.kube import Namespace
from rig.waiting import until
from rig.watching import is_ready

WITHIN = 60
#: Seconds for which the broker is away.
AWAY = float(os.environ.get("AWAY") or 5)

#: As quick as it can be: no window, no cool-down to speak of.
QUICK: dict[str, Any] = {
    "maxReplicas": 6,
    "messagesPerReplica": 1,
    "coolDownSeconds": 1,
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 1}},
}


def events(namespace: Namespace, pool: str, reason: str) -> list[str]:
    """What the events of a pool say that have this reason."""
    found = namespace.all("events")
    return [each["message"] for each in found if each["involvedObject"]["name"] == pool and each["reason"] == reason]


def staying(namespace: Namespace, pool: str) -> list[str]:
    """The pods that nobody has told to stop."""
    found = namespace.all("pods", f"petiole.dev/pool={pool}")
    return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]


def since(namespace: Namespace, pool: str) -> float:
    """When the condition ScalingActive of a pool changed last."""
    (active,) = [each for each in namespace.get("wp", pool)["status"]["conditions"] if each["type"] == "ScalingActive"]
    return datetime.fromisoformat(active["lastTransitionTime"]).timestamp()


def test_a_burst_brings_pods_from_none_and_its_end_takes_them_away(
    namespace: Namespace, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(objects.scaled_pool, ready=0, scaling=QUICK)
    sent = gate.send(pool, 6)
    until("each task has a pod", lambda: len({pod for _, pod in gate.started()}) == 6, WITHIN)
    decision = namespace.get("wp", pool)["status"]["lastDecision"]
    assert decision["replicas"] == 6
    assert decision["formula"].startswith("ceil((ready ")
    gate.open()
    assert {name: result.get(timeout=WITHIN) for name, result in sent.items()} == {name: name for name in sent}
    until("no pod is left", lambda: not pods(namespace, pool), WITHIN, every=0.3)
    # Each ran once: no pod went with a task.
    assert sorted(name for name, _ in gate.started()) == sorted(sent)
    assert events(namespace, pool, "ScaledOut")
    assert events(namespace, pool, "ScaledIn")


def test_idle_pods_go_and_the_busy_one_is_left_alone(
    namespace: Namespace, client: Client, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(objects.scaled_pool, ready=0, scaling=QUICK)
    short = Gate(client)
    ((name, result),) = gate.send(pool, 1).items()
    (busy,) = until("the long task runs", lambda: [pod for _, pod in gate.started()], WITHIN)
    sent = short.send(pool, 5)
    until("the others run", lambda: len(short.started()) == 5, WITHIN)
    short.open()
    for each in sent.values():
        each.get(timeout=WITHIN)
    until("the busy pod is alone", lambda: pods(namespace, pool) == [busy], WITHIN, every=0.3)
    assert staying(namespace, pool) == [busy]
    gate.open()
    assert result.get(timeout=WITHIN) == name
    assert len(gate.started()) == 1


def test_who_scales_a_pool_that_scales_itself_hears_why_not(namespace: Namespace, make_pool: Callable[..., str]) -> None:
    pool = make_pool(objects.scaled_pool, ready=0, scaling=QUICK)
    with pytest.raises(RuntimeError, match="scaling.mode: Manual"):
        namespace.kubectl("scale", "wp", pool, "--replicas", "3")


def draining(namespace: Namespace, pool: str) -> int:
    """How many of a pool's pods finish their tasks before they go."""
    return namespace.get("wp", pool)["status"].get("drainingReplicas", 0)


def resting(client: Client, pool: str) -> list[str]:
    """The pods whose workers have heard that they are to take no more: the operator may have said so only just now."""
    said = [json.loads(client.redis.get(key) or "{}") for key in client.redis.scan_iter("petiole:load:*")]
    return [each["host"] for each in said if each.get("pool") == pool and each["draining"]]


def ready(namespace: Namespace, pool: str) -> list[str]:
    """The pods that take tasks, or finish those that they have."""
    found = namespace.all("pods", f"petiole.dev/pool={pool}")
    return sorted(pod["metadata"]["name"] for pod in found if is_ready(pod))


def scale(namespace: Namespace, pool: str, replicas: int) -> None:
    """Scales a pool by hand."""
    namespace.kubectl("scale", "wp", pool, "--replicas", str(replicas))


def test_a_pod_that_is_to_go_drains_while_it_is_ready_and_goes_then(
    namespace: Namespace, client: Client, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(objects.pool, replicas=2, concurrency=1)
    sent = gate.send(pool, 2)
    until("each pod has a task", lambda: len({pod for _, pod in gate.started()}) == 2, WITHIN)
    both = sorted(staying(namespace, pool))
    scale(namespace, pool, 1)
    until("one drains", lambda: draining(namespace, pool) == len(resting(client, pool)) == 1, WITHIN)
    # The other has no room for it either.
    later = Gate(client)
    ((name, result),) = later.send(pool, 1).items()
    until("its place is known", lambda: namespace.get("wp", pool)["status"]["desiredReplicas"] == 1, WITHIN)
    assert ready(namespace, pool) == sorted(staying(namespace, pool)) == both
    assert namespace.get("deployment", pool)["spec"]["replicas"] == 2
    gate.open()
    assert {name: each.get(timeout=WITHIN) for name, each in sent.items()} == {name: name for name in sent}
    until("one pod is left", lambda: len(pods(namespace, pool)) == 1, WITHIN, every=0.3)
    (stays,) = pods(namespace, pool)
    until("it has the task that came later", lambda: later.started() == [(name, stays)], WITHIN)
    later.open()
    assert result.get(timeout=WITHIN) == name
    assert sorted(name for name, _ in gate.started()) == sorted(sent)
    until("nobody drains any more", lambda: draining(namespace, pool) == 0, WITHIN)


def test_pods_that_drain_are_called_back_when_they_are_wanted_again(
    namespace: Namespace, client: Client, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(objects.pool, replicas=2, concurrency=1)
    gate.send(pool, 2)
    until("each pod has a task", lambda: len({pod for _, pod in gate.started()}) == 2, WITHIN)
    both = sorted(pods(namespace, pool))
    scale(namespace, pool, 0)
    until("both drain", lambda: draining(namespace, pool) == len(resting(client, pool)) == 2, WITHIN)
    again = Gate(client)
    again.send(pool, 2)
    scale(namespace, pool, 2)
    until("nobody drains any more", lambda: draining(namespace, pool) == 0, WITHIN)
    gate.open()
    until("both have tasks again", lambda: sorted(pod for _, pod in again.started()) == both, WITHIN)
    again.open()
    assert sorted(pods(namespace, pool)) == both


def test_fewer_pods_at_most_than_at_least_are_refused(namespace: Namespace, client: Client) -> None:
    scaling = QUICK | {"minReplicas": QUICK["maxReplicas"] + 1}
    with pytest.raises(RuntimeError, match="maxReplicas must not be below minReplicas: raise maxReplicas"):
        namespace.apply(objects.scaled_pool("never", client.address, scaling=scaling))


def test_pools_on_one_queue_share_its_backlog(
    namespace: Namespace, client: Client, make_pool: Callable[..., str], gate: Gate
) -> None:
    large = make_pool(objects.scaled_pool, ready=0, scaling=QUICK | {"maxReplicas": 4})
    small = make_pool(objects.scaled_pool, ready=0, scaling=QUICK | {"maxReplicas": 2})
    # The second one takes from the first one's queue.
    shared = objects.scaled_pool(small, client.address, scaling=QUICK | {"maxReplicas": 2})
    shared["spec"]["queues"] = [{"taskQueue": large}]
    namespace.apply(shared)
    gate.send(large, 6)
    until("each task has a pod", lambda: len({pod for _, pod in gate.started()}) == 6, WITHIN)
    assert (len(pods(namespace, large)), len(pods(namespace, small))) == (4, 2)


def test_a_broker_that_is_away_moves_no_pod_and_a_condition_says_so(
    namespace: Namespace, client: Client, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(objects.scaled_pool, ready=0, scaling=QUICK | {"maxReplicas": 2})
    gate.send(pool, 2)
    until("each task has a pod", lambda: len({pod for _, pod in gate.started()}) == 2, WITHIN)
    before = sorted(pods(namespace, pool))
    namespace.kubectl("scale", "deployment/petiole-redis", "--replicas", "0")
    until("it is said", lambda: namespace.condition("wp", pool, "ScalingActive")[1] == "SignalUnknown", WITHIN)
    # Longer than the window and the cool-down together: what is not known is not nothing.
    until("it is so for long", lambda: time.time() - since(namespace, pool) > AWAY, WITHIN + AWAY, every=0.5)
    found = namespace.all("pods", f"petiole.dev/pool={pool}")
    assert sorted(pod["metadata"]["name"] for pod in found) == before
    assert all(is_ready(pod) for pod in found)
    assert namespace.condition("wp", pool, "ScalingActive")[0] == "False"
    namespace.kubectl("scale", "deployment/petiole-redis", "--replicas", "1")
    until("it is known again", lambda: namespace.condition("wp", pool, "ScalingActive")[0] == "True", WITHIN)
