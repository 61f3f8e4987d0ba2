"""Runs the benches side by side with their peers and prints a line for each figure; see README.md.

Those that need no cluster, or `--cluster` those that do. ONLY=NAME runs one. Exits with 1 when a goal is missed.
`--names` prints which would run.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import backlog
import bursts
import completing
import idle
import latency
import many_queues
import noop
import parked
import same_function
from figures import Compared, Figure, say
from filling import Dumps
from rig.processes import adopt_orphans, end_leftovers

#: The figures of some benches, and what measures them.
Benches = Sequence[tuple[Sequence[Figure], Callable[[], Compared]]]


def here(dumps: Dumps) -> Benches:
    """Those that need no cluster."""
    return [
        (noop.FIGURES, partial(noop.run, dumps)),
        *((bench.figures, partial(bench.run, dumps)) for bench in completing.BENCHES),
        (same_function.FIGURES, partial(same_function.run, dumps)),
        (backlog.FIGURES, partial(backlog.run, dumps)),
        *((kind.figures().all(), partial(parked.run, kind, dumps)) for kind in (parked.ETA, parked.RATE)),
        (latency.FIGURES, partial(latency.run, dumps)),
        (idle.FIGURES, partial(idle.run, dumps)),
    ]


#: Those that need one.
ON_CLUSTER: Benches = [(bursts.FIGURES, bursts.run), (many_queues.FIGURES, many_queues.run)]


def run(benches: Benches, only: str | None) -> bool:
    """Runs all, or those that have this figure; whether all goals of what was printed are met."""
    met = True
    for figures, measure in benches:
        asked = [figure for figure in figures if only in (None, figure.name)]
        if not asked:
            continue
        say(f"{figures[0].name}:")
        compared = measure()
        for figure in asked:
            met &= figure.report(*compared[figure])
    return met


def names(benches: Benches) -> list[str]:
    """Of their figures."""
    return [figure.name for figures, _ in benches for figure in figures]


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--names", action="store_true")
    arguments = parser.parse_args()
    only = os.environ.get("ONLY") or None
    with tempfile.TemporaryDirectory(prefix="petiole-bench-") as folder:
        without = here(Dumps(Path(folder)))
        known = [*names(without), *names(ON_CLUSTER)]
        if only not in (None, *known):
            say(f"no bench is called {only}: ONLY takes one of {', '.join(known)}")
            return 2
        benches = ON_CLUSTER if arguments.cluster else without
        if arguments.names:
            print(*(name for name in names(benches) if only in (None, name)))
            return 0
        adopt_orphans()
        try:
            return 0 if run(benches, only) else 1
        finally:
            end_leftovers()


if __name__ == "__main__":
    sys.exit(main())
