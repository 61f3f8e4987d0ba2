"""The ledger `kill-redis`: workers killed and stopped, connections cut, Redis restarted, every task accounted for."""

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import journal
from faults import FULL, Faults, Plan, scaled
from observing import Observer
from publishing import QUEUES, Publisher
from report import report
from results import wait_for_all
from rig.dev import PetioleDev
from rig.manifests import task_queue, worker_pool
from rig.redis_server import RedisServer
from target import Dev
from verdict import Seen, judge

NAME = "kill-redis"
TASKS = 10_000

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


def observe(folder: Path, plan: Plan, total: int, chance: random.Random) -> Seen:
    """Runs the whole story and returns what was seen of it."""
    book = folder / "journal"
    with (
        RedisServer(folder / "redis", durable=True) as server,
        PetioleDev(folder / "dev", resources(server.url, book)) as dev,
    ):
        ours = Dev(dev)
        with (
            Observer("127.0.0.1", server.port) as observer,
            Publisher(server.url, chance, total, total / plan.estimate()) as publisher,
        ):
            faults = Faults(ours, server, publisher, observer, book, chance)
            publisher.start()
            faults.run(plan)
            publisher.join()
            found = wait_for_all(server.client, publisher.submitted)
        ours.stop()
        return Seen(
            submitted=publisher.submitted,
            records=found,
            attempts=journal.read(book),
            kills=faults.kills,
            pauses=faults.pauses,
            snapshots=observer.snapshots,
            writes=observer.writes,
        )


def run(scale: float, seed: int) -> bool:
    """Runs the ledger at a part of its size; whether its promises held."""
    plan, total = scaled(FULL, scale), max(1, round(TASKS * scale))
    print(f"{NAME}: {total:,} tasks, {plan}, seed {seed}, about {plan.estimate():.0f} s", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="petiole-ledger-") as folder:
        return report(NAME, judge(observe(Path(folder), plan, total, random.Random(seed))))
