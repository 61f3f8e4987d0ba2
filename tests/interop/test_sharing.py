"""A stock Celery worker and Petiole on one queue: neither loses what the other holds."""

import time
from collections.abc import Callable

import pools
import pytest
import wire
from client import Client, Gate
from rig.celery_worker import CeleryWorker
from rig.dev import PetioleDev
from rig.redis_server import RedisServer
from rig.waiting import until

pytestmark = pytest.mark.petiole("these tests are about the two together")

VISIBILITY = 3


@pytest.mark.newer("its worker looks every 100 seconds, whatever it is told")
def test_celery_restores_what_a_petiole_that_is_gone_has_held(
    own_redis: RedisServer,
    own_client: Client,
    start_petiole: Callable[..., PetioleDev],
    start_celery: Callable[..., CeleryWorker],
    gate: Gate,
) -> None:
    dev = start_petiole(pools.queue("celery", own_redis.url), pools.exec_pool("exec", ["celery"]))
    result = own_client.task("gate").delay(*gate.args("both"))
    until("Petiole has started the task", gate.started)
    dev.process.kill()
    assert wire.held(own_redis.client) == [result.id]
    # A Celery worker looks at its start, and every second from then on: by the setting of the tests' app.
    start_celery("--concurrency", "1", visibility_timeout=VISIBILITY)
    until("Celery has started it again", lambda: gate.started() == ["both", "both"], within=30)
    gate.open()
    assert result.get(timeout=20) == "both"
    until("nothing is held", lambda: not wire.held(own_redis.client))


def test_petiole_restores_what_a_celery_worker_that_is_gone_has_held(
    own_redis: RedisServer,
    own_client: Client,
    start_petiole: Callable[..., PetioleDev],
    start_celery: Callable[..., CeleryWorker],
    gate: Gate,
) -> None:
    stock = start_celery("--concurrency", "1")
    result = own_client.task("gate").delay(*gate.args("both"))
    until("Celery has started the task", gate.started)
    stock.kill()
    assert wire.held(own_redis.client) == [result.id]
    queue = pools.queue("celery", own_redis.url, visibility_timeout=f"{VISIBILITY}s")
    start_petiole(queue, pools.exec_pool("exec", ["celery"]))
    until("Petiole has started it again", lambda: gate.started() == ["both", "both"], within=30)
    gate.open()
    assert result.get(timeout=20) == "both"
    until("nothing is held", lambda: not wire.held(own_redis.client))


def test_celery_leaves_alone_what_a_living_petiole_holds(
    own_redis: RedisServer,
    own_client: Client,
    start_petiole: Callable[..., PetioleDev],
    start_celery: Callable[..., CeleryWorker],
    gate: Gate,
) -> None:
    queue = pools.queue("celery", own_redis.url, visibility_timeout=f"{VISIBILITY}s")
    start_petiole(queue, pools.exec_pool("exec", ["celery"]))
    result = own_client.task("gate").delay(*gate.args("mine"))
    until("Petiole has started the task", gate.started)
    # Several timeouts of the Celery worker beside it, which looks for something to restore every second.
    start_celery("--concurrency", "1", visibility_timeout=VISIBILITY)
    end = time.monotonic() + 3 * VISIBILITY
    until("several visibility timeouts have passed", lambda: time.monotonic() > end)
    assert gate.started() == ["mine"]
    gate.open()
    assert result.get(timeout=20) == "mine"


def test_both_work_on_one_queue_and_nothing_is_lost(
    own_redis: RedisServer,
    own_client: Client,
    start_petiole: Callable[..., PetioleDev],
    start_celery: Callable[..., CeleryWorker],
) -> None:
    start_celery("--concurrency", "2")
    start_petiole(pools.queue("celery", own_redis.url), pools.exec_pool("exec", ["celery"], concurrency=2))
    who = own_client.task("who")
    results: list[str] = []

    def both_have_run() -> bool:
        batch = [who.delay() for _ in range(100)]
        results.extend(result.get(timeout=60) for result in batch)
        return set(results) == {"celery", "petiole"}

    until("both have run tasks", both_have_run, within=60)
    assert len(results) >= 100
    until("nothing is held", lambda: not wire.held(own_redis.client))
    assert wire.waiting(own_redis.client, "celery") == []
