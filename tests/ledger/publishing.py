"""A Celery client that sends the ledger's tasks over the time that the faults take."""

import random
import threading
import time
import uuid
from collections.abc import Sequence

import redis
from celery import Celery
from kombu.exceptions import OperationalError

QUEUES = ("exec", "serve")
#: So many tasks are sent at once, so that workers also hold tasks that have not started.
BURST_EVERY = 2.0


def duration(chance: random.Random) -> float:
    """How long a task takes: mostly a few milliseconds, some a part of a second, few several seconds."""
    kind = chance.random()
    if kind < 0.60:
        return chance.uniform(0.001, 0.02)
    if kind < 0.98:
        return chance.uniform(0.05, 0.6)
    return chance.uniform(2.0, 4.0)


class Publisher:
    """Sends tasks, each under an id of its own that is never sent twice.

    Who disturbs Redis takes `quiet` first: a message whose sending is cut off may or may not have arrived, and a client
    can only send it again. That is the client's trouble, not what is tested here.
    """

    def __init__(
        self, url: str, chance: random.Random, total: int, rate: float, queues: Sequence[str] = QUEUES
    ) -> None:
        self.app = Celery("ledger", broker=url)
        self.queues = queues
        self.chance = chance
        self.total = total
        self.rate = rate
        self.quiet = threading.Lock()
        self.bursts = threading.Semaphore(0)
        self.submitted: set[str] = set()
        self.unsure: set[str] = set()
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begins to send."""
        self.thread.start()

    def join(self) -> None:
        """Waits until all are sent."""
        self.thread.join()

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        if self.thread.is_alive():
            self.thread.join()

    def send(self, queue: str, seconds: float) -> str | None:
        """Sends one and returns its id; nothing when it is not known to have arrived."""
        task = str(uuid.uuid4())
        with self.quiet:
            try:
                self.app.send_task("ledger.work", (task, seconds), task_id=task, queue=queue, retry=False)
            except (OperationalError, redis.RedisError, OSError):
                self.unsure.add(task)
                return None
            self.submitted.add(task)
        return task

    def wait_for_burst(self) -> None:
        """Waits until many tasks were sent at once, when all workers hold some."""
        while self.bursts.acquire(blocking=False):
            pass
        self.bursts.acquire(timeout=3 * BURST_EVERY)

    def _run(self) -> None:
        since = time.monotonic()
        while len(self.submitted) < self.total and not self.ending.is_set():
            due = min(self.total, int((time.monotonic() - since + BURST_EVERY) * self.rate))
            while len(self.submitted) < due:
                self.send(self.chance.choice(self.queues), duration(self.chance))
            self.bursts.release()
            self.ending.wait(BURST_EVERY)
