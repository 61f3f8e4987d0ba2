"""Tasks run in the user's image, and their outcomes reach the client."""

from collections.abc import Callable

import pytest
from celery import states
from celery.exceptions import WorkerLostError
from conftest import Client, Gate, pods, wait_ready
from rig.kube import Namespace
from rig.waiting import until

WITHIN = 60


def test_a_task_returns_its_value_or_raises_and_leaves_the_worker_ready(
    namespace: Namespace, client: Client, make_pool: Callable[..., str]
) -> None:
    pool = make_pool(replicas=1)
    assert client.send(pool, "echo", "hello").get(timeout=WITHIN) == "hello"
    failed = client.send(pool, "fail")
    with pytest.raises(Exception, match="it went wrong"):
        failed.get(timeout=WITHIN)
    assert failed.state == states.FAILURE
    # The kernel ends what takes more memory than the container may; the pod goes on.
    with pytest.raises(WorkerLostError):
        client.send(pool, "eat").get(timeout=WITHIN)
    assert client.send(pool, "echo", "again").get(timeout=WITHIN) == "again"
    wait_ready(namespace, pool, 1)


def test_a_deleted_pod_ends_its_tasks_and_puts_back_the_rest(
    namespace: Namespace, client: Client, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(replicas=1)
    sent = gate.send(pool, 6)
    until("two tasks run", lambda: len(gate.started()) == 2, WITHIN)
    (leaving,) = pods(namespace, pool)
    namespace.kubectl("delete", "pod", leaving, "--wait=false")
    until("the next pod takes what was put back", lambda: len(gate.started()) == 4, WITHIN)
    assert leaving in pods(namespace, pool)
    gate.open()
    assert {name: result.get(timeout=WITHIN) for name, result in sent.items()} == {name: name for name in sent}
    assert sorted(name for name, _ in gate.started()) == sorted(sent)


def test_a_task_that_outlasts_the_grace_period_runs_again_in_another_pod(
    namespace: Namespace, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(replicas=1, drain={"gracePeriod": "3s"})
    (result,) = gate.send(pool, 1).values()
    until("the task runs", gate.started, WITHIN)
    (leaving,) = pods(namespace, pool)
    namespace.kubectl("delete", "pod", leaving, "--wait=false")
    until("it runs again", lambda: len(gate.started()) == 2, WITHIN)
    assert [pod == leaving for _, pod in gate.started()] == [True, False]
    gate.open()
    assert result.get(timeout=WITHIN) == "task-0"


def test_three_pods_that_are_deleted_by_force_lose_nothing(
    namespace: Namespace, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(replicas=3)
    sent = gate.send(pool, 12)
    until("every pod works", lambda: len(gate.started()) == 6, WITHIN)
    killed = pods(namespace, pool)
    namespace.kubectl("delete", "pod", *killed, "--grace-period=0", "--force", "--wait=false")
    until("other pods work", lambda: any(pod not in killed for _, pod in gate.started()), WITHIN)
    gate.open()
    assert {name: result.get(timeout=WITHIN) for name, result in sent.items()} == {name: name for name in sent}
