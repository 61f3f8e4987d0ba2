"""What a client sends arrives as it was, and what a task returns comes back as it was."""

import datetime
import decimal
import math
import uuid
from typing import Any

import pytest
from client import Client
from celery import states

WITHIN = 20


def test_delay_runs_the_task_and_get_returns_its_value(client: Client) -> None:
    result = client.task("add").delay(2, 3)
    assert result.get(timeout=WITHIN) == 5
    assert result.state == states.SUCCESS
    assert result.successful() and result.ready() and result.traceback is None


def test_a_call_works_in_both_modes(client: Client, queue: str) -> None:
    assert client.task("add").apply_async((2, 3), queue=queue).get(timeout=WITHIN) == 5


def test_positional_and_keyword_arguments_arrive_as_they_were_sent(client: Client, queue: str) -> None:
    result = client.task("echo").apply_async((1, "two"), {"three": [3, None], "four": {"five": True}}, queue=queue)
    assert result.get(timeout=WITHIN) == {
        "args": [1, "two"],
        "kwargs": {"three": [3, None], "four": {"five": True}},
    }


@pytest.mark.parametrize(
    "value",
    [
        "naïve – 漢字 – 🌱 – \u0000 – \u2028",
        "half a surrogate pair: \ud83c",
        'quotes " and \\ and\nnew\r\nlines\t',
        "",
        2**64,
        -(2**70),
        10**400,
        0.1,
        1e308,
        -0.0,
        math.inf,
        [],
        {},
        None,
        {"": {"nested": [[[["deep"]]]]}, "clé": "value"},
        ["x" * 1_000_000],
    ],
    ids=lambda value: repr(value)[:24].encode("ascii", "replace").decode(),
)
def test_a_value_survives_the_way_there_and_back(client: Client, queue: str, value: Any) -> None:
    answer = client.task("echo").apply_async((value,), queue=queue).get(timeout=WITHIN)
    assert repr(answer["args"]) == repr([value])


def test_not_a_number_survives_the_way_there_and_back(client: Client, queue: str) -> None:
    answer = client.task("echo").apply_async((math.nan,), queue=queue).get(timeout=WITHIN)
    assert math.isnan(answer["args"][0])


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        datetime.date(2024, 1, 2),
        datetime.time(3, 4, 5),
        decimal.Decimal("1.50"),
        uuid.UUID(int=7),
        b"bytes",
        b"\xff\xfe",
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.newer("its JSON has no types of its own")
def test_what_celery_tags_in_json_comes_back_as_what_it_was(client: Client, queue: str, value: Any) -> None:
    answer = client.task("echo").apply_async((value,), queue=queue).get(timeout=WITHIN)
    assert answer["args"] == [value]


def test_a_task_without_a_value_returns_none(client: Client, queue: str) -> None:
    result = client.task("nothing").apply_async(queue=queue)
    assert result.get(timeout=WITHIN) is None
    assert result.state == states.SUCCESS


def test_many_results_are_collected_in_the_order_of_their_tasks(client: Client, queue: str) -> None:
    results = [client.task("add").apply_async((number, 1), queue=queue) for number in range(50)]
    assert [result.get(timeout=60) for result in results] == list(range(1, 51))


def test_a_task_without_arguments_named_by_a_string_runs(client: Client, queue: str) -> None:
    assert client.send("demo.nothing", queue=queue).get(timeout=WITHIN) is None
