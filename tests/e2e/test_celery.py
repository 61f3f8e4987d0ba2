"""A pool whose image runs its own `celery worker`."""

from collections.abc import Callable

import objects
from conftest import Client, Gate, pods
from rig.kube import Namespace
from rig.waiting import until
from test_scaling import QUICK, events, staying

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
