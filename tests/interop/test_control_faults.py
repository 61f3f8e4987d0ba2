"""Remote control when something is not as it should be: requests that are none, questions in a stop, ids of nothing."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pools
import pytest
import wire
from celery import states
from celery.exceptions import TaskRevokedError
from client import Client, Gate
from rig.dev import PetioleDev
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20
#: Where requests are published, on database 0.
CHANNEL = "/0.celery.pidbox"
REPLY_TO = {"exchange": "reply.celery.pidbox", "routing_key": "nobody"}
DEEP = "[" * 100_000


def request(body: Any, /, **changes: Any) -> bytes:
    """A request as kombu publishes it, but for what is changed."""
    text = body if isinstance(body, str) else json.dumps(body)
    envelope = {
        "body": base64.b64encode(text.encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"clock": 1, "expires": 0},
        "properties": {
            **{"delivery_mode": 2, "priority": 0, "body_encoding": "base64", "delivery_tag": "x"},
            "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""},
        },
        **changes,
    }
    return json.dumps(envelope).encode()


def asked(method: Any, arguments: Any = None, **more: Any) -> dict[str, Any]:
    """The body of a request to all nodes, which nobody waits for."""
    return {"method": method, "arguments": arguments or {}, "destination": None, "reply_to": REPLY_TO, **more}


#: What anybody who may write to the broker can send.
HOSTILE: dict[str, bytes] = {
    "no text": b"\xff\xfe\x00",
    "no json": b"{",
    "no object": b"[]",
    "nothing": b"",
    "deep": DEEP.encode(),
    "no body": request("", body=None),
    "a body that is no base64": request("", body="%%%"),
    "a body that is no json": request("ping"),
    "a body that is a list": request([1, 2]),
    "a deep body": request(DEEP),
    "a pickle": request("cos\nsystem\n(S'true'\ntR.", **{"content-type": "application/x-python-serialize"}),
    "an unknown content": request(asked("ping"), **{"content-type": "text/x-nothing"}),
    "an unknown encoding": request(asked("ping"), **{"content-encoding": "klingon"}),
    "headers that are a text": request(asked("ping"), headers="x"),
    "an expiry that is a text": request(asked("ping"), headers={"expires": "soon"}),
    "a clock beyond all numbers": request(asked("ping"), headers={"clock": 10**40}),
    "no method": request({"arguments": {}}),
    "a method that is a number": request(asked(7)),
    "a method of the machine's own": request(asked("__init__")),
    "arguments that are a list": request({**asked("revoke"), "arguments": [1]}),
    "a destination that is a number": request(asked("ping", destination=7)),
    "a pattern that does not end": request(asked("ping", pattern="(a+)+$" * 50, matcher="pcre")),
    "an unknown matcher": request(asked("ping", pattern="*", matcher="telepathy")),
    "an answer to nowhere": request(asked("ping", reply_to={"exchange": None})),
    "an answer to a text": request(asked("ping", reply_to="me")),
    "a revocation of numbers": request(asked("revoke", {"task_id": [1, None, {}]})),
    "a revocation by a signal that is none": request(
        asked("revoke", {"task_id": "x", "terminate": True, "signal": "SIGNOTHING"})
    ),
    "many revocations": request(asked("revoke", {"task_id": [f"hostile-{number}" for number in range(20_000)]})),
    "stamps that are none": request(asked("revoke_by_stamped_headers", {"headers": [1, "a", "=", "a=b=c"]})),
    "limits that are no numbers": request(asked("time_limit", {"task_name": "demo.silent", "soft": "x", "hard": []})),
    "limits beyond all numbers": request(asked("time_limit", {"task_name": "demo.silent", "soft": -1, "hard": 1e308})),
    "a rate of nothing": request(asked("rate_limit", {"task_name": "demo.silent", "rate_limit": {"a": 1}})),
    "a rate beyond all numbers": request(asked("rate_limit", {"task_name": "demo.silent", "rate_limit": "9e999/s"})),
    "a pool beyond all numbers": request(asked("pool_grow", {"n": -(10**30)})),
    "a queue without a name": request(asked("add_consumer", {"queue": ""})),
    "ids that are none": request(asked("query_task", {"ids": {"a": 1}})),
    "a hello from nobody": request(asked("hello", {"from_node": None, "revoked": "x"})),
    "an election": request(asked("election", {"id": "1", "topic": "task", "action": {"task": "demo.add"}})),
}


@pytest.mark.petiole("a stock worker is not asked to stand all of this")
@pytest.mark.parametrize("what", HOSTILE)
def test_a_request_that_is_none_harms_nobody(client: Client, redis_server: RedisServer, what: str) -> None:
    pids = pids_of(client)
    assert redis_server.client.publish(CHANNEL, HOSTILE[what]) == len(pids)
    # What takes long to read delays the next answer, and no more than that.
    until("all nodes answer, as the processes that they were", lambda: pids_of(client) == pids)
    for queue in ("celery", "serve", "single"):
        assert client.task("add").apply_async((1, 2), queue=queue).get(timeout=WITHIN) == 3


def pids_of(client: Client) -> dict[str, int]:
    """The process of each node: another one means that it was started again."""
    return {node: stats["pid"] for node, stats in (client.app.control.inspect(timeout=1.0).stats() or {}).items()}


@pytest.mark.petiole("an election of one node ends Celery's consumer")
def test_a_worker_survives_an_election(client: Client) -> None:
    pids = pids_of(client)
    client.app.control.election("an-id", "task", {"task": "demo.add"})
    assert pids_of(client) == pids


@pytest.mark.petiole("Celery records REVOKED for any id")
def test_a_revocation_of_nothing_leaves_no_record(client: Client, redis_server: RedisServer) -> None:
    client.app.control.revoke("nothing-of-this-id", reply=True, timeout=1.0)
    known = client.app.control.inspect(timeout=1.0).revoked()
    assert all("nothing-of-this-id" in ids for ids in known.values())
    assert wire.record(redis_server.client, "nothing-of-this-id") is None


@pytest.mark.petiole("Celery's worker answers no more once it is told to stop")
def test_a_task_can_be_terminated_while_its_worker_stops(
    own_redis: RedisServer, own_client: Client, start_petiole: Callable[..., PetioleDev], gate: Gate
) -> None:
    dev = start_petiole(pools.queue("celery", own_redis.url), pools.exec_pool("exec", ["celery"], concurrency=1))
    result = own_client.task("gate").apply_async(gate.args("x"), queue="celery")
    until("it runs", lambda: gate.started() == ["x"])
    waiting = own_client.task("nothing").apply_async(queue="celery")
    dev.process.send(15)
    # A worker that stops takes no more.
    until("it stops", lambda: "draining" in dev.process.output())
    active = own_client.app.control.inspect(timeout=2.0).active()
    assert [info["id"] for infos in active.values() for info in infos] == [result.id]
    result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=WITHIN)
    assert dev.process.wait() == 0
    assert waiting.state == states.PENDING
