"""Chords of clients whose result store cannot count: they send `celery.chord_unlock`, which looks until the header ended."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tasks
import wire
from celery import chord
from client import Client
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20


@pytest.fixture
def counting_not(client: Client, redis_server: RedisServer, tmp_path: Path) -> Iterator[Client]:
    """A client of the shared workers that keeps its results in files. The workers keep theirs on Redis."""
    app = tasks.make_app(redis_server.url)
    (tmp_path / "results").mkdir()
    app.backend_cls = f"file://{tmp_path}/results"
    yield Client(app)
    app.close()


def test_the_body_is_called_when_all_of_the_header_has_ended(
    counting_not: Client, queue: str, tmp_path: Path
) -> None:
    sig, note = counting_not.sig, tmp_path / "note"
    header = [sig("add", 1, 2, queue=queue), sig("add", 3, 4, queue=queue)]
    chord(header, sig("keep", queue=queue, kwargs={"path": str(note)})).apply_async()
    until("the body has run", note.exists)
    assert note.read_text() == "[3, 7]\n"


def test_a_header_that_fails_is_told_to_who_waits_for_the_body(
    counting_not: Client, redis_server: RedisServer, queue: str
) -> None:
    sig = counting_not.sig
    body = chord([sig("add", 1, 2, queue=queue), sig("boom", "no", queue=queue)], sig("total", queue=queue)).apply_async()
    record = until("the body has failed", lambda: wire.record(redis_server.client, body.id))
    assert (record["status"], record["result"]["exc_type"]) == ("FAILURE", "ChordError")
