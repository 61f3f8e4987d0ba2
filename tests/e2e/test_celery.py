"""A pool whose image runs its own `celery worker`."""

from collections.abc import Callable

import objects
from conftest import Client, Gate, pods
from rig.kube import Namespace
from rig.waiting import until
from test_scaling import QUICK, draining, events, ready, scale, staying

WITHIN = 90


def test_a_burst_brings_celery_workers_and_the_busy_one_is_left_alone(
    namespace: Namespace, client: Client, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(objects.celery_pool, ready=0, scaling=QUICK)
    short = Gate(client)
    ((name, result),) = gate.send(pool, 1).items()
    (busy,) = until("the long task runs", lambda: [pod for _, pod in gate.started()], WITHIN)
    sent = short.send(pool, 3)
    until("the others run", lambda: len(short.started()) == 3, WITHIN)
    assert len({pod for _, pod in short.started()} | {busy}) == 4
    short.open()
    for each in sent.values():
        each.get(timeout=WITHIN)
    until("the busy pod is alone", lambda: pods(namespace, pool) == [busy], WITHIN, every=0.3)
    assert staying(namespace, pool) == [busy]
    gate.open()
    assert result.get(timeout=WITHIN) == name
    assert len(gate.started()) == 1


def test_busy_celery_workers_drain_and_one_is_called_back(
    namespace: Namespace, client: Client, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(objects.celery_pool, replicas=2)
    sent = gate.send(pool, 2)
    until("each pod has a task", lambda: len({pod for _, pod in gate.started()}) == 2, WITHIN)
    both = sorted(pods(namespace, pool))

    def taking() -> int:
        """How many workers take from the pool's queue."""
        queues = client.app.control.inspect([f"celery@{pod}" for pod in both], timeout=2).active_queues() or {}
        return sum(any(queue["name"] == pool for queue in each) for each in queues.values())

    scale(namespace, pool, 0)
    until("both drain", lambda: draining(namespace, pool) == 2 and taking() == 0, WITHIN)
    assert ready(namespace, pool) == sorted(staying(namespace, pool)) == both
    assert namespace.get("deployment", pool)["spec"]["replicas"] == 2
    scale(namespace, pool, 1)
    until("one is called back", lambda: draining(namespace, pool) == 1 and taking() == 1, WITHIN)
    later = Gate(client)
    ((name, result),) = later.send(pool, 1).items()
    gate.open()
    assert {name: each.get(timeout=WITHIN) for name, each in sent.items()} == {name: name for name in sent}
    until("one pod is left", lambda: len(pods(namespace, pool)) == 1, WITHIN, every=0.3)
    (stays,) = pods(namespace, pool)
    until("it has the task that came later", lambda: later.started() == [(name, stays)], WITHIN)
    later.open()
    assert result.get(timeout=WITHIN) == name
    assert sorted(name for name, _ in gate.started()) == sorted(sent)


def test_a_worker_that_answers_no_more_is_replaced_and_its_task_runs_again(
    namespace: Namespace, client: Client, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool(
        objects.celery_pool,
        ready=1,
        env={"VISIBILITY_TIMEOUT": "15"},
        celery={"silence": "15s"},
        drain={"gracePeriod": "5s"},
    )
    (stuck,) = pods(namespace, pool)
    ((name, result),) = gate.send(pool, 1).items()
    until("the task runs", gate.started, WITHIN)
    client.app.control.broadcast("hang", destination=[f"celery@{stuck}"])
    until("its pod is gone", lambda: stuck not in pods(namespace, pool), 420, every=1)
    assert events(namespace, pool, "WorkerStuck")
    until("the task runs again", lambda: len(gate.started()) == 2, WITHIN)
    gate.open()
    assert result.get(timeout=WITHIN) == name
