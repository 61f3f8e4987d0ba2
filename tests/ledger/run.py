"""Runs the ledgers and prints a line for each: those that need no cluster, or `--cluster` those that do.

ONLY=NAME runs one; SCALE=0.05 runs a twentieth; SEED=N repeats the order of faults. Exits with 1 when a promise is
broken. `--names` prints which would run.
"""

import argparse
import os
import random
import sys
from collections.abc import Callable

import kill_redis
import kill_redis_pods
import mixed_redis
import scale_in
from rig.processes import adopt_orphans, end_leftovers

Ledgers = dict[str, Callable[[float, int], bool]]

HERE: Ledgers = {kill_redis.NAME: kill_redis.run, mixed_redis.NAME: mixed_redis.run}
ON_CLUSTER: Ledgers = {kill_redis_pods.NAME: kill_redis_pods.run, scale_in.NAME: scale_in.run}


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--names", action="store_true")
    arguments = parser.parse_args()
    only = os.environ.get("ONLY") or None
    scale = float(os.environ.get("SCALE") or 1)
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    names = [*HERE, *ON_CLUSTER]
    if only not in (None, *names):
        print(f"no ledger is called {only}: ONLY takes {' or '.join(names)}", file=sys.stderr)
        return 2
    chosen = {name: run for name, run in (ON_CLUSTER if arguments.cluster else HERE).items() if only in (None, name)}
    if arguments.names:
        print(*chosen)
        return 0
    adopt_orphans()
    kept = [ledger(scale, seed) for ledger in chosen.values()]
    if left := end_leftovers():
        print("left behind:", *left, sep="\n  ", file=sys.stderr)
        return 1
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
