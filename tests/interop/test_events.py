"""Events of tasks that a pool sends from the start: `worker_send_task_events`."""

import threading
from collections.abc import Iterator
from pathlib import Path

import own
import pools
import pytest
import tasks
from client import Client
from rig.waiting import until

WITHIN = 20


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
    seen: list[tuple[str, str]] = []
    with telling.app.connection_for_read() as connection:
        handlers = {"*": lambda event: seen.append((event["type"], event.get("uuid", "")))}
        receiver = telling.app.events.Receiver(connection, handlers=handlers)
        listening = threading.Thread(target=receiver.capture, kwargs={"limit": None, "timeout": None, "wakeup": False})
        listening.start()
        try:
            # A worker that nobody has listened to looks again with its next heartbeat.
            until("a worker is heard", lambda: any(kind == "worker-heartbeat" for kind, _ in seen))
            result = telling.task("add").apply_async((1, 1), queue=queue)
            wanted = ["task-received", "task-started", "task-succeeded"]
            until("all of its events", lambda: [kind for kind, task in seen if task == result.id] == wanted)
        finally:
            receiver.should_stop = True
            # What it waits for is the next event.
            telling.app.control.heartbeat()
            listening.join(WITHIN)
