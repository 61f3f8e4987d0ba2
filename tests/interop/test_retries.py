"""Tasks that ask for another attempt, refuse their message, or say how far they are."""

from collections.abc import Callable
from pathlib import Path

import pools
import pytest
import wire
from celery import chain, chord, group, states
from celery.exceptions import ChordError, MaxRetriesExceededError, NotRegistered
from client import Client, Gate
from rig.dev import PetioleDev
from rig.manifests import worker_pool
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_task_that_asks_for_another_attempt_gets_it(client: Client, queue: str, times: int) -> None:
    result = client.task("again").apply_async((times,), queue=queue)
    assert result.get(timeout=WITHIN) == times
    assert result.state == states.SUCCESS
    assert result.traceback is None


def test_every_attempt_has_the_task_s_id_and_one_retry_more(client: Client, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    result = client.task("again").apply_async((2,), {"path": str(note)}, queue=queue)
    assert result.get(timeout=WITHIN) == 2
    assert note.read_text().splitlines() == [f"{result.id} {number}" for number in range(3)]


def test_while_it_waits_its_state_is_retry_with_the_exception(client: Client, queue: str, gate: Gate) -> None:
    result = client.task("again_at_gate").apply_async((*gate.args("second"), "not yet"), queue=queue)
    until("it is to be retried", lambda: result.state == states.RETRY)
    error = result.result
    assert isinstance(error, ValueError) and error.args == ("not yet",)
    assert "Traceback" in result.traceback
    assert not result.ready()
    # The second attempt runs in this state too, since it is not tracked.
    until("the second attempt has started", gate.started)
    assert result.state == states.RETRY
    gate.open()
    assert result.get(timeout=WITHIN) == "second"
    assert result.state == states.SUCCESS


def test_a_retry_without_an_exception_has_the_state_too(client: Client, queue: str, gate: Gate) -> None:
    result = client.task("again_at_gate").apply_async((*gate.args("second"), None), queue=queue)
    until("it is to be retried", lambda: result.state == states.RETRY)
    assert result.result is None
    gate.open()
    assert result.get(timeout=WITHIN) == "second"


@pytest.mark.parametrize("error", ["not yet", None])
def test_the_next_attempt_is_a_child_of_the_one_before(
    client: Client, redis_server: RedisServer, queue: str, gate: Gate, error: str | None
) -> None:
    result = client.task("again_at_gate").apply_async((*gate.args("second"), error), queue=queue)
    until("it is to be retried", lambda: result.state == states.RETRY)
    assert wire.record(redis_server.client, result.id)["children"] == [[[result.id, None], None]]
    gate.open()
    assert result.get(timeout=WITHIN) == "second"
    assert wire.record(redis_server.client, result.id)["children"] == []


def test_the_next_attempt_is_not_before_its_countdown(client: Client, queue: str) -> None:
    started = client.sig("clock", queue=queue)
    retried = client.sig("again", 1, queue=queue, immutable=True, kwargs={"countdown": 0.4})
    ended = client.sig("clock", queue=queue, immutable=True)
    last = chain(started, retried, ended).delay()
    assert last.get(timeout=WITHIN) - last.parent.parent.get(timeout=WITHIN) >= 0.4


def test_a_countdown_of_nothing_is_another_attempt_at_once(client: Client, queue: str) -> None:
    result = client.task("again").apply_async((3,), {"countdown": 0}, queue=queue)
    assert result.get(timeout=WITHIN) == 3


def test_with_no_tries_left_it_fails_with_its_own_exception(client: Client, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    asked = {"limit": 2, "error": "still not", "path": str(note)}
    result = client.task("again").apply_async((9,), asked, queue=queue)
    with pytest.raises(ValueError, match="^still not$"):
        result.get(timeout=WITHIN)
    assert result.state == states.FAILURE
    assert len(note.read_text().splitlines()) == 3


def test_with_no_tries_left_and_no_exception_it_fails_as_celery_s_does(client: Client, queue: str) -> None:
    result = client.task("again").apply_async((9,), {"limit": 1}, queue=queue)
    with pytest.raises(MaxRetriesExceededError, match=f"demo.again.*{result.id}"):
        result.get(timeout=WITHIN)


def test_a_task_may_allow_itself_no_retries(client: Client, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    asked = {"limit": 0, "error": "never", "path": str(note)}
    result = client.task("again").apply_async((9,), asked, queue=queue)
    with pytest.raises(ValueError, match="^never$"):
        result.get(timeout=WITHIN)
    assert note.read_text().splitlines() == [f"{result.id} 0"]


def test_a_task_that_says_no_limit_has_three_retries(client: Client, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    result = client.task("again").apply_async((9,), {"error": "no", "path": str(note)}, queue=queue)
    with pytest.raises(ValueError, match="^no$"):
        result.get(timeout=WITHIN)
    assert len(note.read_text().splitlines()) == 4


def test_an_attempt_that_fails_by_itself_ends_the_retries(client: Client, queue: str) -> None:
    result = client.task("again_or_fail").apply_async((2,), queue=queue)
    with pytest.raises(KeyError, match="for good"):
        result.get(timeout=WITHIN)


def test_a_retried_task_keeps_its_arguments(client: Client, queue: str) -> None:
    result = client.task("again").apply_async((1, "spare", {"n": [2**70]}), {"countdown": 0.01}, queue=queue)
    assert result.get(timeout=WITHIN) == 1


def test_a_retried_task_may_get_other_positional_arguments(client: Client, queue: str) -> None:
    asked = {"then": (["done", 2**70, {"é": None}], None), "kept": "k"}
    result = client.task("again_with").apply_async((1, 2), asked, queue=queue)
    got = {"args": ["done", 2**70, {"é": None}], "kwargs": {"kept": "k"}, "retries": 1}
    assert result.get(timeout=WITHIN) == got


def test_a_retried_task_may_get_other_keyword_arguments(client: Client, queue: str) -> None:
    asked = {"then": (None, {"done": True, "then": None}), "lost": "l"}
    result = client.task("again_with").apply_async(("kept",), asked, queue=queue)
    assert result.get(timeout=WITHIN) == {"args": ["kept"], "kwargs": {"done": True}, "retries": 1}


def test_a_retried_task_may_get_no_arguments_any_more(client: Client, queue: str) -> None:
    asked = {"then": ([], {"done": 1, "then": None})}
    result = client.task("again_with").apply_async((1, 2), asked, queue=queue)
    assert result.get(timeout=WITHIN) == {"args": [], "kwargs": {"done": 1}, "retries": 1}


@pytest.mark.parametrize("form", ["gzip", "yaml", "msgpack"])
def test_a_message_of_another_form_may_be_retried_with_other_arguments(client: Client, queue: str, form: str) -> None:
    options = {"compression": form} if form == "gzip" else {"serializer": form}
    asked = {"then": (["done"], None)}
    result = client.task("again_with").apply_async(("x" * 2000,), asked, queue=queue, **options)
    assert result.get(timeout=WITHIN) == {"args": ["done"], "kwargs": {}, "retries": 1}


def test_a_step_that_is_retried_with_other_arguments_keeps_its_workflow(client: Client, queue: str) -> None:
    first = client.sig("again_with", 1, queue=queue, kwargs={"then": (["done"], None)})
    header = [first, client.sig("echo", 2, queue=queue)]
    result = chord(header)(client.sig("one", queue=queue) | client.sig("one", queue=queue))
    told = result.get(timeout=WITHIN)
    assert told == [{"args": ["done"], "kwargs": {}, "retries": 1}, {"args": [2], "kwargs": {}}]


def test_with_no_tries_left_the_arguments_that_it_would_have_had_are_told(client: Client, queue: str) -> None:
    asked = {"then": (["done", 7], None), "limit": 0}
    result = client.task("again_with").apply_async((1,), asked, queue=queue)
    with pytest.raises(MaxRetriesExceededError, match=r"args:[\[(]'done', 7[\])]"):
        result.get(timeout=WITHIN)


def test_a_retried_task_keeps_the_client_s_headers(client: Client, queue: str) -> None:
    asked = {"header": "tenant"}
    result = client.task("lineage_again").apply_async(kwargs=asked, queue=queue, headers={"tenant": "t1"})
    told = result.get(timeout=WITHIN)
    assert (told["retries"], told["header"]) == (1, "t1")


def test_a_step_that_is_retried_keeps_its_chain(client: Client, queue: str) -> None:
    last = chain(
        client.sig("again", 2, queue=queue), client.sig("add", 10, queue=queue), client.sig("mul", 2, queue=queue)
    ).delay()
    assert last.get(timeout=WITHIN) == 24
    assert last.parent.parent.get(timeout=WITHIN) == 2


def test_a_step_in_the_middle_is_retried_with_the_value_before_it(client: Client) -> None:
    last = chain(client.sig("add", 1, 1), client.sig("again"), client.sig("add", 10)).delay()
    assert last.get(timeout=WITHIN) == 12


def test_a_step_with_no_tries_left_fails_the_rest(client: Client, queue: str) -> None:
    hopeless = client.sig("again", 9, queue=queue, kwargs={"limit": 1, "error": "hopeless"})
    last = chain(hopeless, client.sig("one", queue=queue)).delay()
    with pytest.raises(ValueError, match="^hopeless$"):
        last.get(timeout=WITHIN)
    until("the rest has failed", lambda: last.state == states.FAILURE)


def test_a_retried_task_keeps_its_callbacks(client: Client, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    link = client.sig("keep", queue=queue, kwargs={"path": str(note)})
    result = client.task("again").apply_async((2,), queue=queue, link=link)
    assert result.get(timeout=WITHIN) == 2
    until("the callback has run once", lambda: note.exists() and note.read_text() == "2\n")


def test_errbacks_are_called_when_no_tries_are_left_and_not_before(client: Client, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    errback = client.sig("keep", queue=queue, kwargs={"path": str(note)})
    result = client.task("again").apply_async((9,), {"limit": 2, "error": "x"}, queue=queue, link_error=errback)
    until("the errback has run", lambda: note.exists() and note.read_text() == f"{result.id}\n")
    assert result.state == states.FAILURE


def test_a_member_that_is_retried_keeps_its_place_in_the_group(client: Client, queue: str) -> None:
    result = group(client.sig("again", number, queue=queue) for number in (2, 0, 1)).delay()
    assert result.get(timeout=WITHIN) == [2, 0, 1]


def test_a_header_task_that_is_retried_counts_once(client: Client, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    body = client.sig("keep", queue=queue, kwargs={"path": str(note)})
    result = chord(client.sig("again", number, queue=queue) for number in (2, 0, 1))(body)
    assert result.get(timeout=WITHIN) == [2, 0, 1]
    assert note.read_text() == "[2, 0, 1]\n"


def test_a_header_task_with_no_tries_left_fails_the_body(client: Client) -> None:
    hopeless = client.sig("again", 9, kwargs={"limit": 1, "error": "hopeless"})
    result = chord([client.sig("add", 1, 1), hopeless])(client.sig("total"))
    with pytest.raises(ChordError, match="hopeless"):
        client.app.AsyncResult(result.id).get(timeout=WITHIN)


def test_a_body_may_be_retried(client: Client) -> None:
    result = chord([client.sig("add", 1, 1), client.sig("add", 2, 2)])(client.sig("again", 2, immutable=True))
    assert result.get(timeout=WITHIN) == 2


def test_a_callback_may_be_retried(client: Client) -> None:
    result = client.task("add").apply_async((1, 1), queue="serve", link=client.sig("again"))
    assert result.get(timeout=WITHIN) == 2
    assert result.children[0].get(timeout=WITHIN) == 2


def test_a_retried_task_keeps_its_root_and_has_a_parent(client: Client, queue: str) -> None:
    last = chain(client.sig("one", 1, queue=queue), client.sig("lineage_again", queue=queue)).delay()
    told = last.get(timeout=WITHIN)
    assert told["retries"] == 1
    assert (told["id"], told["root"], told["parent"]) == (last.id, last.parent.id, last.parent.id)


def test_a_retry_that_would_be_after_its_expiry_is_revoked(client: Client, queue: str) -> None:
    result = client.task("again").apply_async((1,), {"countdown": 0.6}, queue=queue, expires=0.4)
    until("it is revoked", lambda: result.state == states.REVOKED)


def test_a_task_that_waits_for_its_next_attempt_holds_up_no_other(client: Client) -> None:
    # 10 minutes: as good as never.
    waiting = [client.task("again").apply_async((1,), {"countdown": 600}, queue="single") for _ in range(5)]
    until("all are to be retried", lambda: all(result.state == states.RETRY for result in waiting))
    assert client.task("add").apply_async((1, 1), queue="single").get(timeout=WITHIN) == 2


def test_a_message_says_how_often_its_task_was_retried_before(client: Client, queue: str) -> None:
    result = client.task("lineage").apply_async(queue=queue, retries=2)
    assert result.get(timeout=WITHIN)["retries"] == 2


def test_a_task_that_is_to_be_ignored_has_no_record(
    client: Client, redis_server: RedisServer, queue: str, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    result = client.task("ignored").apply_async((str(note),), queue=queue)
    until("it has run", note.exists)
    until("its message is settled", lambda: result.id not in wire.held(redis_server.client))
    assert wire.record(redis_server.client, result.id) is None
    assert note.read_text() == "ran\n"


def test_a_task_that_gives_its_message_back_runs_again(client: Client, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    result = client.task("rejected").apply_async((str(note), True), queue=queue)
    assert result.get(timeout=WITHIN) == "taken"
    assert note.read_text() == "ran\nran\n"


@pytest.mark.petiole("Celery has no dead letters on Redis: it drops the message, and fails the task with Reject")
def test_a_message_that_its_task_refuses_goes_to_the_dead_letters(
    client: Client, redis_server: RedisServer, queue: str, tmp_path: Path
) -> None:
    result = client.task("rejected").apply_async((str(tmp_path / "note"), False), queue=queue)
    until("it is a dead letter", lambda: result.id in wire.waiting(redis_server.client, "dead"))
    assert wire.record(redis_server.client, result.id)["result"]["exc_type"] == "Reject"


@pytest.mark.petiole("Celery's policy belongs to the task's code, and a queue has none")
def test_a_queue_s_policy_counts_where_the_pool_says_nothing_of_the_task(
    own_client: Client, own_redis: RedisServer, start_petiole: Callable[..., PetioleDev]
) -> None:
    queue = pools.queue("serve", own_redis.url)
    queue["spec"]["results"]["extended"] = True
    queue["spec"]["retry"] = {"max": 2, "delay": "50ms", "onErrors": ["ValueError", "NotRegistered"]}
    own = {"name": "demo.nobody", "retry": {"max": 1, "delay": "50ms", "onErrors": ["NotRegistered"]}}
    serve = {"command": pools.SERVE}
    start_petiole(queue, worker_pool("serve", ["serve"], mode="Serve", serve=serve, tasks=[own]))
    for name, retries in (("demo.boom", 2), ("demo.nobody", 1), ("demo.stranger", 2)):
        result = own_client.send(name, "x", queue="serve")
        with pytest.raises((ValueError, NotRegistered)):
            result.get(timeout=WITHIN)
        assert result.retries == retries


def test_progress_is_seen_as_a_state_of_the_task_s_own_with_its_meta(client: Client, queue: str, gate: Gate) -> None:
    told = [("LOADING", {"done": 1, "of": 10})]
    result = client.task("advance").apply_async((*gate.args("x"), told), queue=queue)
    until("it is loading", lambda: result.state == "LOADING")
    assert result.info == {"done": 1, "of": 10}
    assert not result.ready()
    gate.open()
    assert result.get(timeout=WITHIN) == "x"
    assert result.state == states.SUCCESS


def test_the_last_of_many_states_is_the_one_that_stays(client: Client, queue: str, gate: Gate) -> None:
    told = [("LOADING", {"done": number}) for number in range(50)] + [("STORING", ["any", 2**70, None])]
    result = client.task("advance").apply_async((*gate.args("x"), told), queue=queue)
    until("it is storing", lambda: result.state == "STORING")
    assert result.info == ["any", 2**70, None]
    gate.open()
    assert result.get(timeout=WITHIN) == "x"
    assert (result.state, result.info) == (states.SUCCESS, "x")


def test_a_step_of_a_chain_may_say_how_far_it_is(client: Client, queue: str, gate: Gate) -> None:
    told = [("LOADING", {"done": 1})]
    last = chain(client.sig("advance", *gate.args("x"), told, queue=queue), client.sig("echo")).delay()
    until("it is loading", lambda: last.parent.state == "LOADING")
    gate.open()
    assert last.get(timeout=WITHIN) == {"args": ["x"], "kwargs": {}}


def test_a_failure_is_the_end_after_any_progress(client: Client, queue: str, tmp_path: Path) -> None:
    # There is no such folder: the task fails at its gate.
    result = client.task("advance").apply_async((str(tmp_path / "no"), "x", [("LOADING", 1)]), queue=queue)
    with pytest.raises(FileNotFoundError):
        result.get(timeout=WITHIN)
    assert result.state == states.FAILURE
