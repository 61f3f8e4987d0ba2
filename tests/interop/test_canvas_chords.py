"""Chords: a body that gets all values of its header once the last of them is there."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import wire
from celery import Signature, chain, chord, group, signature, states
from celery.exceptions import ChordError
from celery.result import AsyncResult
from client import Client, Gate
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20


def adds(client: Client, numbers: Iterable[int], queue: str = "serve") -> list[Signature]:
    """Tasks that each add 1."""
    return [client.sig("add", number, 1, queue=queue) for number in numbers]


def alone(client: Client, result: AsyncResult) -> AsyncResult:
    """The result without what went before it, whose errors `get` would raise first."""
    return client.app.AsyncResult(result.id)


def assert_chord_error(client: Client, result: AsyncResult, why: str) -> None:
    """The body has failed since its header has."""
    with pytest.raises(ChordError, match=why):
        alone(client, result).get(timeout=WITHIN)


@pytest.mark.parametrize("size", [1, 2, 10])
def test_the_body_gets_the_values_of_its_header(client: Client, queue: str, size: int) -> None:
    result = chord(adds(client, range(size), queue))(client.sig("total", queue=queue))
    assert result.get(timeout=WITHIN) == sum(range(1, size + 1))


def test_the_values_are_in_the_order_of_the_header_whoever_is_first(client: Client, gate: Gate) -> None:
    header = [client.sig("gate", *gate.args("slow")), client.sig("one", "second"), client.sig("one", "third")]
    result = chord(header)(client.sig("one"))
    until("the others have their values", lambda: all(member.ready() for member in result.parent.results[1:]))
    gate.open()
    assert result.get(timeout=WITHIN) == ["slow", "second", "third"]


def test_a_chord_of_a_hundred_calls_its_body_once(client: Client, tmp_path: Path) -> None:
    note = tmp_path / "note"
    result = chord(adds(client, range(100)))(client.sig("keep", kwargs={"path": str(note)}))
    assert result.get(timeout=60) == list(range(1, 101))
    assert len(note.read_text().splitlines()) == 1


def test_the_body_of_an_empty_header_gets_an_empty_list(client: Client, queue: str) -> None:
    result = chord([], app=client.app)(client.sig("total", queue=queue))
    assert result.get(timeout=WITHIN) == 0


def test_header_and_body_may_lie_in_different_queues(client: Client) -> None:
    header = [client.sig("add", 1, 1, queue="celery"), client.sig("add", 1, 1, queue="serve")]
    assert chord(header)(client.sig("total", queue="single")).get(timeout=WITHIN) == 4


def test_the_body_keeps_its_own_arguments(client: Client) -> None:
    result = chord(adds(client, range(2)))(client.sig("echo", "own", kwargs={"name": "value"}))
    assert result.get(timeout=WITHIN) == {"args": [[1, 2], "own"], "kwargs": {"name": "value"}}


def test_an_immutable_body_gets_no_values(client: Client, queue: str) -> None:
    result = chord(adds(client, range(2), queue))(client.sig("echo", "own", queue=queue, immutable=True))
    assert result.get(timeout=WITHIN) == {"args": ["own"], "kwargs": {}}


def test_a_header_result_that_nobody_wants_still_counts(client: Client, redis_server: RedisServer) -> None:
    header = [client.sig("add", 1, 1, ignore_result=True), client.sig("add", 2, 2), client.sig("add", 3, 3)]
    result = chord(header)(client.sig("one"))
    assert alone(client, result).get(timeout=WITHIN) == [2, 4, 6]
    assert wire.record(redis_server.client, result.parent.results[0].id) is None


def test_a_chord_leaves_no_counters_behind(client: Client, redis_server: RedisServer) -> None:
    result = chord(adds(client, range(3)))(client.sig("total"))
    assert result.get(timeout=WITHIN) == 6
    counters = [f"celery-taskset-meta-{result.parent.id}.{part}" for part in "jtsd"]
    until("the counters are gone", lambda: not redis_server.client.exists(*counters))


def test_the_body_knows_its_root_and_has_a_header_task_as_its_parent(client: Client, queue: str) -> None:
    header = group(client.sig("lineage", queue=queue) for _ in range(3))
    result = chord(header)(client.sig("lineage", queue=queue))
    told = result.get(timeout=WITHIN)
    members = {member.id for member in result.parent}
    assert told["parent"] in members
    assert told["root"] in members


def test_a_chord_in_a_chain_gets_the_value_before_and_hands_on_the_value_of_its_body(
    client: Client, queue: str
) -> None:
    def add(*args: int) -> Signature:
        return client.sig("add", *args, queue=queue)

    last = chain(add(1, 1), group(add(10), add(20)), client.sig("total", queue=queue), add(100)).delay()
    assert last.get(timeout=WITHIN) == 12 + 22 + 100


def test_two_chords_in_a_chain_run_one_after_the_other(client: Client) -> None:
    def pair() -> group:
        return group(client.sig("add", 1), client.sig("add", 2))

    work = chain(client.sig("add", 0, 0), pair(), client.sig("total"), pair(), client.sig("total"), client.sig("one"))
    assert work.delay().get(timeout=WITHIN) == 9


def test_chords_one_straight_after_the_other_hand_on_their_values(client: Client) -> None:
    first = chord(adds(client, range(2)), client.sig("total"))
    second = chord([client.sig("add", 1), client.sig("add", 2)], client.sig("total"))
    assert chain(first, second).delay().get(timeout=WITHIN) == 9


def test_a_chain_in_a_header_counts_with_its_last_step(client: Client, queue: str) -> None:
    def add(*args: int) -> Signature:
        return client.sig("add", *args, queue=queue)

    result = chord([chain(add(1, 1), add(1), add(1)), add(5, 5), chain(add(2, 2), add(1))])(
        client.sig("one", queue=queue)
    )
    assert result.get(timeout=WITHIN) == [4, 10, 5]


def test_a_header_of_chains_alone_calls_the_body(client: Client) -> None:
    header = [chain(client.sig("add", number, 1), client.sig("mul", 10)) for number in range(4)]
    assert chord(header)(client.sig("one")).get(timeout=WITHIN) == [10, 20, 30, 40]


def test_a_chord_in_a_header_counts_with_its_body(client: Client, queue: str) -> None:
    inner = chord(adds(client, range(2), queue), client.sig("total", queue=queue))
    result = chord([inner, client.sig("add", 5, 5, queue=queue)])(client.sig("one", queue=queue))
    assert sorted(result.get(timeout=WITHIN)) == [3, 10]


def test_a_chain_that_ends_in_a_chord_may_be_in_a_header(client: Client) -> None:
    inner = chain(client.sig("add", 1, 1), group(client.sig("add", 1), client.sig("add", 2)), client.sig("total"))
    result = chord([inner, client.sig("add", 5, 5)])(client.sig("one"))
    assert sorted(result.get(timeout=WITHIN)) == [7, 10]


def test_a_group_in_a_header_counts_with_its_members(client: Client, queue: str) -> None:
    header = [client.sig("add", 0, 1, queue=queue), group(adds(client, (1, 2), queue))]
    result = chord(header)(client.sig("one", queue=queue))
    # The members of the group have places of their own, which are the places of the header too: the order is nobody's.
    assert sorted(result.get(timeout=WITHIN)) == [1, 2, 3]


def test_the_body_may_be_a_chain(client: Client, queue: str) -> None:
    body = chain(client.sig("total", queue=queue), client.sig("add", 100, queue=queue))
    assert chord(adds(client, range(3), queue))(body).get(timeout=WITHIN) == 106


def test_the_body_may_be_a_group(client: Client, queue: str) -> None:
    body = group(client.sig("total", queue=queue), client.sig("one", queue=queue))
    assert chord(adds(client, range(3), queue))(body).get(timeout=WITHIN) == [6, [1, 2, 3]]


def test_the_body_may_be_a_chord(client: Client, queue: str) -> None:
    body = chord([client.sig("total", queue=queue), client.sig("total", queue=queue)], client.sig("one", queue=queue))
    assert chord(adds(client, range(3), queue))(body).get(timeout=WITHIN) == [6, 6]


def test_chords_three_deep_come_to_one_value(client: Client) -> None:
    def total(*header: Signature) -> chord:
        return chord(list(header), client.sig("total"))

    one, two = adds(client, (0, 1))
    work = total(total(total(one, two), one), two)
    assert work.delay().get(timeout=WITHIN) == 6


def test_a_header_that_fails_fails_the_body_with_a_chord_error(client: Client, queue: str) -> None:
    header = [client.sig("add", 1, 1, queue=queue), client.sig("boom", "it went wrong", queue=queue)]
    result = chord(header)(client.sig("total", queue=queue))
    failed = result.parent.results[1].id
    assert_chord_error(client, result, rf"^Dependency {failed} raised ValueError\('it went wrong'\)$")
    assert result.state == states.FAILURE
    # Seen from the body's result, it is the header's own error that counts.
    with pytest.raises(ValueError, match="^it went wrong$"):
        result.get(timeout=WITHIN)


def test_the_other_members_of_a_header_that_fails_keep_their_values(client: Client) -> None:
    header = [client.sig("boom", "first"), client.sig("add", 1, 1)]
    result = chord(header)(client.sig("total"))
    assert_chord_error(client, result, "first")
    assert result.parent.results[1].get(timeout=WITHIN) == 2


@pytest.mark.parametrize("how", ["die", "expired", "limit"])
def test_a_header_task_that_does_not_end_by_itself_fails_the_body(client: Client, how: str) -> None:
    ends = {
        "die": client.sig("die"),
        "expired": client.sig("add", 1, 1, expires=-1),
        "limit": client.sig("sleep", 60, time_limit=1),
    }
    why = {"die": "WorkerLostError", "expired": r"TaskRevokedError\('expired'\)", "limit": "TimeLimitExceeded"}
    result = chord([client.sig("add", 1, 1), ends[how]])(client.sig("total"))
    assert_chord_error(client, result, why[how])


@pytest.mark.petiole("Celery does not count an unknown task, and its body waits forever")
def test_an_unknown_task_in_a_header_fails_the_body(client: Client) -> None:
    unknown = signature("demo.nobody", app=client.app).set(queue="serve")
    result = chord([client.sig("add", 1, 1), unknown])(client.sig("total"))
    assert_chord_error(client, result, "NotRegistered")


def test_a_chain_that_fails_in_a_header_fails_the_body(client: Client, queue: str) -> None:
    broken = chain(client.sig("boom", "early", queue=queue), client.sig("one", queue=queue))
    result = chord([client.sig("add", 1, 1, queue=queue), broken])(client.sig("total", queue=queue))
    assert_chord_error(client, result, "early")


@pytest.mark.petiole("Celery forgets that a chord which has failed is a part of another, whose body waits forever")
def test_a_chord_that_fails_in_a_header_fails_the_body(client: Client) -> None:
    inner = chord([client.sig("boom", "inner"), client.sig("add", 1, 1)], client.sig("total"))
    result = chord([client.sig("add", 1, 1), inner])(client.sig("total"))
    assert_chord_error(client, result, "inner")


def test_the_last_step_behind_a_body_fails_with_it(client: Client, queue: str) -> None:
    header = group(client.sig("add", 1, 1, queue=queue), client.sig("boom", "header", queue=queue))
    last = chain(header, client.sig("total", queue=queue), client.sig("one", queue=queue)).delay()
    # The body is then a chain, whose id is that of its last step: the steps before it have no records.
    assert_chord_error(client, last, "header")


def test_a_group_as_the_body_fails_with_its_members(client: Client) -> None:
    header = [client.sig("add", 1, 1), client.sig("boom", "header")]
    result = chord(header)(group(client.sig("total"), client.sig("one")))
    until("all have failed", lambda: [member.state for member in result] == [states.FAILURE] * 2)
    # The original exception, and no ChordError, as only for a group.
    assert [type(member.result) for member in result] == [ValueError] * 2


def test_a_header_that_fails_calls_the_errback_of_the_body(client: Client, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    body = client.sig("total", queue=queue).on_error(client.sig("keep", queue=queue, kwargs={"path": str(note)}))
    result = chord([client.sig("add", 1, 1, queue=queue), client.sig("boom", "x", queue=queue)])(body)
    assert_chord_error(client, result, "'x'")
    until("the errback has run", lambda: note.exists() and note.read_text() == f"{result.id}\n")


def test_a_body_that_fails_itself_has_its_own_exception(client: Client) -> None:
    result = chord(adds(client, range(2)))(client.sig("boom", "the body", immutable=True))
    with pytest.raises(ValueError, match="^the body$"):
        result.get(timeout=WITHIN)


def test_a_body_with_wrong_arguments_fails_with_python_s_own_words(client: Client, against: str) -> None:
    body = signature("demo.nothing", app=client.app).set(queue="serve")
    result = chord(adds(client, range(2)))(body)
    # Celery's worker has the body's code at hand, and does not even send such a call.
    with pytest.raises(ChordError if against == "celery" else TypeError, match="nothing.* takes 0 positional"):
        result.get(timeout=WITHIN)


def test_a_callback_of_a_chord_gets_the_value_of_its_body(client: Client, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    work = chord(adds(client, range(3), queue), client.sig("total", queue=queue))
    work.link(client.sig("keep", queue=queue, kwargs={"path": str(note)}))
    assert work.delay().get(timeout=WITHIN) == 6
    until("the callback has run", lambda: note.exists() and note.read_text() == "6\n")


def test_a_body_with_a_countdown_waits_for_its_time(client: Client) -> None:
    header = [client.sig("clock"), client.sig("clock")]
    result = chord(header)(client.sig("clock", immutable=True, countdown=0.3))
    assert result.get(timeout=WITHIN) - max(result.parent.get(timeout=WITHIN)) >= 0.3


def test_chords_in_a_group_each_have_a_value(client: Client) -> None:
    work = group(chord(adds(client, range(size)), client.sig("total")) for size in (1, 2, 3))
    assert work.delay().get(timeout=WITHIN) == [1, 3, 6]
