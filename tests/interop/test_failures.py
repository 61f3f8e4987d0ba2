"""A task that fails raises at the client what a Celery user expects."""

import sys

import pytest
from billiard.exceptions import WorkerLostError
from celery import states
from celery.exceptions import NotRegistered
from client import Client

WITHIN = 20


def test_a_failure_raises_the_task_s_own_exception_with_its_message(client: Client, queue: str) -> None:
    result = client.task("boom").apply_async(("it went wrong: 漢字",), queue=queue)
    with pytest.raises(ValueError, match="^it went wrong: 漢字$"):
        result.get(timeout=WITHIN)
    assert result.state == states.FAILURE
    assert result.failed()


def test_a_failure_has_the_traceback_of_the_task(client: Client, queue: str) -> None:
    result = client.task("boom").apply_async(("look here",), queue=queue)
    result.get(timeout=WITHIN, propagate=False)
    assert result.traceback.startswith("Traceback (most recent call last):")
    assert "in boom" in result.traceback
    assert result.traceback.rstrip().endswith("ValueError: look here")


def test_a_failure_that_is_not_propagated_is_the_exception_as_a_value(client: Client, queue: str) -> None:
    error = client.task("boom").apply_async(("kept",), queue=queue).get(timeout=WITHIN, propagate=False)
    assert isinstance(error, ValueError)
    assert error.args == ("kept",)


def test_an_exception_that_the_client_does_not_know_keeps_its_name(client: Client, queue: str) -> None:
    result = client.task("strange").apply_async(("who knows",), queue=queue)
    with pytest.raises(Exception) as raised:
        result.get(timeout=WITHIN)
    assert "strangers" not in sys.modules
    assert type(raised.value).__name__ == "StrangeError"
    assert raised.value.args == ("who knows",)


def test_an_unknown_task_fails_as_not_registered(client: Client, queue: str) -> None:
    result = client.send("demo.nobody", queue=queue)
    with pytest.raises(NotRegistered, match="demo.nobody"):
        result.get(timeout=WITHIN)
    assert result.state == states.FAILURE


def test_an_unknown_task_does_not_keep_others_from_running(client: Client, queue: str) -> None:
    unknown = [client.send("demo.nobody", queue=queue) for _ in range(5)]
    assert client.task("add").apply_async((1, 1), queue=queue).get(timeout=WITHIN) == 2
    for result in unknown:
        assert isinstance(result.get(timeout=WITHIN, propagate=False), NotRegistered)


def test_a_call_with_wrong_arguments_raises_a_type_error(client: Client, queue: str) -> None:
    # By name, since the client's own task would refuse the call before it is sent.
    with pytest.raises(TypeError, match="add"):
        client.send("demo.add", 1, queue=queue).get(timeout=WITHIN)


def test_a_process_that_dies_is_a_lost_worker(client: Client, queue: str) -> None:
    result = client.task("die").apply_async(queue=queue)
    with pytest.raises(WorkerLostError, match="signal 9"):
        result.get(timeout=WITHIN)
    assert result.state == states.FAILURE


def test_a_process_that_dies_takes_no_other_task_with_it(client: Client, queue: str) -> None:
    client.task("die").apply_async(queue=queue).get(timeout=WITHIN, propagate=False)
    results = [client.task("add").apply_async((number, 1), queue=queue) for number in range(8)]
    assert [result.get(timeout=WITHIN) for result in results] == list(range(1, 9))
