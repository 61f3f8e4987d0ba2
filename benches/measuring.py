"""One measurement: a side at work on a filled queue, for a window of time or until all work is complete.

A task is finished when its result is in Redis, and that is what is counted: the number of keys, which Redis knows
without looking (`DBSIZE`), asked for 20 times a second. Nothing else in the database grows during a run, but for a few
keys of the chord that is being counted. That a canvas is complete is seen by the record of its last task.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from filling import Filled
from gauge import Roles, cpu_by_role, memory
from rig.redis_server import RedisServer
from rig.waiting import until
from sides import Side

WARM_UP = 1.0
ASK_EVERY = 0.05
#: Keys that a worker writes beside its results: bindings, leases, `unacked`. The first result is sure beyond these.
OTHER_KEYS = 20
#: Work that is not complete after so many seconds never will be.
PATIENCE = 120.0
#: Records that are asked for in one command.
CHUNK = 1000


@dataclass(frozen=True)
class Measured:
    """What one run showed."""

    rate: float
    """Tasks per second."""
    memory: dict[str, float]
    """Sum of PSS at load by role in megabytes, without Redis."""
    cpu: dict[str, float]
    """CPU per task by role in microseconds, Redis among them."""
    window: float
    """Seconds that were measured."""

    @property
    def megabytes(self) -> float:
        """The memory of the whole side."""
        return sum(self.memory.values())

    def __str__(self) -> str:
        memory = ", ".join(f"{role} {size:.1f}" for role, size in self.memory.items())
        cpu = ", ".join(f"{role} {cost:.0f}" for role, cost in self.cpu.items())
        rate = f"{self.rate:,.0f} tasks/s over {self.window:.1f} s"
        return f"{rate}; {self.megabytes:.1f} MB ({memory}); us of CPU per task: {cpu}"


class Counter:
    """How many results are stored."""

    def __init__(self, server: RedisServer, filled: Filled) -> None:
        self.server = server
        self.before = server.client.dbsize()
        self.tasks = filled.tasks
        self.ends = list(filled.ends)

    def finished(self) -> int:
        """How many now."""
        return self.server.client.dbsize() - self.before

    def left(self) -> int:
        """How many are still to come."""
        return self.tasks - self.finished()

    def complete(self) -> bool:
        """Whether the last task of each canvas has its result."""
        while self.ends:
            chunk = self.ends[-CHUNK:]
            there = self.server.client.exists(*(f"celery-task-meta-{task}" for task in chunk))
            if there < len(chunk):
                return False
            del self.ends[-CHUNK:]
        return True

    def check(self) -> None:
        """Looks at some of the keys: most have to be results, and nearly all of these of tasks that succeeded."""
        keys = [self.server.client.randomkey() for _ in range(100)]
        records = [self.server.client.get(key) for key in keys if key and b"celery-task-meta-" in key]
        succeeded = [record for record in records if record and json.loads(record)["status"] == "SUCCESS"]
        if len(records) < 50 or len(succeeded) < 0.95 * len(records):
            told = f"of 100 keys {len(records)} are results, {len(succeeded)} of tasks that succeeded"
            raise RuntimeError(f"{told}: {keys[:5]}")


@contextmanager
def at_work(side: Side, filled: Filled) -> Iterator[tuple[Counter, Roles]]:
    """A side from its first results on, and its processes with Redis among them."""
    with (
        tempfile.TemporaryDirectory(prefix="petiole-") as folder,
        RedisServer(Path(folder) / "redis", dump=filled.dump) as server,
    ):
        counter = Counter(server, filled)
        running = side.start(Path(folder) / "side", server.url)
        try:
            until("the first results are stored", lambda: counter.finished() > OTHER_KEYS, within=60)
            yield counter, {**running.roles(), "redis": [psutil.Process(server.pid)]}
        finally:
            running.stop()


def for_a_time(side: Side, filled: Filled, seconds: float, warm_up: float = WARM_UP) -> Measured:
    """Measures a side for so long after it has warmed up, or until its queue is nearly empty."""
    with at_work(side, filled) as (counter, roles):
        time.sleep(warm_up)
        if counter.left() < filled.tasks // 5:
            raise RuntimeError("the queue was nearly empty after the warm-up: fill it with more messages")
        spare = filled.tasks // 20
        cpu_before, done_before, since = cpu_by_role(roles), counter.finished(), time.monotonic()
        while time.monotonic() - since < seconds and counter.left() > spare:
            time.sleep(ASK_EVERY)
        done, elapsed, cpu_after = counter.finished() - done_before, time.monotonic() - since, cpu_by_role(roles)
        if done <= 0:
            raise RuntimeError("no result was stored in the window")
        # Right after the window, while the side is still at load.
        at_load = megabytes(roles)
        if counter.left() <= 0:
            raise RuntimeError("the queue ran empty before memory was read: fill it with more messages")
        counter.check()
    return Measured(done / elapsed, at_load, per_task(cpu_before, cpu_after, done), elapsed)


def to_the_end(side: Side, filled: Filled) -> Measured:
    """Measures a side from its first results until all work is complete."""
    with at_work(side, filled) as (counter, roles):
        cpu_before, done_before, since = cpu_by_role(roles), counter.finished(), time.monotonic()
        at_load: dict[str, float] = {}
        while not counter.complete():
            if time.monotonic() - since > PATIENCE:
                raise RuntimeError(f"after {PATIENCE:g} s {counter.left()} of {filled.tasks} tasks have no result")
            if not at_load and counter.left() < filled.tasks // 2:
                at_load = megabytes(roles)
            time.sleep(ASK_EVERY)
        elapsed, cpu_after, done = time.monotonic() - since, cpu_by_role(roles), filled.tasks - done_before
        at_load = at_load or megabytes(roles)
        counter.check()
    if done < filled.tasks // 2:
        raise RuntimeError("more than half of the work was done at the first look: fill the queue with more of it")
    return Measured(done / elapsed, at_load, per_task(cpu_before, cpu_after, done), elapsed)


def megabytes(roles: Roles) -> dict[str, float]:
    """The memory of a side by role, in the middle of three looks. Redis stands for the broker, and is no part of it."""
    own = {role: processes for role, processes in roles.items() if role != "redis"}
    return {role: statistics.median(memory(processes) for _ in range(3)) / 1e6 for role, processes in own.items()}


def per_task(before: dict[str, float], after: dict[str, float], tasks: int) -> dict[str, float]:
    """CPU in microseconds."""
    return {role: (after[role] - before[role]) / tasks * 1e6 for role in before}
