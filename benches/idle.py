"""The bench of a worker that has nothing to do: its CPU and its memory."""

import time
from contextlib import ExitStack

from answering import answering
from figures import Compared, Figure, say
from filling import Dumps
from gauge import cpu, memory
from sides import Celery, Petiole

CPU = Figure("idle-redis", "% of a core", at_most=1.0)
MEMORY = Figure("idle-redis-memory", "MB", at_most=20.0)
FIGURES = (CPU, MEMORY)

#: Seconds until what the first tasks have left to do is over, and seconds that are measured.
SETTLING, WINDOW = 5.0, 30.0
#: Each with four places for tasks. Celery as it starts unless it is told otherwise, and without what it can do without.
SIDES = (Petiole(4), Celery("prefork", 4, "early", 4, bare=False), Celery("prefork", 4, "early", 4))


def run(_: Dumps) -> Compared:
    """Runs it. All sides are idle at the same time, each at a Redis of its own: none of them is in another's way."""
    with ExitStack() as stack:
        running = [stack.enter_context(answering(side))[1] for side in SIDES]
        processes = [[process for of_role in side.roles().values() for process in of_role] for side in running]
        time.sleep(SETTLING)
        before, since = [cpu(of_side) for of_side in processes], time.monotonic()
        time.sleep(WINDOW)
        elapsed, after = time.monotonic() - since, [cpu(of_side) for of_side in processes]
        megabytes = [memory(of_side) / 1e6 for of_side in processes]
    percent = [(end - start) / elapsed * 100 for start, end in zip(before, after, strict=True)]
    for side, used, size in zip(SIDES, percent, megabytes, strict=True):
        say(f"  {side}: {used:.2f}% of a core, {size:.1f} MB")
    # The peer is the better one of Celery's in each.
    return {CPU: (percent[0], min(percent[1:])), MEMORY: (megabytes[0], min(megabytes[1:]))}
