"""One measurement: a side at work on a filled queue, for a window of time, after it has warmed up.

A task is finished when its result is in Redis, and that is what is counted: the number of keys, which Redis knows
without looking (`DBSIZE`), asked for 20 times a second. Nothing else in the database grows during a run.
"""

import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from gauge import Roles, cpu_by_role, memory
from rig.redis_server import RedisServer
from rig.waiting import until
from sides import Side

WARM_UP = 1.0
ASK_EVERY = 0.05
#: Keys that a worker writes beside its results: bindings, leases, `unacked`. The first result is sure beyond these.
OTHER_KEYS = 50


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

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.before = server.client.dbsize()
        self.filled = server.client.llen("celery")

    def finished(self) -> int:
        """How many now."""
        return self.server.client.dbsize() - self.before

    def left(self) -> int:
        """How many are still to come."""
        return self.filled - self.finished()

    def check(self) -> None:
        """Looks at some of the keys: nearly all have to be results of tasks that succeeded."""
        keys = [self.server.client.randomkey() for _ in range(100)]
        records = [self.server.client.get(key) for key in keys if key and b"celery-task-meta-" in key]
        succeeded = [record for record in records if record and json.loads(record)["status"] == "SUCCESS"]
        if len(succeeded) < 95:
            raise RuntimeError(f"of 100 keys only {len(succeeded)} are results of tasks that succeeded: {keys[:5]}")


def measure(side: Side, dump: Path, seconds: float) -> Measured:
    """Runs a side from this dump and measures it for so long, or until its queue is nearly empty."""
    with (
        tempfile.TemporaryDirectory(prefix="petiole-") as folder,
        RedisServer(Path(folder) / "redis", dump=dump) as server,
    ):
        counter = Counter(server)
        running = side.start(Path(folder) / "side", server.url)
        try:
            until("the first results are stored", lambda: counter.finished() > OTHER_KEYS, within=60)
            time.sleep(WARM_UP)
            if counter.left() < counter.filled // 5:
                raise RuntimeError("the queue was nearly empty after the warm-up: fill it with more messages")
            roles = {**running.roles(), "redis": [psutil.Process(server.pid)]}
            return window(counter, roles, seconds)
        finally:
            running.stop()


def window(counter: Counter, roles: Roles, seconds: float) -> Measured:
    """Counts over the window. Memory is read right after it, while the side is still at load."""
    spare = counter.filled // 20
    cpu_before, done_before, since = cpu_by_role(roles), counter.finished(), time.monotonic()
    while time.monotonic() - since < seconds and counter.left() > spare:
        time.sleep(ASK_EVERY)
    done, elapsed, cpu_after = counter.finished() - done_before, time.monotonic() - since, cpu_by_role(roles)
    if done <= 0:
        raise RuntimeError("no result was stored in the window")
    own = {role: processes for role, processes in roles.items() if role != "redis"}
    at_load = {role: statistics.median(memory(processes) for _ in range(3)) for role, processes in own.items()}
    if counter.left() <= 0:
        raise RuntimeError("the queue ran empty before memory was read: fill it with more messages")
    counter.check()
    return Measured(
        rate=done / elapsed,
        memory={role: size / 1e6 for role, size in at_load.items()},
        cpu={role: (cpu_after[role] - cpu_before[role]) / done * 1e6 for role in roles},
        window=elapsed,
    )
