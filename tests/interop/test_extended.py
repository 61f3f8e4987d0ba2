"""Results that also say what their task was called with, and where it ran: `result_extended`."""

from collections.abc import Iterator
from pathlib import Path

import own
import pools
import pytest
import tasks
from celery import chain, group, states
from celery.result import AsyncResult
from client import Client, Gate
from rig.waiting import until

WITHIN = 20


@pytest.fixture(scope="module")
def extended(against: str, scratch: Path) -> Iterator[Client]:
    """A client of workers whose results are extended."""
    with own.redis(scratch, "extended") as redis:
        queues = [pools.queue(name, redis.url) for name in ("celery", "serve")]
        for queue in queues:
            queue["spec"]["results"]["extended"] = True
        resources = [
            *queues,
            pools.exec_pool("exec", ["celery"], concurrency=4),
            pools.serve_pool("serve", ["serve"], concurrency=4),
        ]
        conf = {"result_extended": True}
        with own.workers(against, redis, resources, conf), Client(tasks.make_app(redis.url)) as client:
            yield client


def told(result: AsyncResult) -> tuple:
    """What a result tells of its task."""
    return result.name, result.args, result.kwargs, result.queue, result.retries


def test_a_success_tells_of_its_task(extended: Client, queue: str) -> None:
    result = extended.task("echo").apply_async((1, "zwei"), {"three": [3.5, None]}, queue=queue)
    result.get(timeout=WITHIN)
    assert told(result) == ("demo.echo", [1, "zwei"], {"three": [3.5, None]}, queue, 0)


def test_the_worker_is_named_as_inspect_names_it(extended: Client, queue: str) -> None:
    result = extended.task("add").apply_async((1, 2), queue=queue)
    result.get(timeout=WITHIN)
    assert result.worker in extended.app.control.inspect().ping()


def test_a_failure_tells_of_its_task(extended: Client, queue: str) -> None:
    result = extended.task("boom").apply_async(("x",), queue=queue)
    with pytest.raises(ValueError, match="x"):
        result.get(timeout=WITHIN)
    assert told(result) == ("demo.boom", ["x"], {}, queue, 0)


def test_a_task_that_was_tried_again_tells_how_often(extended: Client, queue: str) -> None:
    result = extended.task("again").apply_async((2,), queue=queue)
    assert result.get(timeout=WITHIN) == 2
    assert told(result) == ("demo.again", [2], {}, queue, 2)


def test_a_task_that_runs_tells_of_itself(extended: Client, queue: str, gate: Gate) -> None:
    result = extended.task("tracked").apply_async(gate.args("tracked"), queue=queue)
    until("it runs", lambda: result.state == states.STARTED)
    assert told(result) == ("demo.tracked", list(gate.args("tracked")), {}, queue, 0)
    assert result.worker


def test_a_task_s_own_state_tells_of_it(extended: Client, gate: Gate) -> None:
    args = (*gate.args("advance"), [("PROGRESS", {"done": 1})])
    result = extended.task("advance").apply_async(args, queue="serve")
    until("it says how far it is", lambda: result.state == "PROGRESS")
    assert (result.name, result.queue, result.info) == ("demo.advance", "serve", {"done": 1})


def test_a_task_that_expired_tells_of_itself(extended: Client, queue: str) -> None:
    result = extended.task("add").apply_async((1, 2), queue=queue, expires=-1)
    until("it has expired", lambda: result.state == states.REVOKED)
    assert told(result) == ("demo.add", [1, 2], {}, queue, 0)


def test_each_step_of_a_chain_tells_what_it_got(extended: Client, queue: str) -> None:
    last = chain(extended.sig("add", 1, 1, queue=queue), extended.sig("add", 10, queue=queue)).delay()
    assert last.get(timeout=WITHIN) == 12
    assert (last.parent.args, last.args) == ([1, 1], [2, 10])
    assert last._get_task_meta()["parent_id"] == last.parent.id


def test_a_step_that_never_ran_tells_what_it_would_have_been(extended: Client, queue: str) -> None:
    last = chain(extended.sig("boom", "x", queue=queue), extended.sig("add", 10, queue=queue)).delay()
    with pytest.raises(ValueError, match="x"):
        last.get(timeout=WITHIN)
    # Its parent's failure may be heard first.
    until("its own record is there", lambda: last.state == states.FAILURE)
    assert (last.name, last.args, last.queue, last.worker) == ("demo.add", [10], None, None)


def test_the_members_of_a_group_tell_which_group(extended: Client, queue: str) -> None:
    result = group(extended.sig("add", number, 1, queue=queue) for number in range(2)).delay()
    assert result.get(timeout=WITHIN) == [1, 2]
    assert [member._get_task_meta()["group_id"] for member in result] == [result.id] * 2


@pytest.mark.newer("it has no stamps")
def test_stamps_stand_beside_the_rest(extended: Client, queue: str) -> None:
    signature = extended.sig("add", 1, 2, queue=queue)
    signature.stamp(tenant="t1", labels=["a", "b"])
    result = signature.apply_async()
    result.get(timeout=WITHIN)
    meta = result._get_task_meta()
    assert (sorted(meta["stamped_headers"]), meta["tenant"]) == (["labels", "tenant"], "t1")
    assert sorted(meta["labels"]) == ["a", "b"]


def test_a_result_that_is_not_extended_tells_nothing(client: Client, queue: str) -> None:
    result = client.task("add").apply_async((1, 2), queue=queue)
    result.get(timeout=WITHIN)
    assert told(result) == (None, None, None, None, None)
