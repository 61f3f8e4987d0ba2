"""What `celery inspect`, `celery control` and Flower ask, and what a revocation does."""

from typing import Any

import psutil
import pytest
import wire
from celery import states
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult
from client import Client, Gate
from listening import listening
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20
#: As good as never.
MUCH_LATER = 600.0


def answers(client: Client, question: str, *args: Any) -> dict[str, Any]:
    """What each node answers."""
    return getattr(client.app.control.inspect(timeout=1.0), question)(*args) or {}


def all_of(client: Client, question: str, *args: Any) -> list[Any]:
    """What all nodes answer, together."""
    return [one for answer in answers(client, question, *args).values() for one in answer]


def ids(client: Client, question: str) -> list[str]:
    """The ids of tasks in what all nodes answer."""
    return [info["id"] for info in all_of(client, question)]


def running(client: Client, gate: Gate, queue: str) -> AsyncResult:
    """A task that runs, and goes on until the gate opens."""
    result = client.task("gate").apply_async(gate.args("x"), queue=queue)
    until("it runs", lambda: gate.started() == ["x"])
    return result


def test_every_node_answers_a_ping(client: Client) -> None:
    pongs = client.app.control.ping(timeout=1.0)
    assert pongs
    assert all(answer == {"ok": "pong"} for pong in pongs for answer in pong.values())


def test_a_node_is_asked_by_its_name(client: Client) -> None:
    [name, *_] = answers(client, "ping")
    assert client.app.control.ping(destination=[name], timeout=1.0) == [{name: {"ok": "pong"}}]


def test_a_task_that_runs_is_active(client: Client, gate: Gate, queue: str) -> None:
    result = running(client, gate, queue)
    assert result.id in ids(client, "active")
    info = next(info for info in all_of(client, "active") if info["id"] == result.id)
    assert info["name"] == "demo.gate"
    assert info["args"] == list(gate.args("x"))
    gate.open()
    assert result.get(timeout=WITHIN) == "x"
    until("it is active no more", lambda: result.id not in ids(client, "active"))


def test_the_processes_of_tasks_are_known(client: Client, gate: Gate, queue: str) -> None:
    result = client.task("tracked").apply_async(gate.args("x"), queue=queue)
    until("it runs", lambda: gate.started() == ["x"])
    node, info = next(
        (node, info)
        for node, infos in answers(client, "active").items()
        for info in infos
        if info["id"] == result.id
    )
    pid = info["worker_pid"]
    assert any(word.endswith(("serve.py", "exec.py", "celery")) for word in psutil.Process(pid).cmdline())
    assert pid in answers(client, "stats")[node]["pool"]["processes"]
    until("it is recorded", lambda: result.state == states.STARTED)
    assert result.info == {"pid": pid, "hostname": node}
    gate.open()
    assert result.get(timeout=WITHIN) == "x"


@pytest.mark.petiole("Celery lists a revoked task until its time comes")
def test_a_task_that_waits_for_its_time_is_scheduled(client: Client, queue: str) -> None:
    result = client.task("add").apply_async((1, 1), queue=queue, countdown=MUCH_LATER)

    def scheduled() -> list[str]:
        return [entry["request"]["id"] for entry in all_of(client, "scheduled")]

    until("it is scheduled", lambda: result.id in scheduled())
    result.revoke()
    until("it is not any more", lambda: result.id not in scheduled())


def test_the_queues_of_the_workers_are_known(client: Client, queue: str) -> None:
    assert queue in {known["name"] for known in all_of(client, "active_queues")}


def queues_of(client: Client, name: str) -> set[str]:
    """The queues that this node takes from."""
    known = client.app.control.inspect(destination=[name], timeout=1.0).active_queues() or {}
    return {queue["name"] for queue in known.get(name, [])}


def node_of(client: Client, queue: str) -> str:
    """The name of a node that takes from this queue."""
    known = answers(client, "active_queues")
    return next(name for name, queues in known.items() if queue in {one["name"] for one in queues})


def ok(replies: list[dict[str, Any]]) -> list[str]:
    """What was answered well."""
    return [answer["ok"] for reply in replies for answer in reply.values()]


def test_a_worker_takes_from_another_queue_until_it_is_told_not_to(client: Client, queue: str) -> None:
    node, more = node_of(client, queue), f"more-{queue}"
    to = {"destination": [node], "reply": True, "timeout": 1.0}
    result = client.task("add").apply_async((1, 2), queue=more)
    assert ok(client.app.control.add_consumer(more, **to)) == [f"add consumer {more}"]
    assert result.get(timeout=WITHIN) == 3
    until("it is listed", lambda: more in queues_of(client, node))
    assert ok(client.app.control.add_consumer(more, **to)) == [f"add consumer {more}"]

    assert ok(client.app.control.cancel_consumer(more, **to)) == [f"no longer consuming from {more}"]
    until("it is not listed any more", lambda: more not in queues_of(client, node))
    later = client.task("add").apply_async((3, 4), queue=more)
    assert client.task("add").apply_async((1, 1), queue=queue).get(timeout=WITHIN) == 2
    assert not later.ready()
    client.app.control.add_consumer(more, **to)
    assert later.get(timeout=WITHIN) == 7
    client.app.control.cancel_consumer(more, **to)


def test_a_queue_that_is_added_is_bound_to_its_exchange(
    client: Client, redis_server: RedisServer, queue: str
) -> None:
    node, more = node_of(client, queue), f"bound-{queue}"
    to = {"destination": [node], "reply": True, "timeout": 1.0}
    client.app.control.add_consumer(more, exchange=f"ex-{queue}", routing_key="key", **to)
    until("it is bound", lambda: redis_server.client.exists(f"_kombu.binding.ex-{queue}"))
    result = client.task("add").apply_async((1, 2), exchange=f"ex-{queue}", routing_key="key")
    assert result.get(timeout=WITHIN) == 3
    client.app.control.cancel_consumer(more, **to)


def test_what_a_cancelled_queue_has_under_way_goes_on(client: Client, gate: Gate, queue: str) -> None:
    node, more = node_of(client, queue), f"going-{queue}"
    to = {"destination": [node], "reply": True, "timeout": 1.0}
    client.app.control.add_consumer(more, **to)
    result = running(client, gate, more)
    client.app.control.cancel_consumer(more, **to)
    until("it is cancelled", lambda: more not in queues_of(client, node))
    gate.open()
    assert result.get(timeout=WITHIN) == "x"


def test_a_pool_grows_and_shrinks(client: Client, gate: Gate) -> None:
    node = node_of(client, "single")
    to = {"destination": [node], "reply": True, "timeout": 1.0}
    assert ok(client.app.control.pool_grow(1, **to)) == ["pool will grow"]
    results = [client.task("gate").apply_async(gate.args(name), queue="single") for name in ("a", "b")]
    until("both run", lambda: sorted(gate.started()) == ["a", "b"])
    gate.open()
    assert sorted(result.get(timeout=WITHIN) for result in results) == ["a", "b"]
    until("it shrinks", lambda: "pool will shrink" in ok_or_error(client.app.control.pool_shrink(1, **to)))


@pytest.mark.petiole("Celery says with how many it began")
def test_the_size_of_a_pool_is_what_it_is_now(client: Client) -> None:
    node = node_of(client, "single")
    to = {"destination": [node], "reply": True, "timeout": 1.0}

    def size() -> int:
        return client.app.control.inspect(destination=[node], timeout=1.0).stats()[node]["pool"]["max-concurrency"]

    client.app.control.pool_grow(2, **to)
    assert size() == 3
    client.app.control.pool_shrink(2, **to)
    assert size() == 1


def ok_or_error(replies: list[dict[str, Any]]) -> list[str]:
    """What was answered."""
    return [text for reply in replies for answer in reply.values() for text in answer.values()]


@pytest.mark.petiole("Celery ends the idle processes that there are, and leaves the worker with fewer")
def test_a_pool_does_not_shrink_below_what_runs(client: Client, gate: Gate) -> None:
    node = node_of(client, "serve")
    running(client, gate, "serve")
    replies = client.app.control.pool_shrink(4, destination=[node], reply=True, timeout=1.0)
    assert "at least one" in ok_or_error(replies)[0]
    assert client.app.control.pool_grow(5000, destination=[node], reply=True, timeout=1.0)[0][node]["error"]
    gate.open()


def test_handlers_are_started_and_ended_with_the_pools_size(client: Client, gate: Gate) -> None:
    node = node_of(client, "serve")
    to = {"destination": [node], "reply": True, "timeout": 1.0}
    assert ok(client.app.control.pool_grow(2, **to)) == ["pool will grow"]
    names = [f"t{number}" for number in range(6)]
    results = [client.task("gate").apply_async(gate.args(name), queue="serve") for name in names]
    until("all run", lambda: sorted(gate.started()) == names)
    gate.open()
    assert sorted(result.get(timeout=WITHIN) for result in results) == names
    until("it shrinks", lambda: "pool will shrink" in ok_or_error(client.app.control.pool_shrink(2, **to)))
    assert client.task("add").apply_async((1, 2), queue="serve").get(timeout=WITHIN) == 3


def test_the_tasks_of_the_workers_are_known(client: Client, queue: str) -> None:
    assert client.task("add").apply_async((1, 2), queue=queue).get(timeout=WITHIN) == 3
    until("it is registered", lambda: any(name.startswith("demo.add") for name in all_of(client, "registered")))


def test_the_workers_say_how_much_they_have_done(client: Client, queue: str) -> None:
    client.task("add").apply_async((1, 2), queue=queue).get(timeout=WITHIN)

    def counted() -> bool:
        return any(stats["total"].get("demo.add") for stats in answers(client, "stats").values())

    until("it is counted", counted)
    assert all(stats["pool"]["max-concurrency"] >= 1 for stats in answers(client, "stats").values())


def test_an_unknown_command_is_answered_with_an_error(client: Client) -> None:
    replies = client.app.control.broadcast("no_such_command", reply=True, timeout=1.0)
    assert replies
    assert all("error" in answer for reply in replies for answer in reply.values())


def test_a_task_that_is_revoked_before_it_is_taken_does_not_run(
    client: Client, redis_server: RedisServer, queue: str
) -> None:
    task_id = f"revoked-before-{queue}"
    client.app.control.revoke(task_id)
    until("the workers know it", lambda: all(task_id in known for known in answers(client, "revoked").values()))
    result = client.task("add").apply_async((1, 1), queue=queue, task_id=task_id)
    until("it is taken", lambda: result.id not in wire.waiting(redis_server.client, queue))
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get(timeout=WITHIN)


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
def test_a_task_that_runs_can_be_terminated(client: Client, gate: Gate, queue: str, signal: str) -> None:
    result = running(client, gate, queue)
    result.revoke(terminate=True, signal=signal)
    with pytest.raises(TaskRevokedError, match="terminated|revoked"):
        result.get(timeout=WITHIN)
    assert result.state == states.REVOKED


@pytest.mark.petiole("Celery records REVOKED at once, also for a task that runs on")
def test_a_revocation_without_terminate_lets_a_running_task_end(client: Client, gate: Gate, queue: str) -> None:
    result = running(client, gate, queue)
    result.revoke()
    until("the workers know it", lambda: all(result.id in known for known in answers(client, "revoked").values()))
    gate.open()
    assert result.get(timeout=WITHIN) == "x"


@pytest.mark.newer("it has no stamps")
def test_a_task_is_revoked_by_its_stamp(client: Client, queue: str) -> None:
    client.app.control.revoke_by_stamped_headers({"tenant": f"t-{queue}"})
    until("the workers answer", lambda: answers(client, "ping"))
    result = client.task("add").apply_async(
        (1, 1), queue=queue, stamped_headers=["tenant"], headers={"stamps": {"tenant": f"t-{queue}"}}, tenant=f"t-{queue}"
    )
    with pytest.raises(TaskRevokedError):
        result.get(timeout=WITHIN)


def test_events_of_tasks_are_sent_when_they_are_asked_for(client: Client, queue: str) -> None:
    with listening(client) as heard:
        client.app.control.enable_events(reply=True, timeout=1.0)
        try:
            heard.wait_for_a_worker()
            result = client.task("add").apply_async((1, 1), queue=queue)
            heard.wait_for(result.id, ["task-received", "task-started", "task-succeeded"])
        finally:
            client.app.control.disable_events()
