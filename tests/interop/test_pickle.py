"""Messages that are pickled: for handlers that take them."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import own
import pools
import pytest
import tasks
from celery import Signature, chain, chord, group, states
from client import Client
from rig.dev import PetioleDev
from rig.manifests import worker_pool
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20
CONTENT = ["json", "pickle"]


def pool(handler: list[str]) -> dict[str, Any]:
    """A pool that takes pickles, with this handler."""
    accept = {"content": CONTENT}
    return worker_pool("serve", ["serve"], mode="Serve", serve={"command": handler}, accept=accept, concurrency=2)


@pytest.fixture(scope="module")
def pickling(against: str, scratch: Path) -> Iterator[Client]:
    """A client of workers that take pickles."""
    with own.redis(scratch, "pickle") as redis:
        handler = [*pools.PYTHON, str(pools.HANDLERS / "pickles.py")]
        resources = [pools.queue("serve", redis.url), pool(handler)]
        conf = {"accept_content": CONTENT}
        with own.workers(against, redis, resources, conf), Client(tasks.make_app(redis.url)) as client:
            yield client


def test_a_handler_that_takes_pickles_gets_what_json_does_not_have(pickling: Client) -> None:
    args = ((1, 2), {3}, b"bytes", datetime.timedelta(1), 1.5)
    result = pickling.task("kinds").apply_async(args, queue="serve", serializer="pickle")
    assert result.get(timeout=WITHIN) == ["tuple", "set", "bytes", "timedelta", "float"]


def test_a_pickled_message_may_be_compressed(pickling: Client) -> None:
    sent = "x" * 10_000
    result = pickling.task("echo").apply_async((sent,), {"a": 1}, queue="serve", serializer="pickle", compression="gzip")
    assert result.get(timeout=WITHIN) == {"args": [sent], "kwargs": {"a": 1}}


def test_a_pickled_task_may_be_retried(pickling: Client) -> None:
    result = pickling.task("again").apply_async((2,), queue="serve", serializer="pickle")
    assert result.get(timeout=WITHIN) == 2


def test_a_pickled_task_fails_with_its_exception(pickling: Client) -> None:
    with pytest.raises(ValueError, match="^x$"):
        pickling.task("boom").apply_async(("x",), queue="serve", serializer="pickle").get(timeout=WITHIN)


def test_json_is_read_beside_pickle(pickling: Client) -> None:
    result = pickling.task("kinds").apply_async(((1, 2), 3), queue="serve")
    assert result.get(timeout=WITHIN) == ["list", "int"]


def test_a_pickled_task_waits_for_its_time_and_can_be_revoked_there(pickling: Client) -> None:
    result = pickling.task("kinds").apply_async((1,), queue="serve", serializer="pickle", countdown=3600)

    def scheduled() -> list[str]:
        answers = pickling.app.control.inspect().scheduled() or {}
        return [entry["request"]["id"] for answer in answers.values() for entry in answer]

    until("it is scheduled", lambda: result.id in scheduled())
    result.revoke()
    until("it is revoked", lambda: result.id not in scheduled() or result.state == states.REVOKED)


def pickled(client: Client, name: str, *args: Any, **kwargs: Any) -> Signature:
    """A call by a pickled message."""
    return client.sig(name, *args, kwargs=kwargs, serializer="pickle")


def test_what_follows_a_pickled_task_is_called(pickling: Client, tmp_path: Path) -> None:
    note = tmp_path / "note"
    link = pickling.sig("keep", kwargs={"path": str(note)})
    result = pickled(pickling, "add", 1, 2).apply_async(link=link)
    assert result.get(timeout=WITHIN) == 3
    until("the callback has run", lambda: note.exists() and note.read_text() == "3\n")


def test_the_errbacks_of_a_pickled_task_are_told(pickling: Client, tmp_path: Path) -> None:
    note = tmp_path / "note"
    errback = pickling.sig("keep", kwargs={"path": str(note)})
    result = pickled(pickling, "boom", "x").apply_async(link_error=errback)
    until("the errback has run", lambda: note.exists() and note.read_text() == f"{result.id}\n")


def test_a_pickled_chain_goes_on(pickling: Client) -> None:
    last = chain(pickled(pickling, "add", 1, 2), pickled(pickling, "mul", 5), pickled(pickling, "one")).delay()
    assert last.get(timeout=WITHIN) == 15
    assert last.parent.get(timeout=WITHIN) == 15


def test_a_pickled_chord_has_its_body_called(pickling: Client) -> None:
    header = [pickled(pickling, "add", number, number) for number in range(4)]
    assert chord(header)(pickled(pickling, "total")).get(timeout=WITHIN) == 12


def test_a_pickled_task_may_be_retried_with_other_arguments(pickling: Client) -> None:
    then = (["done"], {"then": None})
    last = chain(pickled(pickling, "again_with", 1, then=then), pickled(pickling, "one")).delay()
    assert last.get(timeout=WITHIN) == {"args": ["done"], "kwargs": {}, "retries": 1}


def test_a_pickled_task_may_be_replaced(pickling: Client) -> None:
    by = group(pickling.sig("add", number, number) for number in range(3))
    last = chain(pickled(pickling, "replaced", by=by), pickled(pickling, "one")).delay()
    assert last.get(timeout=WITHIN) == [0, 2, 4]


@pytest.mark.petiole("Celery has no handlers")
def test_a_handler_that_does_not_take_pickles_is_told_what_to_say(own_redis: RedisServer) -> None:
    resources = [pools.queue("serve", own_redis.url), pool(pools.SERVE)]
    with PetioleDev(own_redis.folder / "dev", resources, ready=False) as dev:
        told = 'let it say accept: ["pickle"] in its hello'
        until("the handler is told", lambda: "refuses this handler: the pool accepts pickle" in dev.process.output())
        assert told in dev.process.output()
        assert not any(replica.ready for replica in dev.replicas())


@pytest.mark.petiole("Celery has no resources")
def test_a_pool_of_mode_exec_cannot_take_pickles(own_redis: RedisServer) -> None:
    exec_pool = pools.exec_pool("exec", ["celery"], accept={"content": CONTENT})
    resources = [pools.queue("celery", own_redis.url), exec_pool]
    with PetioleDev(own_redis.folder / "dev", resources, ready=False) as dev:
        assert dev.process.wait() == 1
        assert "pickle needs mode Serve" in dev.process.output()
