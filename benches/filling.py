"""Fills the queue that all sides start from: messages of a real Celery client, kept in a file that Redis loads."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import say
from rig.redis_server import RedisServer
from work import Work

HERE = Path(__file__).resolve().parent
#: Publishing is Python's work, so each core does a part.
PUBLISHERS = os.cpu_count() or 1


@dataclass(frozen=True, eq=False)
class Filled:
    """A queue that is filled."""

    dump: Path
    """What Redis loads."""
    work: Work
    units: int
    ends: Sequence[str] = ()
    """The ids of the tasks with which the canvases end."""

    def __str__(self) -> str:
        return f"{self.units:,} times {self.work.name}"

    @property
    def tasks(self) -> int:
        """How many tasks will have run when all is complete."""
        return self.units * self.work.tasks


def fill(work: Work, units: int, target: Path, onto: Filled | None = None) -> Filled:
    """Writes `target`, from which a Redis starts with so many units in the queue `celery`, and those of `onto`."""
    share = -(-units // PUBLISHERS)
    say(f"filling the queue: {share * PUBLISHERS:,} times {work.name}")
    with (
        tempfile.TemporaryDirectory(prefix="petiole-") as folder,
        RedisServer(Path(folder), dump=onto.dump if onto else None) as server,
    ):
        before = server.client.llen("celery")
        command = [sys.executable, str(HERE / "publish.py"), work.name, str(share)]
        env = {**os.environ, "BENCH_BROKER": server.url, "BENCH_RESULTS": server.url}
        ends = [Path(folder) / f"ends-{number}" for number in range(PUBLISHERS)]
        publishers = []
        for path in ends:
            with path.open("wb") as output:
                publishers.append(subprocess.Popen(command, env=env, stdout=output))
        codes = [publisher.wait() for publisher in publishers]
        added, wanted = server.client.llen("celery") - before, share * PUBLISHERS * work.messages
        if any(codes) or added != wanted:
            raise RuntimeError(f"{added} messages were added to the queue, not {wanted}")
        shutil.copyfile(server.save(), target)
        more = [task for path in ends for task in path.read_text().split()]
    return Filled(target, work, share * PUBLISHERS + (onto.units if onto else 0), [*(onto.ends if onto else ()), *more])


class Dumps:
    """The queues that were filled in this run, so that benches share what takes long to make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.filled: dict[Work, list[Filled]] = {}

    def of(self, work: Work, units: int, at_most: float = float("inf")) -> Filled:
        """A queue with at least so many units: the smallest one that there is, or one that is filled further."""
        there = self.filled.setdefault(work, [])
        by_size = sorted(there, key=lambda filled: filled.units)
        for filled in by_size:
            if units <= filled.units <= at_most:
                return filled
        smaller = [filled for filled in by_size if filled.units < units]
        onto = smaller[-1] if smaller else None
        target = self.folder / f"{work.name}-{len(there)}.rdb"
        there.append(fill(work, units - (onto.units if onto else 0), target, onto))
        return there[-1]
