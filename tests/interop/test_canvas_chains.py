"""Chains: each step gets the value of the one before, and the client can follow them from the last to the first."""

from pathlib import Path
from typing import Any

import pytest
import wire
from celery import Signature, chain, chord, signature, states
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult, result_from_tuple
from client import Client, Gate
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20
#: A queue that nobody consumes, where a step can be looked at.
UNREAD = "unread"


def steps(last: AsyncResult) -> list[AsyncResult]:
    """The results of a chain, the first step's first."""
    return [*steps(last.parent), last] if last.parent else [last]


def test_each_step_gets_the_value_of_the_one_before(client: Client, queue: str) -> None:
    sig = client.sig
    last = chain(sig("add", 2, 2, queue=queue), sig("add", 3, queue=queue), sig("mul", 10, queue=queue)).delay()
    assert last.get(timeout=WITHIN) == 70
    assert [step.get(timeout=WITHIN) for step in steps(last)] == [4, 7, 70]


def test_steps_may_lie_in_different_queues(client: Client) -> None:
    sig = client.sig
    last = (sig("add", 1, 1, queue="celery") | sig("add", 1, queue="serve") | sig("add", 1, queue="single")).delay()
    assert last.get(timeout=WITHIN) == 4


def test_a_step_without_a_queue_goes_to_the_default_queue(client: Client) -> None:
    last = chain(client.sig("add", 1, 1, queue="serve"), client.task("who").si()).delay()
    assert last.get(timeout=WITHIN) in ("celery", "petiole")


def test_an_immutable_step_gets_no_value(client: Client, queue: str) -> None:
    sig = client.sig
    last = chain(
        sig("add", 2, 2, queue=queue), sig("add", 5, 5, queue=queue, immutable=True), sig("add", 1, queue=queue)
    ).delay()
    assert last.get(timeout=WITHIN) == 11


def test_a_step_keeps_its_keyword_arguments_and_gets_the_value_first(client: Client, queue: str) -> None:
    last = chain(
        client.sig("add", 1, 1, queue=queue), client.sig("echo", "own", queue=queue, kwargs={"name": "value"})
    ).delay()
    assert last.get(timeout=WITHIN) == {"args": [2, "own"], "kwargs": {"name": "value"}}


def test_arguments_of_the_call_go_to_the_first_step(client: Client) -> None:
    last = chain(client.sig("echo", "own", kwargs={"kept": 1}), client.sig("one")).apply_async(("given",))
    assert last.get(timeout=WITHIN) == {"args": ["given", "own"], "kwargs": {"kept": 1}}


@pytest.mark.parametrize("value", [None, [], {}, [1, [2]], "漢字", 2**70, {"__type__": "other"}])
def test_a_value_of_any_form_is_the_next_step_s_argument(client: Client, value: object) -> None:
    last = chain(client.sig("one", value), client.sig("echo", "own")).delay()
    assert last.get(timeout=WITHIN) == {"args": [value, "own"], "kwargs": {}}


def test_the_result_of_a_step_names_the_next_as_its_child(client: Client, queue: str) -> None:
    sig = client.sig
    last = chain(sig("add", 1, 1, queue=queue), sig("add", 1, queue=queue), sig("add", 1, queue=queue)).delay()
    # Celery sends the next step before it stores the value of this one, and so may end a chain from its end.
    assert [step.get(timeout=WITHIN) for step in steps(last)] == [2, 3, 4]
    first, second, third = steps(last)
    assert [child.id for child in first.children] == [second.id]
    assert [child.id for child in second.children] == [third.id]
    assert third.children == []


def test_a_chain_can_be_collected_from_its_first_step(client: Client) -> None:
    last = chain(client.sig("add", 1, 1), client.sig("add", 1), client.sig("add", 1)).delay()
    assert [step.get(timeout=WITHIN) for step in steps(last)] == [2, 3, 4]
    assert [value for _, value in steps(last)[0].collect(timeout=WITHIN)] == [2, 3, 4]


def test_every_step_knows_the_root_and_the_step_before(client: Client, queue: str) -> None:
    last = chain(client.sig("lineage", queue=queue, immutable=True) for _ in range(3)).delay()
    told = [step.get(timeout=WITHIN) for step in steps(last)]
    ids = [step.id for step in steps(last)]
    assert [(each["id"], each["root"], each["parent"]) for each in told] == [
        (ids[0], ids[0], None),
        (ids[1], ids[0], ids[0]),
        (ids[2], ids[0], ids[1]),
    ]


def test_a_record_names_the_step_before_as_its_parent(client: Client, redis_server: RedisServer) -> None:
    last = chain(client.sig("add", 1, 1), client.sig("add", 1)).delay()
    last.get(timeout=WITHIN)
    record = wire.record(redis_server.client, last.id)
    assert record is not None and record["parent_id"] == last.parent.id


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_step_that_fails_fails_all_that_follow_and_none_of_these_run(
    client: Client, queue: str, tmp_path: Path, at: int
) -> None:
    path = str(tmp_path / "ran")
    parts = [client.sig("noted", path, str(number), queue=queue, immutable=True) for number in range(4)]
    parts[at] = client.sig("boom", "it went wrong", queue=queue, immutable=True)
    last = chain(parts).delay()
    with pytest.raises(ValueError, match="^it went wrong$"):
        last.get(timeout=WITHIN)
    expected = [states.SUCCESS] * at + [states.FAILURE] * (4 - at)
    until("all have their states", lambda: [step.state for step in steps(last)] == expected)
    errors = [step.result for step in steps(last)[at:]]
    assert all(type(error) is ValueError and error.args == ("it went wrong",) for error in errors)
    ran = Path(path).read_text().split() if at else []
    assert ran == [str(number) for number in range(at)]


def test_get_on_the_last_step_raises_what_an_earlier_one_has_raised(client: Client) -> None:
    last = chain(client.sig("boom", "early"), client.sig("one"), client.sig("one")).delay()
    with pytest.raises(ValueError, match="^early$"):
        last.get(timeout=WITHIN)
    assert isinstance(last.get(timeout=WITHIN, propagate=False), ValueError)


def test_a_lost_process_fails_the_steps_that_follow(client: Client) -> None:
    last = chain(client.sig("die"), client.sig("one")).delay()
    with pytest.raises(Exception) as raised:
        last.get(timeout=WITHIN)
    assert type(raised.value).__name__ == "WorkerLostError"


def test_a_step_with_a_time_limit_is_killed_by_it(client: Client) -> None:
    last = chain(client.sig("add", 30, 30), client.sig("sleep", time_limit=1), client.sig("one")).delay()
    with pytest.raises(Exception) as raised:
        last.get(timeout=WITHIN)
    assert type(raised.value).__name__ == "TimeLimitExceeded"
    assert last.parent.parent.get(timeout=WITHIN) == 60


@pytest.mark.petiole("Celery leaves the steps after an unknown task pending forever")
def test_steps_after_an_unknown_task_fail(client: Client) -> None:
    unknown = signature("demo.nobody", app=client.app, immutable=True).set(queue="serve")
    last = chain(client.sig("add", 1, 1), unknown, client.sig("one")).delay()
    until("the rest has failed", lambda: last.state == states.FAILURE)


def test_a_step_that_has_expired_is_revoked_and_the_next_is_not_run(client: Client, tmp_path: Path) -> None:
    note = tmp_path / "note"
    kept = client.sig("noted", str(note), "ran", immutable=True)
    last = chain(client.sig("add", 1, 1), client.sig("one", expires=-1), kept).delay()
    until("it is revoked", lambda: last.parent.state == states.REVOKED)
    # Found at the step before: Celery's last step has no record, and stays pending.
    with pytest.raises(TaskRevokedError, match="expired"):
        last.get(timeout=WITHIN)
    assert not note.exists()


def test_a_chain_in_a_chain_is_one_chain(client: Client, queue: str) -> None:
    def add(*args: int) -> Signature:
        return client.sig("add", *args, queue=queue)

    last = chain(chain(add(1, 1), add(1)), add(1), chain(add(1), chain(add(1), add(1)))).delay()
    assert last.get(timeout=WITHIN) == 7
    assert len(steps(last)) == 6


def test_a_chain_of_one_is_that_task(client: Client) -> None:
    result = chain(client.sig("add", 1, 1)).delay()
    assert result.get(timeout=WITHIN) == 2
    assert result.parent is None


def test_a_long_chain_runs_to_its_end(client: Client) -> None:
    last = chain(client.sig("add", 0, 1), *(client.sig("add", 1) for _ in range(39))).delay()
    assert last.get(timeout=WITHIN) == 40
    assert [step.get(timeout=WITHIN) for step in steps(last)] == list(range(1, 41))


def test_a_step_may_ignore_its_result_and_still_hands_it_on(client: Client, redis_server: RedisServer) -> None:
    last = chain(client.sig("add", 1, 1), client.sig("add", 1, ignore_result=True), client.sig("add", 1)).delay()
    until("the last step has its value", lambda: client.app.AsyncResult(last.id).state == states.SUCCESS)
    assert client.app.AsyncResult(last.id).get(timeout=WITHIN) == 4
    assert wire.record(redis_server.client, last.parent.id) is None


def test_a_step_waits_for_its_own_countdown(client: Client) -> None:
    last = chain(client.sig("clock"), client.sig("echo", countdown=0.3), client.sig("clock", immutable=True)).delay()
    started, ended = last.parent.parent, last
    assert ended.get(timeout=WITHIN) - started.get(timeout=WITHIN) >= 0.3


def test_a_result_can_be_followed_by_the_ids_of_its_chain(client: Client) -> None:
    last = chain(client.sig("add", 1, 1), client.sig("add", 1)).delay()
    # As a client does that hands a result on: the tuple is what can be stored.
    again = result_from_tuple(last.as_tuple(), app=client.app)
    assert again.get(timeout=WITHIN) == 3
    assert again.parent.get(timeout=WITHIN) == 2


def unread(redis_server: RedisServer, result: AsyncResult) -> dict:
    """The message of a step that nobody takes."""
    server = redis_server.client
    until("the message is there", lambda: result.id in wire.waiting(server, UNREAD))
    return next(message for message in wire.messages(server, UNREAD) if message["headers"]["id"] == result.id)


def test_the_options_of_a_step_are_in_its_message(client: Client, redis_server: RedisServer, queue: str) -> None:
    options = {"priority": 6, "time_limit": 9, "soft_time_limit": 8, "expires": 60, "shadow": "shown"}
    step = client.sig("one", queue=UNREAD, headers={"tenant": "t1"}, **options)
    last = chain(client.sig("add", 1, 1, queue=queue), step).delay()
    message = unread(redis_server, last)
    headers = message["headers"]
    assert headers["timelimit"] == [9, 8]
    assert headers["tenant"] == "t1"
    assert headers["shadow"] == "shown"
    assert headers["expires"]
    assert message["properties"]["priority"] == 6
    assert message["properties"]["correlation_id"] == last.id


@pytest.mark.newer("it has no stamps")
def test_stamps_are_seen_by_later_steps(client: Client, redis_server: RedisServer, queue: str) -> None:
    work = chain(client.sig("add", 1, 1, queue=queue), client.sig("one", queue=UNREAD))
    work.stamp(tenant="t1")
    headers = unread(redis_server, work.delay())["headers"]
    assert headers["stamped_headers"] == ["tenant"]
    assert headers["stamps"] == {"tenant": "t1"}


def named() -> Any:
    """A visitor that gives each task its name as a stamp."""
    # Celery 5.2 has no such class.
    from celery.canvas import StampingVisitor

    class Named(StampingVisitor):
        def on_signature(self, sig: dict, **_: object) -> dict:
            return {"named": f"is {sig['task']}", "stamped_headers": ["named"]}

    return Named()


@pytest.mark.newer("it has no stamps")
def test_stamps_of_a_visitor_are_seen_by_later_steps(client: Client, redis_server: RedisServer) -> None:
    work = chain(client.sig("add", 1, 1), client.sig("one", queue=UNREAD))
    work.stamp(named())
    headers = unread(redis_server, work.delay())["headers"]
    assert headers["stamped_headers"] == ["named"]
    assert headers["stamps"]["named"] == "is demo.one"


@pytest.mark.newer("it has no stamps")
def test_stamps_are_seen_by_callbacks(client: Client, redis_server: RedisServer) -> None:
    work = client.sig("add", 1, 1)
    work.link(client.sig("one", queue=UNREAD))
    work.stamp(tenant="t1")
    result = work.delay()
    until("it has a child", lambda: result.ready() and result.children)
    assert unread(redis_server, result.children[0])["headers"]["stamps"] == {"tenant": "t1"}


@pytest.mark.newer("it has no stamps")
def test_stamps_of_a_visitor_are_seen_by_the_body_of_a_chord(client: Client, redis_server: RedisServer) -> None:
    # Without a visitor Celery's client stamps the header alone.
    work = chord([client.sig("add", 1, 1), client.sig("add", 2, 2)], client.sig("one", queue=UNREAD))
    work.stamp(named())
    assert unread(redis_server, work.delay())["headers"]["stamps"]["named"] == "is demo.one"


@pytest.mark.newer("it has no stamps")
def test_the_stamps_of_a_task_are_not_those_of_the_next_step(client: Client, redis_server: RedisServer) -> None:
    first = client.sig("add", 1, 1)
    first.stamp(tenant="t1")
    headers = unread(redis_server, chain(first, client.sig("one", queue=UNREAD)).delay())["headers"]
    assert headers["stamps"] == {}


def test_a_chain_runs_on_when_its_steps_are_held_up(client: Client, gate: Gate) -> None:
    last = chain(client.sig("gate", *gate.args("held")), client.sig("echo")).delay()
    until("the first step has started", gate.started)
    assert [step.state for step in steps(last)] == [states.PENDING, states.PENDING]
    gate.open()
    assert last.get(timeout=WITHIN) == {"args": ["held"], "kwargs": {}}
