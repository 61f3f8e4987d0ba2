"""Remote control by clients whose requests are not JSON: they have the form of the client's `task_serializer`."""

from collections.abc import Iterator

import pytest
import tasks
from client import Client
from rig.redis_server import RedisServer

#: Those that the workers read, beside JSON.
FORMS = ["yaml", "msgpack"]


@pytest.fixture
def asking(request: pytest.FixtureRequest, redis_server: RedisServer, client: Client) -> Iterator[Client]:
    """A client that writes a form, and reads some."""
    form, accept = request.param
    with Client(tasks.make_app(redis_server.url, task_serializer=form, accept_content=accept)) as asking:
        yield asking


def nodes(client: Client) -> set[str]:
    """The names of those that answer a ping."""
    return {name for pong in client.app.control.ping(timeout=1.0) for name in pong}


@pytest.mark.parametrize("asking", [(form, ["json", form]) for form in FORMS], indirect=True, ids=FORMS)
def test_a_request_of_another_form_is_answered(asking: Client, client: Client) -> None:
    assert nodes(asking) == nodes(client)
    queues = asking.app.control.inspect(timeout=1.0).active_queues()
    assert {queue["name"] for served in queues.values() for queue in served} >= {"celery", "single"}


@pytest.mark.petiole("a Celery worker answers by its own task_serializer")
@pytest.mark.parametrize("asking", [(form, [form]) for form in FORMS], indirect=True, ids=FORMS)
def test_an_answer_has_the_form_of_its_request(asking: Client, client: Client) -> None:
    assert nodes(asking) == nodes(client)
    stats = asking.app.control.inspect(timeout=1.0).stats()
    assert stats.keys() == nodes(client)
    assert all(isinstance(answer["rusage"]["utime"], float) for answer in stats.values())


@pytest.mark.parametrize("asking", [("pickle", ["json", "pickle"])], indirect=True, ids=["pickle"])
def test_a_request_of_a_form_that_is_not_accepted_is_passed_over(asking: Client, client: Client) -> None:
    there = nodes(client)
    assert nodes(asking) == set()
    assert nodes(client) == there
