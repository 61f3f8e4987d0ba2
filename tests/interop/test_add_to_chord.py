"""Tasks that add others to the chord whose header they are in (Celery's `self.add_to_chord`)."""

import pytest
from celery import Signature, chain, chord
from celery.exceptions import ChordError
from client import Client

WITHIN = 20


def adding(client: Client, queue: str, value: int, *adds: Signature, **kwargs: str) -> Signature:
    """A task that adds these."""
    return client.sig("adding", value, queue=queue, kwargs={"adds": list(adds), **kwargs})


def test_a_chord_waits_for_what_a_part_of_it_adds(client: Client, queue: str) -> None:
    added = [client.sig("add", number, 0, queue=queue) for number in (10, 20, 30)]
    header = [adding(client, queue, 1, *added), client.sig("one", 2, queue=queue)]
    result = chord(header)(client.sig("one", queue=queue))
    assert sorted(result.get(timeout=WITHIN)) == [1, 2, 10, 20, 30]


def test_the_only_part_of_a_chord_may_add_to_it(client: Client, queue: str) -> None:
    result = chord([adding(client, queue, 1, client.sig("one", 2, queue=queue))])(client.sig("total", queue=queue))
    assert result.get(timeout=WITHIN) == 3


def test_what_is_added_to_a_chord_may_add_to_it_too(client: Client, queue: str) -> None:
    inner = adding(client, queue, 2, client.sig("one", 4, queue=queue))
    header = [adding(client, queue, 1, inner), client.sig("one", 8, queue=queue)]
    assert chord(header)(client.sig("total", queue=queue)).get(timeout=WITHIN) == 15


def test_a_chain_that_is_added_to_a_chord_counts_with_its_last_value(client: Client, queue: str) -> None:
    steps = chain(client.sig("add", 1, 1, queue=queue), client.sig("mul", 5, queue=queue))
    result = chord([adding(client, queue, 1, steps)])(client.sig("total", queue=queue))
    assert result.get(timeout=WITHIN) == 11


def test_every_part_of_a_chord_may_add_to_it(client: Client, queue: str) -> None:
    header = [adding(client, queue, 1, client.sig("one", 100, queue=queue)) for _ in range(10)]
    assert chord(header)(client.sig("total", queue=queue)).get(timeout=WITHIN) == 1010


def test_what_is_added_to_a_chord_and_fails_fails_the_body(client: Client, queue: str) -> None:
    header = [adding(client, queue, 1, client.sig("boom", "bad", queue=queue))]
    result = chord(header)(client.sig("one", queue=queue))
    with pytest.raises(ChordError, match="bad"):
        client.app.AsyncResult(result.id).get(timeout=WITHIN)


def test_a_task_in_no_chord_cannot_add_to_one(client: Client, queue: str) -> None:
    with pytest.raises(ValueError, match="not member of any chord"):
        adding(client, queue, 1, client.sig("one", 2, queue=queue)).delay().get(timeout=WITHIN)


@pytest.mark.petiole("Celery sends what is added at once, also when its task fails")
def test_a_part_that_fails_adds_nothing(client: Client, queue: str) -> None:
    header = [adding(client, queue, 1, client.sig("one", 2, queue="nowhere"), error="bad")]
    result = chord(header)(client.sig("one", queue=queue))
    with pytest.raises(ChordError, match="bad"):
        client.app.AsyncResult(result.id).get(timeout=WITHIN)


@pytest.mark.petiole("Celery counts one member of a group, and calls the body too early")
def test_a_group_cannot_be_added_to_a_chord(client: Client, queue: str) -> None:
    group = {"task": "celery.group", "kwargs": {"tasks": []}, "subtask_type": "group"}
    result = chord([adding(client, queue, 1, group)])(client.sig("one", queue=queue))
    with pytest.raises(ChordError, match="one by one"):
        client.app.AsyncResult(result.id).get(timeout=WITHIN)
