"""Tasks that may start only so often.

Celery counts for each worker by itself, Petiole for all workers of a pool: `demo.clock` runs on one worker at a time here,
so that both do the same.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pools
import pytest
import wire
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult
from client import Client
from rig.dev import PetioleDev
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20
TASK = "demo.clock"
#: How far apart starts are by `EACH`. By how much less in all when the first process took its time to start.
EACH, APART, LATE = "2/s", 0.5, 0.4


def limit(client: Client, rate: str | int | None) -> list[dict[str, Any]]:
    """Sets the limit of `demo.clock`, and what the workers answer."""
    replies = client.app.control.rate_limit(TASK, rate, reply=True, timeout=1.0)
    return [answer for reply in replies for answer in reply.values()]


def send(client: Client, queue: str, count: int) -> list[AsyncResult]:
    """Calls it so many times."""
    return [client.task("clock").apply_async(queue=queue) for _ in range(count)]


def gaps(results: list[AsyncResult]) -> list[float]:
    """The times between the starts."""
    starts = sorted(result.get(timeout=WITHIN) for result in results)
    return [later - earlier for earlier, later in zip(starts, starts[1:])]


@pytest.fixture
def limited(client: Client) -> Iterator[Client]:
    """A client whose limits end with the test, of workers that know the task: a handler's have run it once."""
    for queue in ("celery", "serve", "single"):
        assert client.task("clock").apply_async(queue=queue).get(timeout=WITHIN)
    yield client
    limit(client, 0)


def test_a_task_starts_as_often_as_its_limit_says(limited: Client) -> None:
    assert {answer["ok"] for answer in limit(limited, EACH)} == {"new rate limit set successfully"}
    assert sum(gaps(send(limited, "single", 4))) >= 3 * APART - LATE


@pytest.mark.petiole("a Celery worker holds what waits for its turn, and takes nothing else meanwhile")
def test_a_task_that_waits_for_its_turn_holds_up_no_other(limited: Client) -> None:
    limit(limited, "1/h")
    results = send(limited, "single", 4)
    assert limited.task("add").apply_async((1, 2), queue="single").get(timeout=WITHIN) == 3
    # One may have been the first in an hour.
    assert sum(result.ready() for result in results) <= 1
    limit(limited, 0)
    assert len(gaps(results)) == 3


@pytest.mark.parametrize("rate", ["0", 0, None, ""])
def test_a_limit_is_turned_off(limited: Client, rate: str | int | None) -> None:
    limit(limited, EACH)
    words = "new rate limit set" if rate == "0" else "rate limit disabled"
    assert {answer["ok"] for answer in limit(limited, rate)} == {f"{words} successfully"}
    assert sum(gaps(send(limited, "serve", 10))) < 9 * APART


@pytest.mark.parametrize("rate", ["often", "1/x", "-"])
def test_what_is_no_limit_is_answered_with_an_error(limited: Client, rate: str) -> None:
    replies = limit(limited, rate)
    assert replies
    assert all("error" in answer for answer in replies)


def test_a_limit_of_an_unknown_task_is_refused(client: Client) -> None:
    replies = client.app.control.rate_limit("no.such.task", "1/s", reply=True, timeout=1.0)
    assert [answer for reply in replies for answer in reply.values()] == [{"error": "unknown task"}] * len(replies)


def test_limits_are_shown(limited: Client, queue: str) -> None:
    assert limited.task("clock").apply_async(queue=queue).get(timeout=WITHIN)
    limit(limited, "7/m")
    known = limited.app.control.inspect(timeout=1.0).registered("rate_limit")
    assert any(f"{TASK} [rate_limit=7/m]" in names for names in known.values())


def test_a_task_with_a_countdown_counts_like_any_other(limited: Client) -> None:
    limit(limited, EACH)
    results = [limited.task("clock").apply_async(queue="single", countdown=0.3) for _ in range(4)]
    assert sum(gaps(results)) >= 3 * APART - LATE


@pytest.mark.petiole("a Celery worker lists it as reserved, and revokes it when its turn has come")
def test_a_task_that_waits_for_its_turn_stands_on_the_broker(limited: Client, redis_server: RedisServer) -> None:
    limit(limited, "1/h")
    # One may be the first in an hour.
    results = {result.id: result for result in send(limited, "single", 3)}

    def scheduled() -> set[str]:
        answers = limited.app.control.inspect(timeout=1.0).scheduled() or {}
        listed = {entry["request"]["id"] for entries in answers.values() for entry in entries}
        # Those of other tests may still wait for their time.
        return listed & set(results)

    waiting = until("they are scheduled", lambda: len(scheduled()) >= 2 and scheduled())
    assert not waiting & set(wire.held(redis_server.client))
    [revoked, other, *_] = (results[task_id] for task_id in waiting)
    revoked.revoke()
    with pytest.raises(TaskRevokedError):
        revoked.get(timeout=WITHIN)
    limit(limited, 0)
    assert other.get(timeout=WITHIN)


@pytest.mark.petiole("Celery counts for each worker by itself")
def test_a_limit_counts_over_all_workers_of_a_pool(
    own_redis: RedisServer, own_client: Client, start_petiole: Callable[..., PetioleDev]
) -> None:
    start_petiole(
        pools.queue("celery", own_redis.url), pools.serve_pool("three", ["celery"], concurrency=2, replicas=3)
    )
    # Each worker knows the task once it has run it.
    def known() -> bool:
        own_client.task("clock").apply_async(queue="celery")
        return all("ok" in answer for answer in limit(own_client, EACH))

    until("all workers know the task", known)
    assert len(limit(own_client, EACH)) == 3
    assert sum(gaps(send(own_client, "celery", 5))) >= 4 * APART - LATE


@pytest.mark.petiole("Celery counts for each worker by itself")
def test_a_pool_says_how_often_a_task_starts(
    own_redis: RedisServer, own_client: Client, start_petiole: Callable[..., PetioleDev]
) -> None:
    pool = pools.serve_pool("two", ["celery"], concurrency=2, replicas=2)
    pool["spec"]["tasks"].append({"name": TASK, "rateLimit": EACH})
    dev = start_petiole(pools.queue("celery", own_redis.url), pool)
    assert sum(gaps(send(own_client, "celery", 5))) >= 4 * APART - LATE
    assert limit(own_client, "1/h")
    [last, *_] = results = send(own_client, "celery", 3)
    until("they wait", lambda: own_redis.client.zcard("petiole:eta:celery") >= 2)
    # The pool's file counts again once a worker starts anew; who waits in line does not wait for the old limit.
    assert dev.stop() == 0
    start_petiole(pools.queue("celery", own_redis.url), pool)
    assert last.get(timeout=WITHIN)
    assert len(gaps(results)) == 2
