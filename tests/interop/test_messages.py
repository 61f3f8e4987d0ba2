"""The forms that a message may have: older ones, compressed ones, and those of other serializers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tasks
from celery import chain, chord, group, states
from celery.exceptions import NotRegistered, TaskRevokedError, TimeLimitExceeded
from client import Client
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20
COMPRESSIONS = ["gzip", "zlib", "bzip2", "lzma", "xz", "zstd", "brotli"]
#: Beside JSON. Pickle is refused by these workers; test_pickle.py has others.
SERIALIZERS = ["yaml", "msgpack"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_compressed_message_is_read(client: Client, queue: str, compression: str) -> None:
    sent = {"text": "naïve – 漢字 " * 1000, "number": 2**70}
    result = client.task("echo").apply_async((1,), {"value": sent}, queue=queue, compression=compression)
    assert result.get(timeout=WITHIN) == {"args": [1], "kwargs": {"value": sent}}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_step_that_is_to_be_compressed_gets_its_arguments(client: Client, compression: str) -> None:
    last = chain(client.sig("one", ["x" * 10_000]), client.sig("one", compression=compression)).delay()
    assert last.get(timeout=WITHIN) == ["x" * 10_000]


def test_a_compressed_chord_comes_to_its_body(client: Client, queue: str) -> None:
    header = [client.sig("add", number, 1, queue=queue, compression="gzip") for number in range(3)]
    assert chord(header)(client.sig("total", queue=queue, compression="gzip")).get(timeout=WITHIN) == 6


def test_a_compressed_task_that_is_retried_keeps_its_arguments(client: Client, queue: str) -> None:
    result = client.task("again").apply_async((2, "x" * 10_000), queue=queue, compression="gzip")
    assert result.get(timeout=WITHIN) == 2


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_message_of_another_serializer_is_read(client: Client, queue: str, serializer: str) -> None:
    sent = {"text": "naïve – 漢字", "list": [1, 2.5, None, True], "nested": {"a": {"b": []}}}
    result = client.task("echo").apply_async((1,), {"value": sent}, queue=queue, serializer=serializer)
    assert result.get(timeout=WITHIN) == {"args": [1], "kwargs": {"value": sent}}


# Celery's clients cannot write a signature as YAML: there is no canvas of it.


def test_a_chain_of_msgpack_runs_to_its_end(client: Client, queue: str) -> None:
    parts = [client.sig("add", *args, queue=queue, serializer="msgpack") for args in ((1, 1), (10,), (100,))]
    assert chain(parts).delay().get(timeout=WITHIN) == 112


def test_a_chord_of_msgpack_comes_to_its_body(client: Client, queue: str) -> None:
    header = [client.sig("add", number, 1, queue=queue, serializer="msgpack") for number in range(3)]
    assert chord(header)(client.sig("total", queue=queue, serializer="msgpack")).get(timeout=WITHIN) == 6


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_task_of_another_serializer_may_be_retried(client: Client, queue: str, serializer: str) -> None:
    result = client.task("again").apply_async((2,), queue=queue, serializer=serializer)
    assert result.get(timeout=WITHIN) == 2


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_message_of_another_serializer_may_be_compressed(client: Client, serializer: str) -> None:
    sent = ["x" * 10_000]
    result = client.task("one").apply_async((sent,), queue="serve", serializer=serializer, compression="zstd")
    assert result.get(timeout=WITHIN) == sent


@pytest.fixture(scope="module")
def old_client(client: Client, redis_server: RedisServer) -> Iterator[Client]:
    """A client whose messages are of Celery's first protocol."""
    with Client(tasks.make_app(redis_server.url, task_protocol=1)) as old:
        yield old


def test_a_message_of_protocol_1_is_run(old_client: Client, queue: str) -> None:
    result = old_client.task("echo").apply_async((1, "two"), {"three": [3]}, queue=queue)
    assert result.get(timeout=WITHIN) == {"args": [1, "two"], "kwargs": {"three": [3]}}


def test_a_message_of_protocol_1_may_be_compressed(old_client: Client, queue: str) -> None:
    result = old_client.task("one").apply_async(("x" * 10_000,), queue=queue, compression="gzip")
    assert result.get(timeout=WITHIN) == "x" * 10_000


def test_a_task_of_protocol_1_fails_with_its_exception(old_client: Client, queue: str) -> None:
    with pytest.raises(ValueError, match="^x$"):
        old_client.task("boom").apply_async(("x",), queue=queue).get(timeout=WITHIN)


def test_an_unknown_task_of_protocol_1_is_not_registered(old_client: Client, queue: str) -> None:
    with pytest.raises(NotRegistered):
        old_client.send("demo.nobody", queue=queue).get(timeout=WITHIN)


def test_a_time_limit_of_protocol_1_counts(old_client: Client) -> None:
    with pytest.raises(TimeLimitExceeded):
        old_client.task("sleep").apply_async((60,), queue="serve", time_limit=1).get(timeout=WITHIN)


def test_a_countdown_of_protocol_1_is_waited_for(old_client: Client, queue: str) -> None:
    last = chain(
        old_client.sig("clock", queue=queue),
        old_client.sig("clock", queue=queue, immutable=True, countdown=0.3),
    )
    first = last.delay().parent
    [second] = until("the next is sent", lambda: first.ready() and first.children)
    assert second.get(timeout=WITHIN) >= first.get(timeout=WITHIN) + 0.3


def test_a_task_of_protocol_1_expires(old_client: Client, queue: str) -> None:
    with pytest.raises(TaskRevokedError, match="expired"):
        old_client.task("add").apply_async((1, 1), queue=queue, expires=-1).get(timeout=WITHIN)


def test_callbacks_and_errbacks_of_protocol_1_are_called(old_client: Client, queue: str, tmp_path: Path) -> None:
    def keep(name: str) -> Any:
        return old_client.sig("keep", queue=queue, kwargs={"path": str(tmp_path / name)})

    linked: dict[str, Any] = {"queue": queue, "link": keep("worked"), "link_error": keep("failed")}
    assert old_client.task("add").apply_async((1, 1), **linked).get(timeout=WITHIN) == 2
    broken = old_client.task("boom").apply_async(("x",), **linked)
    until("both have run", lambda: all((tmp_path / name).exists() for name in ("worked", "failed")))
    assert (tmp_path / "worked").read_text() == "2\n"
    assert (tmp_path / "failed").read_text() == f"{broken.id}\n"


def test_a_chain_of_protocol_1_runs_to_its_end(old_client: Client, queue: str) -> None:
    last = chain(old_client.sig("add", *args, queue=queue) for args in ((1, 1), (10,), (100,))).delay()
    assert last.get(timeout=WITHIN) == 112


def test_a_group_of_protocol_1_returns_its_values(old_client: Client, queue: str) -> None:
    result = group(old_client.sig("add", number, 1, queue=queue) for number in range(3)).delay()
    assert result.get(timeout=WITHIN) == [1, 2, 3]


def test_a_chord_of_protocol_1_comes_to_its_body(old_client: Client, queue: str) -> None:
    header = [old_client.sig("add", number, 1, queue=queue) for number in range(3)]
    assert chord(header)(old_client.sig("total", queue=queue)).get(timeout=WITHIN) == 6


def test_a_task_of_protocol_1_may_be_retried(old_client: Client, queue: str) -> None:
    result = old_client.task("again").apply_async((2,), queue=queue)
    assert result.get(timeout=WITHIN) == 2
    assert result.state == states.SUCCESS
