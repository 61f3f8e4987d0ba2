"""Waits for the results of what was sent."""

import time

import redis
from observing import Write, read_write

#: With no result for so long, what is still missing is not coming.
NO_PROGRESS = 60.0


def records(server: redis.Redis, tasks: set[str]) -> dict[str, Write]:
    """The ready records of these tasks."""
    found = {}
    ordered = sorted(tasks)
    for start in range(0, len(ordered), 1000):
        chunk = ordered[start : start + 1000]
        for task, record in zip(chunk, server.mget(f"celery-task-meta-{task}" for task in chunk), strict=True):
            if record and (write := read_write(0.0, record)):
                found[task] = write
    return found


def wait_for_all(server: redis.Redis, submitted: set[str], patience: float = NO_PROGRESS) -> dict[str, Write]:
    """Waits until every task has a record, or none has come for so many seconds."""
    found: dict[str, Write] = {}
    progress = time.monotonic()
    while len(found) < len(submitted) and time.monotonic() - progress < patience:
        new = records(server, submitted - found.keys())
        if new:
            found |= new
            progress = time.monotonic()
        time.sleep(0.2)
    return found
