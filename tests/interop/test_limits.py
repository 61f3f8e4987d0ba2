"""Time limits end a task, and raise what Celery raises."""

import pytest
from celery import states
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from client import Client

WITHIN = 20


def test_the_hard_limit_of_a_message_kills_the_task(client: Client, queue: str) -> None:
    result = client.task("sleep").apply_async((60,), queue=queue, time_limit=1)
    with pytest.raises(TimeLimitExceeded) as raised:
        result.get(timeout=WITHIN)
    assert raised.value.args == (1,)
    assert result.state == states.FAILURE


def test_the_hard_limit_of_a_task_kills_it(client: Client, queue: str) -> None:
    with pytest.raises(TimeLimitExceeded):
        client.task("limited").apply_async((60,), queue=queue).get(timeout=WITHIN)


def test_the_soft_limit_of_a_message_asks_the_task_to_end(client: Client, queue: str) -> None:
    result = client.task("sleep").apply_async((60,), queue=queue, soft_time_limit=1, time_limit=30)
    with pytest.raises(SoftTimeLimitExceeded):
        result.get(timeout=WITHIN)
    assert result.state == states.FAILURE


def test_the_soft_limit_of_a_task_asks_it_to_end(client: Client, queue: str) -> None:
    with pytest.raises(SoftTimeLimitExceeded):
        client.task("softly").apply_async((60,), queue=queue).get(timeout=WITHIN)


def test_a_task_within_its_limits_returns_its_value(client: Client, queue: str) -> None:
    result = client.task("sleep").apply_async((0.01,), queue=queue, soft_time_limit=20, time_limit=30)
    assert result.get(timeout=WITHIN) == "slept"


def test_a_task_that_was_killed_leaves_its_place_to_the_next(client: Client) -> None:
    slow = client.task("sleep").apply_async((60,), queue="single", time_limit=1)
    next_one = client.task("add").apply_async((1, 1), queue="single")
    assert next_one.get(timeout=WITHIN) == 2
    assert isinstance(slow.get(timeout=WITHIN, propagate=False), TimeLimitExceeded)
