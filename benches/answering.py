"""A side on an empty queue, with a client that sends it tasks and waits for their results."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import Celery as CeleryApp
from rig.redis_server import RedisServer
from rig.waiting import until
from sides import Running, Side

#: The first results of a worker come when it has started, and loaded what it needs.
PATIENCE = 60.0
#: After so many tasks each process of a side has met one.
FIRST_TASKS = 50


class Client:
    """A Celery client. What has become of a task it reads from Redis, since nobody is to wait while others are sent."""

    def __init__(self, server: RedisServer) -> None:
        self.app = CeleryApp("bench", broker=server.url)
        self.server = server

    def send(self, task: str, *args: object) -> str:
        """Sends a task and returns its id."""
        return self.app.send_task(task, args).id

    def values(self, tasks: list[str]) -> list[object]:
        """Waits for the values of these tasks."""
        keys = [f"celery-task-meta-{task}" for task in tasks]
        until("all tasks have results", lambda: self.server.client.exists(*keys) == len(keys), PATIENCE)
        records = [json.loads(record) for record in self.server.client.mget(keys) if record]
        if failed := [record for record in records if record["status"] != "SUCCESS"]:
            raise RuntimeError(f"{len(failed)} tasks did not succeed: {failed[:3]}")
        return [record["result"] for record in records]


@contextmanager
def answering(side: Side) -> Iterator[tuple[Client, Running]]:
    """A side that has answered its first tasks."""
    with tempfile.TemporaryDirectory(prefix="petiole-") as folder, RedisServer(Path(folder) / "redis") as server:
        running = side.start(Path(folder) / "side", server.url)
        client = Client(server)
        try:
            client.values([client.send("bench.noop") for _ in range(FIRST_TASKS)])
            yield client, running
        finally:
            client.app.close()
            running.stop()
