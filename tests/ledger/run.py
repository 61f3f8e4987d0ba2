"""Runs the ledgers and prints a line for each.

ONLY=NAME runs one; SCALE=0.05 runs a twentieth; SEED=N repeats the order of faults. Exits with 1 when a promise is
broken.
"""

import os
import random
import sys
from collections.abc import Callable

import kill_redis
from rig.processes import adopt_orphans, end_leftovers

LEDGERS: dict[str, Callable[[float, int], bool]] = {kill_redis.NAME: kill_redis.run}


def main() -> int:
    """Runs what was asked for."""
    only = os.environ.get("ONLY") or None
    scale = float(os.environ.get("SCALE") or 1)
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    if only not in (None, *LEDGERS):
        print(f"no ledger is called {only}: ONLY takes {' or '.join(LEDGERS)}", file=sys.stderr)
        return 2
    adopt_orphans()
    kept = [ledger(scale, seed) for name, ledger in LEDGERS.items() if only in (None, name)]
    if left := end_leftovers():
        print("left behind:", *left, sep="\n  ", file=sys.stderr)
        return 1
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
