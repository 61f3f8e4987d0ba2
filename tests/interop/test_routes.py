"""Where messages go that tasks send and that name no queue: the worker's `task_routes`."""

from collections.abc import Iterator
from pathlib import Path

import own
import pools
import pytest
import tasks
from celery import chain, chord
from client import Client
from rig.waiting import until

WITHIN = 20
#: The worker's. The client has none: what it sends names its queue, what follows does not.
ROUTES = {"demo.mul": "letters", "demo.o*": "parcels", "demo.keep": "letters", "demo.total": "parcels"}


@pytest.fixture(scope="module")
def routed(against: str, scratch: Path) -> Iterator[Client]:
    """A client of workers that route. Extended results tell which way a task came."""
    with own.redis(scratch, "routes") as redis:
        names = ["celery", "letters", "parcels"]
        queues = [pools.queue(name, redis.url) for name in names]
        for queue in queues:
            queue["spec"]["results"]["extended"] = True
        routes = [{"task": task, "queue": queue} for task, queue in ROUTES.items()]
        resources = [*queues, pools.exec_pool("exec", names, concurrency=4, routes=routes)]
        conf = {
            "result_extended": True,
            "task_routes": {task: {"queue": queue} for task, queue in ROUTES.items()},
        }
        with own.workers(against, redis, resources, conf, queues=names), Client(tasks.make_app(redis.url)) as client:
            yield client


def unrouted(client: Client, name: str, *args, **options):
    """A call that names no queue."""
    return client.task(name).signature(args, **options)


def test_the_next_step_of_a_chain_goes_where_its_route_leads(routed: Client) -> None:
    last = chain(routed.sig("add", 1, 1, queue="celery"), unrouted(routed, "mul", 10)).delay()
    assert last.get(timeout=WITHIN) == 20
    assert (last.parent.queue, last.queue) == ("celery", "letters")


def test_a_pattern_routes_every_task_that_fits(routed: Client) -> None:
    last = chain(routed.sig("add", 1, 1, queue="celery"), unrouted(routed, "one")).delay()
    assert last.get(timeout=WITHIN) == 2
    assert last.queue == "parcels"


def test_a_step_that_names_its_queue_goes_there(routed: Client) -> None:
    last = chain(routed.sig("add", 1, 1, queue="celery"), routed.sig("mul", 10, queue="parcels")).delay()
    assert last.get(timeout=WITHIN) == 20
    assert last.queue == "parcels"


def test_a_step_without_a_route_goes_to_the_default_queue(routed: Client) -> None:
    last = chain(routed.sig("add", 1, 1, queue="celery"), unrouted(routed, "add", 1)).delay()
    assert last.get(timeout=WITHIN) == 3
    assert last.queue == "celery"


@pytest.mark.petiole("Celery sends what names no queue to its default queue, which a pool does not have")
def test_a_step_without_a_route_goes_to_the_queue_of_the_one_before(routed: Client) -> None:
    last = chain(routed.sig("mul", 1, 1, queue="letters"), unrouted(routed, "add", 1)).delay()
    assert last.get(timeout=WITHIN) == 2
    assert last.queue == "letters"


def test_the_body_of_a_chord_goes_where_its_route_leads(routed: Client) -> None:
    header = [routed.sig("add", number, 1, queue="celery") for number in range(3)]
    result = chord(header)(unrouted(routed, "total"))
    assert result.get(timeout=WITHIN) == 6
    assert result.queue == "parcels"


def test_callbacks_and_errbacks_go_where_their_routes_lead(routed: Client, tmp_path: Path) -> None:
    def keep(name: str):
        signature = routed.task("keep").signature(kwargs={"path": str(tmp_path / name)})
        return signature.set(task_id=f"{tmp_path.name}-{name}")

    linked = {"queue": "celery", "link": keep("worked"), "link_error": keep("failed")}
    assert routed.task("add").apply_async((1, 1), **linked).get(timeout=WITHIN) == 2
    routed.task("boom").apply_async(("x",), **linked)
    until("both have run", lambda: all((tmp_path / name).exists() for name in ("worked", "failed")))
    for name in ("worked", "failed"):
        called = routed.app.AsyncResult(f"{tmp_path.name}-{name}")
        called.get(timeout=WITHIN)
        assert called.queue == "letters"


def test_a_task_that_is_tried_again_stays_in_its_queue(routed: Client) -> None:
    result = routed.task("again").apply_async((1,), queue="parcels")
    assert result.get(timeout=WITHIN) == 1
    assert (result.queue, result.retries) == ("parcels", 1)
