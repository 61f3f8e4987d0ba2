"""Runs the benches side by side with their peers and prints a line for each figure; see README.md.

ONLY=NAME runs one. Exits with 1 when a goal is missed.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import backlog
import completing
import idle
import latency
import noop
import parked
import same_function
from figures import Compared, Figure, say
from filling import Dumps
from rig.processes import adopt_orphans, end_leftovers

#: The figures of each bench, and what measures them.
BENCHES: list[tuple[Sequence[Figure], Callable[[Dumps], Compared]]] = [
    (noop.FIGURES, noop.run),
    *((bench.figures, bench.run) for bench in completing.BENCHES),
    (same_function.FIGURES, same_function.run),
    (backlog.FIGURES, backlog.run),
    *((kind.figures().all(), partial(parked.run, kind)) for kind in (parked.ETA, parked.RATE)),
    (latency.FIGURES, latency.run),
    (idle.FIGURES, idle.run),
]


def run(only: str | None) -> bool:
    """Runs all, or those that have this figure; whether all goals of what was printed are met."""
    met = True
    with tempfile.TemporaryDirectory(prefix="petiole-bench-") as folder:
        dumps = Dumps(Path(folder))
        for figures, measure in BENCHES:
            asked = [figure for figure in figures if only in (None, figure.name)]
            if not asked:
                continue
            say(f"{figures[0].name}:")
            compared = measure(dumps)
            for figure in asked:
                met &= figure.report(*compared[figure])
    return met


def main() -> int:
    """Runs what was asked for."""
    only = os.environ.get("ONLY") or None
    names = [figure.name for figures, _ in BENCHES for figure in figures]
    if only not in (None, *names):
        say(f"no bench is called {only}: ONLY takes one of {', '.join(names)}")
        return 2
    adopt_orphans()
    try:
        return 0 if run(only) else 1
    finally:
        end_leftovers()


if __name__ == "__main__":
    sys.exit(main())
