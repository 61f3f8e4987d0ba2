"""The states and records that a client sees, and those that it asked not to have."""

from pathlib import Path

import pytest
import tasks
import wire
from celery import states
from celery.exceptions import TaskRevokedError
from client import Client, Gate
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20


def test_a_tracked_task_is_started_while_it_runs(client: Client, queue: str, gate: Gate) -> None:
    result = client.task("tracked").apply_async(gate.args("tracked"), queue=queue)
    until("the task is STARTED", lambda: result.state == states.STARTED)
    until("it has started", lambda: gate.started() == ["tracked"])
    assert result.state == states.STARTED
    gate.open()
    assert result.get(timeout=WITHIN) == "tracked"
    assert result.state == states.SUCCESS


def test_a_task_that_is_not_tracked_is_pending_while_it_runs(client: Client, queue: str, gate: Gate) -> None:
    result = client.task("gate").apply_async(gate.args("quiet"), queue=queue)
    until("the task has started", gate.started)
    assert result.state == states.PENDING
    gate.open()
    assert result.get(timeout=WITHIN) == "quiet"


@pytest.mark.parametrize(
    "how",
    ["message", pytest.param("task", marks=pytest.mark.newer("what its task says of it stays in its program"))],
)
def test_a_result_that_nobody_wants_is_not_stored(
    client: Client, redis_server: RedisServer, queue: str, tmp_path: Path, how: str
) -> None:
    note = tmp_path / "note"
    if how == "message":
        result = client.task("noted").apply_async((str(note), "ran"), queue=queue, ignore_result=True)
    else:
        # Sent by name, so that the message says nothing and the worker's own setting counts.
        result = client.send("demo.silent", str(note), "ran", queue=queue)
    until("the task has run", lambda: note.exists() and note.read_text() == "ran\n")
    until("its message is settled", lambda: result.id not in wire.held(redis_server.client))
    assert wire.record(redis_server.client, result.id) is None


def test_get_of_a_result_that_nobody_wants_returns_at_once(client: Client, tmp_path: Path) -> None:
    result = client.task("noted").apply_async((str(tmp_path / "note"), "ran"), ignore_result=True)
    assert result.get(timeout=WITHIN) is None


def test_a_message_can_ask_for_a_result_that_the_task_does_not_store(
    client: Client, queue: str, tmp_path: Path
) -> None:
    result = client.task("silent").apply_async((str(tmp_path / "note"), "ran"), queue=queue, ignore_result=False)
    until("the result is stored", lambda: result.state == states.SUCCESS)


def test_a_result_that_is_forgotten_is_gone(client: Client, redis_server: RedisServer, queue: str) -> None:
    result = client.task("add").apply_async((1, 2), queue=queue)
    assert result.get(timeout=WITHIN) == 3
    result.forget()
    assert wire.record(redis_server.client, result.id) is None
    assert client.app.AsyncResult(result.id).state == states.PENDING


@pytest.mark.parametrize("name", ["add", "boom"])
def test_a_record_lives_as_long_as_results_expire(
    client: Client, redis_server: RedisServer, queue: str, name: str
) -> None:
    result = client.task(name).apply_async(("a", "b")[: 1 if name == "boom" else 2], queue=queue)
    result.get(timeout=WITHIN, propagate=False)
    left = wire.time_to_live(redis_server.client, result.id)
    assert tasks.RESULT_EXPIRES - 60 < left <= tasks.RESULT_EXPIRES


def test_a_record_has_the_members_that_celery_writes(client: Client, redis_server: RedisServer, queue: str) -> None:
    result = client.task("add").apply_async((1, 2), queue=queue)
    result.get(timeout=WITHIN)
    record = wire.record(redis_server.client, result.id)
    assert record is not None
    assert record["date_done"].endswith("+00:00")
    assert {**record, "date_done": ""} == {
        "status": "SUCCESS",
        "result": 3,
        "traceback": None,
        "children": [],
        "date_done": "",
        "task_id": result.id,
    }


def test_a_task_that_has_expired_is_revoked_and_does_not_run(client: Client, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    result = client.task("noted").apply_async((str(note), "ran"), queue=queue, expires=-1)
    with pytest.raises(TaskRevokedError, match="expired"):
        result.get(timeout=WITHIN)
    assert result.state == states.REVOKED
    assert not note.exists()


def test_a_task_that_expires_while_it_waits_is_revoked(client: Client, gate: Gate, tmp_path: Path) -> None:
    note = tmp_path / "note"
    first = client.task("gate").apply_async(gate.args("first"), queue="single")
    until("the only place is taken", gate.started)
    late = client.task("noted").apply_async((str(note), "ran"), queue="single", expires=0.2)
    expired = client.app.now().timestamp() + 0.5
    until("it has expired", lambda: client.app.now().timestamp() > expired)
    gate.open()
    with pytest.raises(TaskRevokedError, match="expired"):
        late.get(timeout=WITHIN)
    assert first.get(timeout=WITHIN) == "first"
    assert not note.exists()


def test_a_task_that_expires_later_runs(client: Client, queue: str) -> None:
    assert client.task("add").apply_async((1, 2), queue=queue, expires=60).get(timeout=WITHIN) == 3
