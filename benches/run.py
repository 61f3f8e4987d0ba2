"""Runs the benches side by side with their peers and prints a line for each figure; see README.md.

ONLY=NAME runs one. Exits with 1 when a goal is missed.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from filling import fill
from measuring import WARM_UP, Measured, measure
from rig.processes import adopt_orphans, end_leftovers
from sides import CELERY, PETIOLE, Celery, Side

S = TypeVar("S", bound=Side)

#: Runs of each side, in turns; the medians count.
TURNS = 3
#: Seconds of a run that counts, and of one that only finds a side's best configuration.
LONG, SHORT = 10.0, 4.0
#: So many of Celery's configurations, the fastest in the short runs, are measured at length: short runs can err.
FINALISTS = 3
#: Messages for the first look at our rate, which says how many are needed.
FIRST_FILL = 250_000


@dataclass(frozen=True)
class Figure:
    """A figure with its goal: how many times better ours has to be."""

    name: str
    unit: str
    goal: float
    more_is_better: bool

    def report(self, ours: float, peer: float) -> bool:
        """Prints the line; whether the goal is met."""
        ratio = ours / peer if self.more_is_better else peer / ours
        print(f"bench {self.name} ours={ours:.1f} peer={peer:.1f} ratio={ratio:.2f} unit={self.unit}", flush=True)
        if ratio < self.goal:
            print(f"{self.name} misses its goal of {self.goal:g} times", file=sys.stderr)
        return ratio >= self.goal


RATE = Figure("noop-redis", "tasks/s", goal=10, more_is_better=True)
MEMORY = Figure("noop-redis-memory", "MB", goal=8, more_is_better=False)


def say(text: str) -> None:
    """Tells what goes on, beside the figures."""
    print(text, file=sys.stderr, flush=True)


def tried(sides: Sequence[S], dump: Path) -> dict[S, Measured]:
    """Tries all configurations for a short time; the fastest first."""
    showed: dict[S, Measured] = {}
    for side in sides:
        showed[side] = measure(side, dump, SHORT)
        say(f"  {side}: {showed[side]}")
    return dict(sorted(showed.items(), key=lambda item: -item[1].rate))


def in_turns(sides: Sequence[Side], dump: Path) -> list[list[Measured]]:
    """Measures sides one after the other, several times, so that what changes on the machine meets all of them."""
    runs: list[list[Measured]] = [[] for _ in sides]
    for _ in range(TURNS):
        for side, measured in zip(sides, runs, strict=True):
            measured.append(measure(side, dump, LONG))
            say(f"  {side}: {measured[-1]}")
    return runs


def rate(runs: list[Measured]) -> float:
    """The middle of their rates."""
    return statistics.median(run.rate for run in runs)


def megabytes(runs: list[Measured]) -> float:
    """The middle of their memory."""
    return statistics.median(run.megabytes for run in runs)


def noop_redis(only: str | None) -> bool:
    """The rate and the memory of a task that does nothing, with Redis as broker and result store."""
    with tempfile.TemporaryDirectory(prefix="petiole-bench-") as folder:
        first = fill(FIRST_FILL, Path(folder) / "first.rdb")
        say("trying our configurations")
        ours, showed = next(iter(tried(PETIOLE, first).items()))
        say("trying Celery's")
        peers = tried(CELERY, first)
        enough = int(showed.rate * (LONG + WARM_UP) * 1.5)
        dump = fill(enough - FIRST_FILL, Path(folder) / "all.rdb", first) if enough > FIRST_FILL else first
        finalists = list(peers)[:FINALISTS]
        say("in turns")
        our_runs, *all_peer_runs = in_turns([ours, *finalists], dump)
    peer, peer_runs = max(zip(finalists, all_peer_runs, strict=True), key=lambda item: rate(item[1]))
    say(f"ours: {ours}")
    say(f"peer: {peer}")
    tell_others(peers)
    met = True
    if only in (None, RATE.name):
        met &= RATE.report(rate(our_runs), rate(peer_runs))
    if only in (None, MEMORY.name):
        met &= MEMORY.report(megabytes(our_runs), megabytes(peer_runs))
    return met


def tell_others(tried: dict[Celery, Measured]) -> None:
    """Names the peers that are best in something else than the rate, so that nobody has to ask."""
    late = {side: measured for side, measured in tried.items() if side.acks == "late"}
    fastest_late = max(late, key=lambda side: late[side].rate)
    leanest = min(tried, key=lambda side: tried[side].megabytes)
    say(f"Celery's fastest with late acknowledgement: {fastest_late}: {late[fastest_late]}")
    say(f"Celery's leanest: {leanest}: {tried[leanest]}")


def main() -> int:
    """Runs what was asked for."""
    only = os.environ.get("ONLY") or None
    names = [RATE.name, MEMORY.name]
    if only not in (None, *names):
        say(f"no bench is called {only}: ONLY takes {' or '.join(names)}")
        return 2
    adopt_orphans()
    try:
        return 0 if noop_redis(only) else 1
    finally:
        end_leftovers()


if __name__ == "__main__":
    sys.exit(main())
