"""Messages on the broker: their order, when they are acknowledged, and those that nobody can read."""

import json
from pathlib import Path

import pools
import pytest
import wire
from client import Client, Gate
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20


def test_the_more_urgent_priority_runs_first(client: Client, gate: Gate, tmp_path: Path) -> None:
    order = tmp_path / "order"
    client.task("gate").apply_async(gate.args("first"), queue="single", priority=0)
    until("the only place is taken", gate.started)
    sent = [
        client.task("noted").apply_async((str(order), str(priority)), queue="single", priority=priority)
        for priority in (9, 6, 3, 0)
    ]
    gate.open()
    for result in sent:
        result.get(timeout=WITHIN)
    assert order.read_text().split() == ["0", "3", "6", "9"]


def test_tasks_of_one_priority_run_in_the_order_in_which_they_were_sent(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    order = tmp_path / "order"
    client.task("gate").apply_async(gate.args("first"), queue="single")
    until("the only place is taken", gate.started)
    numbers = [str(number) for number in range(10)]
    sent = [client.task("noted").apply_async((str(order), number), queue="single") for number in numbers]
    gate.open()
    for result in sent:
        result.get(timeout=WITHIN)
    assert order.read_text().split() == numbers


def test_a_late_task_s_message_is_held_until_it_has_ended(
    client: Client, redis_server: RedisServer, queue: str, gate: Gate
) -> None:
    result = client.task("gate").apply_async(gate.args("late"), queue=queue)
    until("the task has started", gate.started)
    assert result.id in wire.held(redis_server.client)
    gate.open()
    assert result.get(timeout=WITHIN) == "late"
    until("its message is settled", lambda: result.id not in wire.held(redis_server.client))


def test_an_early_task_s_message_is_settled_when_it_starts(
    client: Client, redis_server: RedisServer, queue: str, gate: Gate
) -> None:
    result = client.task("early").apply_async(gate.args("early"), queue=queue)
    until("the task has started", gate.started)
    until("its message is settled", lambda: result.id not in wire.held(redis_server.client))
    gate.open()
    assert result.get(timeout=WITHIN) == "early"


@pytest.mark.petiole("Celery drops what it cannot read, and has no dead letters on Redis")
def test_a_pickled_message_goes_to_the_dead_letters(client: Client, redis_server: RedisServer, queue: str) -> None:
    result = client.task("add").apply_async((1, 2), queue=queue, serializer="pickle")
    until("it is a dead letter", lambda: result.id in wire.waiting(redis_server.client, pools.DEAD))
    until("it is settled", lambda: result.id not in wire.held(redis_server.client))
    assert client.task("add").apply_async((1, 2), queue=queue).get(timeout=WITHIN) == 3


@pytest.mark.petiole("Celery drops what it cannot read, and has no dead letters on Redis")
def test_a_message_of_an_unknown_task_goes_to_the_dead_letters(client: Client, redis_server: RedisServer) -> None:
    result = client.send("demo.nobody")
    until("it is a dead letter", lambda: result.id in wire.waiting(redis_server.client, pools.DEAD))


@pytest.mark.petiole("a Celery worker stops for good when it meets one of these")
@pytest.mark.parametrize(
    "garbage",
    [
        b"this is no JSON",
        b"",
        b"\xff\xfe\x00",
        b"[]",
        b"{}",
        json.dumps({"body": "!!", "headers": {"task": "demo.add", "id": "x"}, "properties": {}}).encode(),
    ],
    ids=["text", "nothing", "bytes", "list", "empty", "body"],
)
def test_garbage_goes_to_the_dead_letters_and_the_worker_goes_on(
    client: Client, redis_server: RedisServer, queue: str, garbage: bytes
) -> None:
    server = redis_server.client
    before = server.llen(pools.DEAD)
    server.lpush(queue, garbage)
    until("it is a dead letter", lambda: server.llen(pools.DEAD) > before)
    assert garbage in [wire.before_death(letter) for letter in server.lrange(pools.DEAD, 0, -1)]
    assert client.task("add").apply_async((1, 2), queue=queue).get(timeout=WITHIN) == 3
