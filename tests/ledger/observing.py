"""Watches Redis while the faults happen: who holds which message, and every result that is written."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

EVERY = 0.25
#: What a tag of ours begins with.
OURS = "petiole:"
READY = ("SUCCESS", "FAILURE", "REVOKED")


@dataclass(frozen=True)
class Snapshot:
    """All deliveries that were held at a time."""

    time: float
    held: dict[str, str]
    """Task by delivery tag, those of our workers."""
    peers: frozenset[str] = frozenset()
    """Tasks that Celery workers held."""


@dataclass(frozen=True)
class Write:
    """A result of a ready state that was written."""

    time: float
    task: str
    status: str
    token: str | None
    """The attempt whose value it is."""


def incarnation(tag: str) -> str:
    """The worker's life that a tag of ours belongs to: `petiole:<incarnation>:<sequence>`."""
    return tag.rpartition(":")[0]


def read_write(time_: float, record: bytes) -> Write | None:
    """Reads a record that was published."""
    fields = json.loads(record)
    if fields["status"] not in READY:
        return None
    token = fields["result"] if fields["status"] == "SUCCESS" else None
    return Write(time_, fields["task_id"], fields["status"], token)


class Observer:
    """Two threads of its own, since faults must not wait for what is looked at."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.snapshots: list[Snapshot] = []
        self.writes: list[Write] = []
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._guard, args=(watch,)) for watch in (self._holders, self._results)]
        for thread in self.threads:
            thread.start()

    def snapshot(self, server: redis.Redis) -> Snapshot:
        """Looks at what is held now."""
        entries = server.hgetall("unacked")
        tasks = {tag.decode(): json.loads(entry)[0]["headers"]["id"] for tag, entry in entries.items()}
        held = {tag: task for tag, task in tasks.items() if tag.startswith(OURS)}
        snapshot = Snapshot(time.monotonic(), held, frozenset(tasks[tag] for tag in tasks.keys() - held.keys()))
        self.snapshots.append(snapshot)
        return snapshot

    def last(self) -> Snapshot:
        """What was held when Redis was last there."""
        return self.snapshots[-1]

    def __enter__(self) -> "Observer":
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def _guard(self, watch: Callable[[redis.Redis], None]) -> None:
        while not self.ending.is_set():
            # Redis is cut and restarted as part of the test; then the watching begins again.
            with contextlib.suppress(redis.RedisError):
                watch(redis.Redis(self.host, self.port))
            self.ending.wait(EVERY)

    def _holders(self, server: redis.Redis) -> None:
        while not self.ending.wait(EVERY):
            self.snapshot(server)

    def _results(self, server: redis.Redis) -> None:
        with server.pubsub(ignore_subscribe_messages=True) as subscription:
            subscription.psubscribe("celery-task-meta-*")
            while not self.ending.is_set():
                message = subscription.get_message(timeout=EVERY)
                if message and (write := read_write(time.monotonic(), message["data"])):
                    self.writes.append(write)
