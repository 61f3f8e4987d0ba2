"""The ledger `kill-redis`: workers killed and stopped, connections cut, Redis restarted, every task accounted for."""

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import journal
import redis
from faults import FULL, PROMISE, Faults, Plan, scaled
from observing import Observer, Write, read_write
from publishing import QUEUES, Publisher
from rig.dev import PetioleDev
from rig.manifests import task_queue, worker_pool
from rig.redis_server import RedisServer
from target import Dev
from verdict import Seen, Verdict, judge

NAME = "kill-redis"
TASKS = 10_000
#: With no result for so long, what is still missing is not coming.
NO_PROGRESS = 60.0

HANDLERS = Path(__file__).parent / "handlers"
PYTHON = [sys.executable, "-I", "-S"]


def resources(url: str, book: Path) -> list[dict[str, Any]]:
    """Two pools of two workers each, one of either mode."""
    common = {"replicas": 2, "concurrency": 4}
    command = [*PYTHON, str(HANDLERS / "exec.py"), str(book)]
    handler = [*PYTHON, str(HANDLERS / "serve.py"), str(book)]
    return [
        *(task_queue(queue, url) for queue in QUEUES),
        worker_pool("exec", ["exec"], mode="Exec", tasks=[{"name": "ledger.work", "command": command}], **common),
        worker_pool("serve", ["serve"], mode="Serve", serve={"command": handler}, **common),
    ]


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


def wait_for_all(server: redis.Redis, submitted: set[str]) -> dict[str, Write]:
    """Waits until every task has a record, or no more come."""
    found: dict[str, Write] = {}
    progress = time.monotonic()
    while len(found) < len(submitted) and time.monotonic() - progress < NO_PROGRESS:
        new = records(server, submitted - found.keys())
        if new:
            found |= new
            progress = time.monotonic()
        time.sleep(0.2)
    return found


def observe(folder: Path, plan: Plan, total: int, chance: random.Random) -> Seen:
    """Runs the whole story and returns what was seen of it."""
    book = folder / "journal"
    with (
        RedisServer(folder / "redis", durable=True) as server,
        PetioleDev(folder / "dev", resources(server.url, book)) as dev,
    ):
        observer = Observer(server.port)
        publisher = Publisher(server.url, chance, total, total / plan.estimate())
        try:
            faults = Faults(Dev(dev), server, publisher, observer, book, chance)
            publisher.start()
            faults.run(plan)
            publisher.join()
            found = wait_for_all(server.client, publisher.submitted)
        finally:
            publisher.stop()
            observer.stop()
        code = dev.stop()
        if code != 0:
            print(f"petiole dev ended with {code}", file=sys.stderr)
        return Seen(
            submitted=publisher.submitted,
            records=found,
            attempts=journal.read(book),
            kills=faults.kills,
            pauses=faults.pauses,
            snapshots=observer.snapshots,
            writes=observer.writes,
        )


def report(verdict: Verdict) -> bool:
    """Prints the figures, and what is wrong with them; whether nothing is."""
    print(
        f"ledger {NAME} submitted={verdict.submitted} completed={verdict.completed} lost={verdict.lost}"
        f" twice={verdict.twice} rerun_max_s={verdict.rerun_max:.1f}",
        flush=True,
    )
    wrong = {
        f"{verdict.lost} tasks are lost": [] if verdict.lost == 0 else ["their ids are in the journal or nowhere"],
        f"a task of a killed worker ran again after {verdict.rerun_max:.1f} s, the promise is {PROMISE:g} s": (
            [] if verdict.rerun_max <= PROMISE else [f"{verdict.reruns} tasks were taken by killed workers"]
        ),
        "tasks ended otherwise than with SUCCESS": [f"{task}: {state}" for task, state in verdict.failed.items()],
        "results were written by a worker that had lost its lease": verdict.stale,
        "attempts ran beside their successors": verdict.beside,
        "stopped workers lost no task, so that nothing was tested": [str(verdict.idle_pauses)]
        * (verdict.idle_pauses > 0),
    }
    for problem, instances in wrong.items():
        if instances:
            print(f"{NAME}: {problem}", *instances[:10], sep="\n  ", file=sys.stderr)
    said = f"{verdict.reruns} tasks of killed workers ran again; stale results {len(verdict.stale)}"
    print(f"{said}; beside their successors {len(verdict.beside)}", file=sys.stderr)
    return not any(wrong.values())


def run(scale: float, seed: int) -> bool:
    """Runs the ledger at a part of its size; whether its promises held."""
    plan, total = scaled(FULL, scale), max(1, round(TASKS * scale))
    print(f"{NAME}: {total:,} tasks, {plan}, seed {seed}, about {plan.estimate():.0f} s", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="petiole-ledger-") as folder:
        return report(judge(observe(Path(folder), plan, total, random.Random(seed))))
