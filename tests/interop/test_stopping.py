"""Workers that are told to stop, and workers that are killed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pools
import pytest
import wire
from celery import states
from client import Client, Gate
from rig.celery_worker import CeleryWorker
from rig.dev import PetioleDev
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 30


def kill(pid: int | None) -> None:
    """Kills a process that has to be there."""
    assert pid
    os.kill(pid, signal.SIGKILL)


@pytest.fixture(params=["exec", "serve"])
def start_single(
    request: pytest.FixtureRequest,
    against: str,
    own_redis: RedisServer,
    start_petiole: Callable[..., PetioleDev],
    start_celery: Callable[..., CeleryWorker],
) -> Callable[[], PetioleDev | CeleryWorker]:
    """Starts a worker that does one thing at a time."""
    make = pools.exec_pool if request.param == "exec" else pools.serve_pool

    def start() -> PetioleDev | CeleryWorker:
        if against == "celery":
            return start_celery("--concurrency", "1")
        return start_petiole(pools.queue("celery", own_redis.url), make("single", ["celery"], concurrency=1))

    return start


def test_a_worker_that_is_told_to_stop_ends_its_task_and_puts_back_the_rest(
    own_redis: RedisServer,
    own_client: Client,
    start_single: Callable[[], PetioleDev | CeleryWorker],
    gate: Gate,
    tmp_path: Path,
) -> None:
    worker = start_single()
    running = own_client.task("gate").delay(*gate.args("running"))
    until("the task has started", gate.started)
    note = tmp_path / "note"
    rest = [own_client.task("noted").delay(str(note), str(number)) for number in range(5)]
    worker.process.send(signal.SIGTERM)
    until("nothing else is held", lambda: len(wire.waiting(own_redis.client, "celery")) == len(rest))
    assert worker.process.alive()
    gate.open()
    assert worker.process.wait(WITHIN) == 0
    assert running.get(timeout=WITHIN) == "running"
    assert wire.held(own_redis.client) == []
    assert wire.waiting(own_redis.client, "celery") == [result.id for result in rest]
    assert not note.exists()
    # The next worker runs what was put back, in its order.
    start_single()
    for result in rest:
        result.get(timeout=WITHIN)
    assert note.read_text().split() == [str(number) for number in range(5)]


@pytest.mark.petiole("`petiole dev` starts again what dies; a Celery worker stays dead")
def test_the_task_of_a_killed_worker_runs_again(
    own_client: Client, start_single: Callable[[], PetioleDev], gate: Gate
) -> None:
    dev = start_single()
    result = own_client.task("gate").delay(*gate.args("again"))
    until("the task has started", gate.started)
    kill(dev.replicas()[0].worker)
    until("it has started again", lambda: gate.started() == ["again", "again"])
    gate.open()
    assert result.get(timeout=WITHIN) == "again"


@pytest.mark.petiole("the task of a Celery worker that gets SIGQUIT waits for the visibility timeout")
def test_a_worker_that_is_stopped_at_once_gives_back_what_runs(
    own_redis: RedisServer, own_client: Client, start_single: Callable[[], PetioleDev], gate: Gate
) -> None:
    dev = start_single()
    result = own_client.task("gate").delay(*gate.args("again"))
    until("the task has started", gate.started)
    worker = dev.replicas()[0].worker
    assert worker
    os.kill(worker, signal.SIGQUIT)
    # `petiole dev` starts the worker again; it runs what the first one gave back.
    until("it has started again", lambda: gate.started() == ["again", "again"])
    gate.open()
    assert result.get(timeout=WITHIN) == "again"
    assert wire.held(own_redis.client) == []


@pytest.mark.petiole("`petiole dev` starts again what dies; a Celery worker stays dead")
def test_the_task_of_a_killed_runner_is_lost_as_celery_says_it(
    own_client: Client, start_single: Callable[[], PetioleDev], gate: Gate
) -> None:
    dev = start_single()
    result = own_client.task("gate").delay(*gate.args("once"))
    until("the task has started", gate.started)
    kill(dev.replicas()[0].runner)
    result.get(timeout=WITHIN, propagate=False)
    assert type(result.result).__name__ == "WorkerLostError"
    assert gate.started() == ["once"]


@pytest.mark.petiole("`petiole dev` starts again what dies; a Celery worker stays dead")
def test_an_early_task_of_a_killed_worker_does_not_run_again(
    own_redis: RedisServer, own_client: Client, start_single: Callable[[], PetioleDev], gate: Gate
) -> None:
    dev = start_single()
    early = own_client.task("early").delay(*gate.args("early"))
    until("the task has started", gate.started)
    until("its message is settled", lambda: not wire.held(own_redis.client))
    kill(dev.replicas()[0].worker)
    # A task that was held when the worker was killed would be in the queue before this one ends.
    marker = own_client.task("gate").delay(*gate.args("marker"))
    until("the next worker works", lambda: gate.started() == ["early", "marker"])
    gate.open()
    assert marker.get(timeout=WITHIN) == "marker"
    assert wire.waiting(own_redis.client, "celery") == []
    assert gate.started() == ["early", "marker"]
    assert early.state == states.PENDING


@pytest.mark.petiole("a Celery worker exits with 1 after Ctrl-C")
def test_ctrl_c_of_an_idle_worker_ends_it_at_once(
    start_single: Callable[[], PetioleDev | CeleryWorker],
) -> None:
    worker = start_single()
    worker.process.send(signal.SIGINT)
    assert worker.process.wait(WITHIN) == 0
