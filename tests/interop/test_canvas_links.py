"""Callbacks and errbacks: what is called when a task has ended."""

from pathlib import Path
from typing import Any

import pytest
import wire
from celery import Signature, chain, chord, group, signature, states
from celery.result import AsyncResult
from client import Client
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20


class Note:
    """A file in which callbacks and errbacks leave what they are called with."""

    def __init__(self, client: Client, path: Path, queue: str) -> None:
        self.client = client
        self.path = path
        self.queue = queue

    def keep(self, *args: Any) -> Signature:
        """Leaves its first argument here."""
        return self.client.sig("keep", *args, queue=self.queue, kwargs={"path": str(self.path)})

    def say(self, line: str) -> Signature:
        """Leaves this line here, whatever has happened."""
        return self.client.sig("noted", str(self.path), line, queue=self.queue, immutable=True)

    def holds(self, *lines: str) -> None:
        """Waits until it holds these lines, in any order, and no others."""
        until(f"the note holds {lines}", lambda: sorted(self.lines()) == sorted(lines))

    def lines(self) -> list[str]:
        """What it holds now."""
        return self.path.read_text().splitlines() if self.path.exists() else []


@pytest.fixture
def note(client: Client, tmp_path: Path, queue: str) -> Note:
    """A note for callbacks in the queue of the test."""
    return Note(client, tmp_path / "note", queue)


@pytest.fixture
def serve_note(client: Client, tmp_path: Path) -> Note:
    """A note for callbacks of a test that is about one queue."""
    return Note(client, tmp_path / "note", "serve")


def test_a_callback_gets_the_value(client: Client, queue: str, note: Note) -> None:
    result = client.task("add").apply_async((2, 3), queue=queue, link=note.keep())
    assert result.get(timeout=WITHIN) == 5
    note.holds("5")


def test_all_callbacks_are_called(client: Client, queue: str, note: Note) -> None:
    result = client.task("add").apply_async(
        (2, 3), queue=queue, link=[note.keep(), note.say("immutable"), client.sig("mul", 2, queue=queue), note.keep()]
    )
    assert result.get(timeout=WITHIN) == 5
    note.holds("5", "5", "immutable")


def test_callbacks_are_children_of_the_task(client: Client, queue: str) -> None:
    result = client.task("add").apply_async((2, 3), queue=queue, link=client.sig("mul", 10, queue=queue))
    assert result.get(timeout=WITHIN) == 5
    [child] = result.children
    assert child.get(timeout=WITHIN) == 50
    assert [value for _, value in result.collect(timeout=WITHIN)] == [5, 50]


def test_several_callbacks_are_children_as_one_group(client: Client) -> None:
    links = [client.sig("mul", 10), client.sig("add", 1)]
    result = client.task("add").apply_async((2, 3), queue="serve", link=links)
    assert result.get(timeout=WITHIN) == 5
    [children] = result.children
    assert children.get(timeout=WITHIN) == [50, 6]


def test_a_callback_knows_its_root_and_its_parent(client: Client, queue: str) -> None:
    result = client.task("add").apply_async((2, 3), queue=queue, link=client.sig("lineage", queue=queue))
    result.get(timeout=WITHIN)
    [child] = result.children
    told = child.get(timeout=WITHIN)
    assert (told["root"], told["parent"]) == (result.id, result.id)


def test_a_callback_may_have_callbacks(client: Client, serve_note: Note) -> None:
    inner = client.sig("add", 100)
    inner.link(serve_note.keep())
    assert client.task("add").apply_async((1, 1), queue="serve", link=inner).get(timeout=WITHIN) == 2
    serve_note.holds("102")


def test_a_callback_may_be_a_chain(client: Client, serve_note: Note) -> None:
    link = chain(client.sig("add", 1), client.sig("mul", 10), serve_note.keep())
    client.task("add").apply_async((1, 1), queue="serve", link=link)
    serve_note.holds("30")


def test_a_callback_may_be_a_group(client: Client, serve_note: Note) -> None:
    link = group(serve_note.keep(), serve_note.keep(), serve_note.say("third"))
    client.task("add").apply_async((1, 1), queue="serve", link=link)
    serve_note.holds("2", "2", "third")


def test_a_callback_may_be_a_chord(client: Client, serve_note: Note) -> None:
    link = chord([client.sig("add", 1), client.sig("mul", 10)], serve_note.keep())
    client.task("add").apply_async((1, 1), queue="serve", link=link)
    serve_note.holds("[3, 20]")


def test_a_callback_is_not_called_when_the_task_fails(client: Client, queue: str, note: Note) -> None:
    result = client.task("boom").apply_async(("x",), queue=queue, link=note.keep(), link_error=note.say("failed"))
    with pytest.raises(ValueError, match="^x$"):
        result.get(timeout=WITHIN)
    note.holds("failed")


def test_an_errback_is_not_called_when_the_task_succeeds(client: Client, queue: str, note: Note) -> None:
    result = client.task("add").apply_async((1, 1), queue=queue, link=note.say("worked"), link_error=note.say("failed"))
    assert result.get(timeout=WITHIN) == 2
    note.holds("worked")


def test_a_callback_that_fails_leaves_the_task_as_it_was(client: Client) -> None:
    result = client.task("add").apply_async((1, 1), queue="serve", link=client.sig("boom"))
    assert result.get(timeout=WITHIN) == 2
    [child] = result.children
    with pytest.raises(ValueError, match="^2$"):
        child.get(timeout=WITHIN)
    assert result.state == states.SUCCESS


def test_the_callbacks_of_a_step_are_called_beside_the_next_step(client: Client, serve_note: Note) -> None:
    first = client.sig("add", 1, 1)
    first.link(serve_note.keep())
    assert chain(first, client.sig("add", 10)).delay().get(timeout=WITHIN) == 12
    serve_note.holds("2")


def test_a_callback_of_a_chain_gets_the_value_of_its_last_step(client: Client, queue: str, note: Note) -> None:
    work = chain(client.sig("add", 1, 1, queue=queue), client.sig("add", 10, queue=queue))
    assert work.apply_async(link=note.keep()).get(timeout=WITHIN) == 12
    note.holds("12")


def test_an_errback_gets_the_id_of_the_task_that_failed(client: Client, queue: str, note: Note) -> None:
    result = client.task("boom").apply_async(("x",), queue=queue, link_error=note.keep())
    result.get(timeout=WITHIN, propagate=False)
    note.holds(result.id)


def test_an_errback_finds_the_exception_by_that_id(client: Client, queue: str, note: Note) -> None:
    client.task("boom").apply_async(("look me up",), queue=queue, link_error=note.keep())
    until("the errback has run", note.lines)
    failed = AsyncResult(note.lines()[0], app=client.app)
    assert failed.state == states.FAILURE
    assert failed.result.args == ("look me up",)


def test_an_immutable_errback_gets_nothing(client: Client, queue: str, note: Note) -> None:
    client.task("boom").apply_async(("x",), queue=queue, link_error=note.say("called"))
    note.holds("called")


def test_all_errbacks_are_called(client: Client, queue: str, note: Note) -> None:
    errbacks = [note.keep(), note.say("second"), note.keep()]
    result = client.task("boom").apply_async(("x",), queue=queue, link_error=errbacks)
    note.holds(result.id, "second", result.id)


def test_an_errback_is_called_when_the_process_dies(client: Client, serve_note: Note) -> None:
    result = client.task("die").apply_async(queue="serve", link_error=serve_note.keep())
    serve_note.holds(result.id)


def test_an_errback_is_called_when_the_task_is_over_its_time(client: Client, queue: str, note: Note) -> None:
    result = client.task("sleep").apply_async((60,), queue=queue, time_limit=1, link_error=note.keep())
    # Celery calls it twice: for the limit, and for the process that it has killed.
    until("the errback has run", lambda: set(note.lines()) == {result.id})


def test_an_errback_is_not_called_for_a_task_that_has_expired(client: Client, queue: str, note: Note) -> None:
    result = client.task("add").apply_async((1, 1), queue=queue, expires=-1, link_error=note.keep())
    until("it is revoked", lambda: result.state == states.REVOKED)
    # What an errback would have been sent before is run by now.
    client.task("noted").apply_async((str(note.path), "after"), queue=queue).get(timeout=WITHIN)
    assert note.lines() == ["after"]


def test_an_errback_knows_the_failed_task_as_its_root_and_parent(client: Client, queue: str, tmp_path: Path) -> None:
    errback = client.sig("lineage", queue=queue)
    errback.freeze()
    result = client.task("boom").apply_async(("x",), queue=queue, link_error=errback)
    told = client.app.AsyncResult(errback.id).get(timeout=WITHIN)
    assert (told["root"], told["parent"]) == (result.id, result.id)


def test_an_errback_of_another_program_is_sent_by_its_name(client: Client, redis_server: RedisServer) -> None:
    errback = signature("elsewhere.mourn", app=client.app).set(queue="elsewhere")
    result = client.task("boom").apply_async(("x",), queue="serve", link_error=errback)

    def called() -> list[Any]:
        messages = wire.messages(redis_server.client, "elsewhere")
        return [wire.body(message)[0] for message in messages if message["headers"]["parent_id"] == result.id]

    assert until("the errback is sent", called) == [[result.id]]


@pytest.mark.celery("Petiole has no code of the errback's to see that it wants the exception itself")
def test_an_errback_of_three_arguments_is_called_in_the_worker_with_the_exception(
    client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "note"
    errback = client.sig("mourn", kwargs={"path": str(path)})
    result = client.task("boom").apply_async(("x",), queue="serve", link_error=errback)
    until("the errback has run", path.exists)
    assert path.read_text() == f"{result.id} ValueError('x')\n"


def test_an_errback_of_a_chain_is_called_once_with_the_step_that_failed(
    client: Client, queue: str, note: Note
) -> None:
    work = chain(
        client.sig("add", 1, 1, queue=queue),
        client.sig("boom", queue=queue),
        client.sig("one", queue=queue),
    )
    result = work.apply_async(link_error=note.keep())
    result.get(timeout=WITHIN, propagate=False)
    note.holds(result.parent.id)


def test_on_error_of_a_chain_is_called_wherever_it_fails(client: Client, queue: str, note: Note) -> None:
    result = chain(client.sig("boom", "first", queue=queue), client.sig("one", queue=queue)).on_error(
        note.keep()
    ).delay()  # fmt: skip
    result.get(timeout=WITHIN, propagate=False)
    note.holds(result.parent.id)


def test_an_errback_of_a_later_step_is_not_called_when_an_earlier_one_fails(client: Client, serve_note: Note) -> None:
    first = client.sig("boom", "early").on_error(serve_note.say("first"))
    second = client.sig("one").on_error(serve_note.say("second"))
    with pytest.raises(ValueError, match="^early$"):
        chain(first, second).delay().get(timeout=WITHIN)
    serve_note.holds("first")


def test_an_errback_of_a_group_is_called_for_each_member_that_fails(client: Client, queue: str, note: Note) -> None:
    work = group(
        client.sig("boom", "one", queue=queue),
        client.sig("add", 1, 1, queue=queue),
        client.sig("boom", "two", queue=queue),
    ).on_error(note.keep())
    result = work.delay()
    note.holds(result.results[0].id, result.results[2].id)


def test_an_errback_may_be_a_group(client: Client, serve_note: Note) -> None:
    errback = group(serve_note.keep(), serve_note.say("second"))
    result = client.task("boom").apply_async(("x",), queue="serve", link_error=errback)
    serve_note.holds(result.id, "second")


@pytest.mark.petiole("Celery's worker looks for the code of `celery.chain`, fails at that, and calls nothing")
def test_an_errback_may_be_a_chain(client: Client, serve_note: Note) -> None:
    errback = chain(serve_note.keep(), serve_note.keep())
    result = client.task("boom").apply_async(("x",), queue="serve", link_error=errback)
    serve_note.holds(result.id, result.id)


def test_an_errback_of_a_chord_is_called_with_the_body(client: Client, queue: str, note: Note) -> None:
    work = chord(
        [client.sig("boom", "header", queue=queue), client.sig("add", 1, 1, queue=queue)],
        client.sig("total", queue=queue),
    )
    work.link_error(note.keep())
    result = work.delay()
    result.get(timeout=WITHIN, propagate=False)
    note.holds(result.id)


def test_the_errback_of_a_body_is_called_when_the_body_fails(client: Client, queue: str, note: Note) -> None:
    body = client.sig("boom", queue=queue).on_error(note.keep())
    result = chord([client.sig("add", 1, 1, queue=queue)] * 2, body).delay()
    with pytest.raises(ValueError, match=r"^\[2, 2\]$"):
        result.get(timeout=WITHIN)
    note.holds(result.id)


def test_the_errback_of_a_header_task_is_called_with_that_task(client: Client, serve_note: Note) -> None:
    broken = client.sig("boom", "header").on_error(serve_note.keep())
    result = chord([broken, client.sig("add", 1, 1)], client.sig("total")).delay()
    serve_note.holds(result.parent.results[0].id)
