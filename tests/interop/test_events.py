"""Events of tasks that a pool sends from the start: `worker_send_task_events`."""

from collections.abc import Iterator
from pathlib import Path

import own
import pools
import pytest
import tasks
from client import Client
from listening import listening


@pytest.fixture(scope="module")
def telling(against: str, scratch: Path) -> Iterator[Client]:
    """A client of workers that tell of their tasks unasked."""
    with own.redis(scratch, "events") as redis:
        resources = [
            *(pools.queue(name, redis.url) for name in ("celery", "serve")),
            pools.exec_pool("exec", ["celery"], concurrency=2, events=True),
            pools.serve_pool("serve", ["serve"], concurrency=2, events=True),
        ]
        conf = {"worker_send_task_events": True}
        with own.workers(against, redis, resources, conf), Client(tasks.make_app(redis.url)) as client:
            yield client


def test_whoever_listens_hears_of_tasks_without_asking(telling: Client, queue: str) -> None:
    with listening(telling) as heard:
        heard.wait_for_a_worker()
        result = telling.task("add").apply_async((1, 1), queue=queue)
        heard.wait_for(result.id, ["task-received", "task-started", "task-succeeded"])
