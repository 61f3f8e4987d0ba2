"""The two sides: how each is started on a filled Redis, and which processes it is made of."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
from functions import FUNCTIONS
from gauge import Roles
from rig.celery_worker import CeleryWorker
from rig.dev import PetioleDev, binary
from rig.manifests import task_queue, worker_pool
from rig.processes import descendants

HERE = Path(__file__).resolve().parent
#: Without the site packages, which no handler needs.
PYTHON = [sys.executable, "-I", "-S"]


class Running(Protocol):
    """A side that runs."""

    def roles(self) -> Roles:
        """Its processes. They are asked for at load, when all are there."""

    def stop(self) -> None:
        """Ends it."""


class Side(Protocol):
    """A side in one of its configurations."""

    def start(self, folder: Path, url: str) -> Running:
        """Starts it."""


@dataclass(frozen=True)
class Celery:
    """A Celery worker."""

    pool: str
    concurrency: int
    acks: str
    prefetch: int
    bare: bool = True
    """Without what it can do without: gossip, mingle, heartbeats."""

    def __str__(self) -> str:
        extras = "" if self.bare else ", with gossip, mingle and heartbeats"
        return f"celery {self.pool} {self.concurrency}, {self.acks} ack, prefetch multiplier {self.prefetch}{extras}"

    def start(self, folder: Path, url: str) -> "RunningCelery":
        """Starts it."""
        options = ["--pool", self.pool, "--concurrency", str(self.concurrency), "--loglevel", "WARNING"]
        if self.bare:
            options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        env = {"BENCH_BROKER": url, "BENCH_RESULTS": url, "BENCH_ACKS": self.acks, "BENCH_PREFETCH": str(self.prefetch)}
        # It never says `ready` at this log level; its first results do.
        return RunningCelery(CeleryWorker(folder, "bench_app", *options, env=env, path=[HERE], ready=False))


@dataclass(frozen=True)
class RunningCelery:
    """A Celery worker that runs."""

    worker: CeleryWorker

    def roles(self) -> Roles:
        """The main process, and its children."""
        main = psutil.Process(self.worker.process.pid)
        children = descendants(main.pid)
        return {"worker": [main], **({"children": children} if children else {})}

    def stop(self) -> None:
        """Kills it: what it holds is of no further use."""
        self.worker.kill()


@dataclass(frozen=True)
class Petiole:
    """One worker and its runner, with handlers of mode Serve. Messages are acknowledged late, in one transaction with
    the result."""

    concurrency: int
    python: bool = False
    """Handlers in Python, with the functions that Celery's worker runs; otherwise native ones."""
    limits: tuple[tuple[str, str], ...] = ()
    """The rate limits of tasks; the others have none."""

    def __str__(self) -> str:
        return f"petiole serve {'python' if self.python else 'native'} {self.concurrency}, late ack"

    def start(self, folder: Path, url: str) -> "RunningPetiole":
        """Starts it."""
        handler = [*PYTHON, str(HERE / "handler.py")] if self.python else [str(binary("examples/handler"))]
        pool = worker_pool(
            "bench",
            ["celery"],
            mode="Serve",
            replicas=1,
            concurrency=self.concurrency,
            serve={"command": handler},
            **({"tasks": self._tasks()} if self.limits else {}),
        )
        return RunningPetiole(PetioleDev(folder, [task_queue("celery", url), pool], ready=False))

    def _tasks(self) -> list[dict[str, str]]:
        limits = dict(self.limits)
        return [{"name": name, **({"rateLimit": limits[name]} if name in limits else {})} for name in FUNCTIONS]


@dataclass(frozen=True)
class RunningPetiole:
    """`petiole dev` that runs. It stands for the cluster, and is no part of the side."""

    dev: PetioleDev

    def roles(self) -> Roles:
        """What a pod of the pool holds: worker, runner, handlers."""
        [replica] = self.dev.replicas()
        if not replica.worker or not replica.runner:
            raise RuntimeError(f"the worker or the runner has ended:\n{self.dev.process.output()}")
        return {
            "worker": [psutil.Process(replica.worker), *descendants(replica.worker)],
            "runner": [psutil.Process(replica.runner)],
            "handler": descendants(replica.runner),
        }

    def stop(self) -> None:
        """Kills it: what it holds is of no further use."""
        self.dev.process.kill()


#: Celery's ways to run a short task that can be its fastest.
CELERY = [
    Celery(pool, concurrency, acks, prefetch)
    for pool, concurrency in (("prefork", 2), ("prefork", 4), ("threads", 4))
    for acks in ("early", "late")
    for prefetch in (4, 64)
]
#: Those of them that the other benches try: the fastest ones with a task that does nothing, and one that acknowledges
#: late, as ours does.
FEW_OF_CELERY = [
    Celery("prefork", 2, "early", 64),
    Celery("prefork", 4, "early", 64),
    Celery("prefork", 4, "late", 64),
    Celery("threads", 4, "early", 64),
]
#: Ours.
PETIOLE = [Petiole(concurrency) for concurrency in (1, 2, 4)]
PETIOLE_IN_PYTHON = [Petiole(concurrency, python=True) for concurrency in (1, 2, 4)]
