"""Tasks that put a signature in their own place (Celery's `self.replace`)."""

from pathlib import Path
from typing import Any

import pytest
import wire
from celery import Signature, chain, chord, group, states
from celery.exceptions import ChordError, ImproperlyConfigured
from client import Client
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20


def replaced(client: Client, queue: str, by: Any, **options: Any) -> Signature:
    """A task that is replaced by this."""
    return client.sig("replaced", queue=queue, kwargs={"by": by}, **options)


def test_the_result_of_what_replaces_a_task_is_the_task_s(client: Client, queue: str) -> None:
    result = replaced(client, queue, client.sig("add", 1, 2, queue=queue)).delay()
    assert result.get(timeout=WITHIN) == 3
    assert result.state == states.SUCCESS


def test_a_task_may_be_replaced_by_a_chain(client: Client, queue: str) -> None:
    by = chain(client.sig("add", 1, 2, queue=queue), client.sig("mul", 5, queue=queue))
    assert replaced(client, queue, by).delay().get(timeout=WITHIN) == 15


def test_a_task_that_is_replaced_by_a_group_has_its_values(client: Client, queue: str) -> None:
    by = group(client.sig("add", number, number, queue=queue) for number in range(5))
    assert replaced(client, queue, by).delay().get(timeout=WITHIN) == [0, 2, 4, 6, 8]


def test_a_task_may_be_replaced_by_a_group_of_none(client: Client, queue: str) -> None:
    assert replaced(client, queue, group()).delay().get(timeout=WITHIN) == []


def test_a_task_may_be_replaced_by_a_chain_that_ends_in_a_group(client: Client, queue: str) -> None:
    by = chain(client.sig("one", 5, queue=queue), group(client.sig("add", 1, queue=queue), client.sig("add", 2)))
    assert replaced(client, queue, by).delay().get(timeout=WITHIN) == [6, 7]


def test_a_task_may_be_replaced_by_a_chord(client: Client, queue: str) -> None:
    by = chord([client.sig("add", 1, 1, queue=queue), client.sig("add", 2, 2)], client.sig("total", queue=queue))
    assert replaced(client, queue, by).delay().get(timeout=WITHIN) == 6


def test_what_replaces_a_task_may_be_replaced_itself(client: Client, queue: str) -> None:
    by = replaced(client, queue, replaced(client, queue, client.sig("one", "at last", queue=queue)))
    assert replaced(client, queue, by).delay().get(timeout=WITHIN) == "at last"


def test_what_replaces_a_task_has_its_id_and_root(client: Client, queue: str) -> None:
    first = client.sig("one", 1, queue=queue)
    last = chain(first, replaced(client, queue, client.sig("lineage", queue=queue))).delay()
    told = last.get(timeout=WITHIN)
    assert (told["id"], told["root"], told["parent"]) == (last.id, last.parent.id, last.id)


def test_nothing_is_recorded_until_what_replaces_a_task_has_ended(
    client: Client, redis_server: RedisServer, queue: str
) -> None:
    result = replaced(client, queue, client.sig("one", 1, queue="nowhere")).delay()
    until("it is sent", lambda: wire.waiting(redis_server.client, "nowhere") == [result.id])
    until("the task is settled", lambda: result.id not in wire.held(redis_server.client))
    assert wire.record(redis_server.client, result.id) is None
    redis_server.client.delete("nowhere")


@pytest.mark.parametrize("kind", ["task", "chain", "group", "chord"])
def test_callbacks_get_the_value_of_what_replaces_the_task(
    client: Client, queue: str, tmp_path: Path, kind: str
) -> None:
    note = tmp_path / "note"
    add, one = client.sig("add", 1, 2, queue=queue), client.sig("one", queue=queue)
    by = {"task": add, "chain": chain(add, one), "group": group([add, add.clone()]), "chord": chord([add], one)}[kind]
    link = client.sig("keep", queue=queue, kwargs={"path": str(note)})
    result = replaced(client, queue, by).apply_async(link=link)
    value = {"task": 3, "chain": 3, "group": [3, 3], "chord": [3]}[kind]
    assert result.get(timeout=WITHIN) == value
    until("the callback has run once", lambda: note.exists() and note.read_text() == f"{value}\n")


def test_a_task_fails_with_what_replaces_it_and_its_errbacks_are_told(
    client: Client, queue: str, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    errback = client.sig("keep", queue=queue, kwargs={"path": str(note)})
    result = replaced(client, queue, client.sig("boom", "bad", queue=queue)).apply_async(link_error=errback)
    with pytest.raises(ValueError, match="^bad$"):
        result.get(timeout=WITHIN)
    until("the errback has run", lambda: note.exists() and note.read_text() == f"{result.id}\n")


@pytest.mark.parametrize("kind", ["task", "chain", "group", "chord"])
def test_the_steps_behind_a_task_go_on_with_what_replaces_it(client: Client, queue: str, kind: str) -> None:
    add, one = client.sig("add", 1, 2, queue=queue), client.sig("one", queue=queue)
    by = {"task": add, "chain": chain(add, one), "group": group([add, add.clone()]), "chord": chord([add], one)}[kind]
    last = chain(replaced(client, queue, by), one.clone(), client.sig("echo", queue=queue)).delay()
    value = {"task": 3, "chain": 3, "group": [3, 3], "chord": [3]}[kind]
    assert last.get(timeout=WITHIN) == {"args": [value], "kwargs": {}}
    assert last.parent.parent.get(timeout=WITHIN) == value


def test_a_group_behind_a_task_goes_on_with_what_replaces_it(client: Client, queue: str) -> None:
    by = chord([client.sig("add", 1, 2, queue=queue)], client.sig("total", queue=queue))
    last = chain(replaced(client, queue, by), group(client.sig("add", 1), client.sig("add", 2))).delay()
    assert last.get(timeout=WITHIN) == [4, 5]


@pytest.mark.parametrize("kind", ["task", "chain", "group", "chord"])
def test_a_part_of_a_chord_is_what_replaces_it(client: Client, queue: str, kind: str) -> None:
    add, one = client.sig("add", 1, 2, queue=queue), client.sig("one", queue=queue)
    by = {"task": add, "chain": chain(add, one), "group": group([add, add.clone()]), "chord": chord([add], one)}[kind]
    header = [client.sig("one", "a", queue=queue), replaced(client, queue, by), client.sig("one", "z", queue=queue)]
    result = chord(header)(client.sig("one", queue=queue))
    value = {"task": 3, "chain": 3, "group": [3, 3], "chord": [3]}[kind]
    assert result.get(timeout=WITHIN) == ["a", value, "z"]


def test_a_part_of_a_chord_whose_replacement_fails_fails_the_body(client: Client, queue: str) -> None:
    header = [client.sig("one", 1, queue=queue), replaced(client, queue, client.sig("boom", "bad", queue=queue))]
    result = chord(header)(client.sig("one", queue=queue))
    with pytest.raises(ChordError, match="bad"):
        client.app.AsyncResult(result.id).get(timeout=WITHIN)


def test_a_member_of_a_group_may_be_replaced(client: Client, queue: str) -> None:
    by = group([client.sig("add", 1, 2, queue=queue), client.sig("add", 3, 4, queue=queue)])
    result = group([replaced(client, queue, by), client.sig("one", 5, queue=queue)]).apply_async()
    assert result.get(timeout=WITHIN) == [[3, 7], 5]


def test_a_task_cannot_be_replaced_by_a_chain_of_none(client: Client, queue: str) -> None:
    by = {"task": "celery.chain", "kwargs": {"tasks": []}, "subtask_type": "chain", "options": {}, "args": []}
    with pytest.raises(ImproperlyConfigured, match="empty chain"):
        replaced(client, queue, by).delay().get(timeout=WITHIN)


def test_a_task_cannot_be_replaced_by_a_part_of_a_chord(client: Client, queue: str) -> None:
    by = client.sig("one", 1, queue=queue).set(chord=client.sig("total", queue=queue))
    with pytest.raises(ImproperlyConfigured, match="must not be part of a chord"):
        replaced(client, queue, by).delay().get(timeout=WITHIN)


@pytest.mark.petiole("in Celery a task has signatures, and no JSON that could be wrong")
@pytest.mark.parametrize("by", [7, {}, {"task": "demo.one", "args": {}}])
def test_what_is_no_signature_fails_the_task(client: Client, queue: str, by: Any) -> None:
    with pytest.raises(Exception, match="a signature"):
        replaced(client, queue, by).delay().get(timeout=WITHIN)
