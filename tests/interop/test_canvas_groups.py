"""Groups: tasks that run side by side, and one result for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import wire
from celery import chain, group, states
from celery.exceptions import TaskRevokedError
from celery.result import GroupResult, result_from_tuple
from client import Client, Gate
from rig.redis_server import RedisServer
from rig.waiting import until

# Most tests join, since `get` of a group takes Celery's client half a second longer.
WITHIN = 20


def adds(client: Client, numbers: Iterator[int] | range, queue: str = "serve") -> group:
    """A group of tasks that each add 1."""
    return group(client.sig("add", number, 1, queue=queue) for number in numbers)


@pytest.mark.parametrize("size", [1, 2, 10])
def test_a_group_returns_the_values_in_the_order_of_its_tasks(client: Client, queue: str, size: int) -> None:
    result = adds(client, range(size), queue).delay()
    assert result.join(timeout=WITHIN) == [number + 1 for number in range(size)]


def test_a_group_of_a_hundred_returns_all_values(client: Client) -> None:
    assert adds(client, range(100)).delay().join(timeout=60) == list(range(1, 101))


def test_an_empty_group_returns_nothing(client: Client) -> None:
    result = group([], app=client.app).delay()
    assert result.get(timeout=WITHIN) == []


def test_members_may_lie_in_different_queues(client: Client) -> None:
    parts = [client.sig("add", 1, 1, queue=queue) for queue in ("celery", "serve", "single")]
    assert group(parts).delay().join(timeout=WITHIN) == [2, 2, 2]


def test_arguments_of_the_call_go_to_every_member(client: Client, queue: str) -> None:
    result = group(client.sig("echo", number, queue=queue) for number in range(3)).delay("given")
    assert result.join(timeout=WITHIN) == [{"args": ["given", number], "kwargs": {}} for number in range(3)]


def test_a_group_is_ready_and_successful_when_its_last_member_is(client: Client, gate: Gate) -> None:
    result = group(client.sig("add", 1, 1), client.sig("gate", *gate.args("last"))).delay()
    assert result.results[0].get(timeout=WITHIN) == 2
    assert (result.ready(), result.successful(), result.waiting(), result.failed()) == (False, False, True, False)
    assert result.completed_count() == 1
    gate.open()
    assert result.join(timeout=WITHIN) == [2, "last"]
    assert (result.ready(), result.successful(), result.waiting(), result.failed()) == (True, True, False, False)
    assert result.completed_count() == 2


@pytest.mark.parametrize("how", ["get", "join", "join_native", "iterate", "iter_native"])
def test_the_values_can_be_taken_in_every_way_that_celery_has(client: Client, how: str) -> None:
    result = adds(client, range(5)).delay()
    if how == "iterate":
        values = [member.get(timeout=WITHIN) for member in result]
    elif how == "iter_native":
        values = sorted(record["result"] for _, record in result.iter_native(timeout=WITHIN))
    else:
        values = getattr(result, how)(timeout=WITHIN)
    assert values == [1, 2, 3, 4, 5]


def test_a_failed_member_raises_and_the_others_have_their_values(client: Client, queue: str) -> None:
    result = group(
        client.sig("add", 1, 1, queue=queue),
        client.sig("boom", "it went wrong", queue=queue),
        client.sig("add", 2, 2, queue=queue),
    ).delay()
    with pytest.raises(ValueError, match="^it went wrong$"):
        result.join(timeout=WITHIN)
    values = result.join(timeout=WITHIN, propagate=False)
    assert (values[0], values[2]) == (2, 4)
    assert isinstance(values[1], ValueError)
    assert (result.failed(), result.successful(), result.ready()) == (True, False, True)
    with pytest.raises(ValueError, match="^it went wrong$"):
        result.maybe_throw()


def test_a_member_that_has_expired_is_revoked_and_the_others_run(client: Client) -> None:
    result = group(client.sig("add", 1, 1), client.sig("add", 2, 2, expires=-1)).delay()
    until("the late one is revoked", lambda: result.results[1].state == states.REVOKED)
    with pytest.raises(TaskRevokedError):
        result.join(timeout=WITHIN)
    assert result.results[0].get(timeout=WITHIN) == 2


def test_a_saved_group_is_restored_by_its_id(client: Client) -> None:
    result = adds(client, range(3)).delay()
    result.save()
    again = GroupResult.restore(result.id, app=client.app)
    assert again == result
    assert again.join(timeout=WITHIN) == [1, 2, 3]
    again.delete()
    assert GroupResult.restore(result.id, app=client.app) is None


def test_a_group_can_be_handed_on_as_a_tuple(client: Client) -> None:
    result = result_from_tuple(adds(client, range(3)).delay().as_tuple(), app=client.app)
    assert result.join(timeout=WITHIN) == [1, 2, 3]


def test_a_forgotten_group_has_no_records(client: Client, redis_server: RedisServer) -> None:
    result = adds(client, range(3)).delay()
    result.join(timeout=WITHIN)
    result.forget()
    assert [wire.record(redis_server.client, member.id) for member in result] == [None] * 3


def test_each_record_names_the_group(client: Client, redis_server: RedisServer, queue: str) -> None:
    result = adds(client, range(3), queue).delay()
    result.join(timeout=WITHIN)
    records = [wire.record(redis_server.client, member.id) for member in result]
    assert [record and record["group_id"] for record in records] == [result.id] * 3


def test_a_member_without_anything_before_it_is_its_own_root(client: Client, queue: str) -> None:
    result = group(client.sig("lineage", queue=queue) for _ in range(2)).delay()
    told = result.join(timeout=WITHIN)
    assert [(each["root"], each["parent"]) for each in told] == [(member.id, None) for member in result]


def test_groups_in_a_group_are_flattened(client: Client, queue: str) -> None:
    def add(number: int) -> object:
        return client.sig("add", number, 1, queue=queue)

    result = group(add(0), group(add(1), group(add(2), add(3))), add(4)).delay()
    assert result.join(timeout=WITHIN) == [1, 2, 3, 4, 5]


def test_a_chain_in_a_group_is_known_by_its_last_step(client: Client, queue: str) -> None:
    def add(*args: int) -> object:
        return client.sig("add", *args, queue=queue)

    result = group(chain(add(1, 1), add(10)), add(2, 2), chain(add(3, 3), add(10), add(100))).delay()
    assert result.join(timeout=WITHIN) == [12, 4, 116]


def test_a_chain_that_fails_in_a_group_fails_its_member(client: Client) -> None:
    result = group(chain(client.sig("boom", "inside"), client.sig("one")), client.sig("add", 1, 1)).delay()
    values = result.join(timeout=WITHIN, propagate=False)
    assert isinstance(values[0], ValueError)
    assert values[1] == 2


def test_a_chain_may_end_in_a_group(client: Client, queue: str) -> None:
    result = chain(
        client.sig("add", 1, 1, queue=queue), group(client.sig("add", number, queue=queue) for number in (10, 20))
    ).delay()
    assert isinstance(result, GroupResult)
    assert result.join(timeout=WITHIN) == [12, 22]
    assert result.parent.get(timeout=WITHIN) == 2


def test_the_members_of_a_group_at_a_chain_s_end_know_the_step_before(client: Client, queue: str) -> None:
    result = chain(
        client.sig("add", 1, 1, queue=queue), group(client.sig("lineage", queue=queue) for _ in range(2))
    ).delay()
    told = result.join(timeout=WITHIN)
    assert {(each["root"], each["parent"]) for each in told} == {(result.parent.id, result.parent.id)}


def test_a_group_at_a_chain_s_end_is_a_child_of_the_step_before(client: Client) -> None:
    result = chain(client.sig("add", 1, 1), group(client.sig("add", number) for number in (10, 20))).delay()
    assert result.join(timeout=WITHIN) == [12, 22]
    assert result.parent.get(timeout=WITHIN) == 2
    children = [child for child in result.parent.children if isinstance(child, GroupResult)]
    assert [[member.id for member in child] for child in children] == [[member.id for member in result]]


def test_the_step_before_a_group_at_a_chain_s_end_raises_what_failed(client: Client) -> None:
    result = chain(client.sig("boom", "before"), group(client.sig("one"), client.sig("one"))).delay()
    with pytest.raises(ValueError, match="^before$"):
        result.parent.get(timeout=WITHIN)


@pytest.mark.petiole("Celery fails the group's id alone, and its members stay pending forever")
def test_a_group_at_a_chain_s_end_fails_with_the_step_before(client: Client) -> None:
    result = chain(client.sig("boom", "before"), group(client.sig("one"), client.sig("one"))).delay()
    with pytest.raises(ValueError, match="^before$"):
        result.join(timeout=WITHIN)
    until("its members have failed", lambda: {member.state for member in result} == {states.FAILURE})


def test_groups_after_each_other_get_all_values_of_the_one_before(client: Client) -> None:
    result = (
        group(client.sig("add", 1, 1), client.sig("add", 2, 2))
        | group(client.sig("total"), client.sig("one"))
    ).delay()  # fmt: skip
    assert result.join(timeout=WITHIN) == [6, [2, 4]]


def test_a_group_of_one_in_a_chain_is_that_task(client: Client) -> None:
    result = chain(group(client.sig("add", 1, 1)), client.sig("one")).delay()
    assert result.get(timeout=WITHIN) == 2


def test_a_group_is_called_back_by_a_task_behind_it(client: Client, tmp_path: Path) -> None:
    note = tmp_path / "note"
    result = (adds(client, range(3)) | client.sig("keep", kwargs={"path": str(note)})).delay()
    assert result.get(timeout=WITHIN) == [1, 2, 3]
    assert note.read_text() == "[1, 2, 3]\n"


def test_members_of_a_group_run_side_by_side(client: Client, queue: str, gate: Gate) -> None:
    names = ["a", "b", "c", "d"]
    result = group(client.sig("gate", *gate.args(name), queue=queue) for name in names).delay()
    until("all have started", lambda: sorted(gate.started()) == names)
    gate.open()
    assert result.join(timeout=WITHIN) == names


def test_map_calls_the_task_with_each_element(client: Client, queue: str) -> None:
    result = client.task("one").map([1, "two", [3]]).set(queue=queue).delay()
    assert result.get(timeout=WITHIN) == [1, "two", [3]]


def test_starmap_calls_the_task_with_each_list_of_arguments(client: Client, queue: str) -> None:
    result = client.task("add").starmap([(1, 2), (3, 4)]).set(queue=queue).delay()
    assert result.get(timeout=WITHIN) == [3, 7]


def test_a_map_over_nothing_returns_nothing(client: Client, queue: str) -> None:
    assert client.task("one").map([]).set(queue=queue).delay().get(timeout=WITHIN) == []


def test_a_map_fails_with_the_first_that_fails(client: Client, queue: str, tmp_path: Path) -> None:
    result = client.task("boom").map(["first", "second"]).set(queue=queue).delay()
    with pytest.raises(ValueError, match="^first$"):
        result.get(timeout=WITHIN)


def test_chunks_run_as_a_group_of_starmaps(client: Client) -> None:
    work = client.task("add").chunks([(number, 1) for number in range(7)], 3)
    result = work.apply_async(queue="serve")
    assert result.join(timeout=WITHIN) == [[1, 2, 3], [4, 5, 6], [7]]


def test_a_map_may_be_a_step_of_a_chain(client: Client) -> None:
    last = chain(client.task("add").starmap([(1, 1), (2, 2)]).set(queue="serve"), client.sig("total")).delay()
    assert last.get(timeout=WITHIN) == 6
