"""The bench of an idle worker's latency: from the moment that a client publishes a task until the task starts."""

import random
import statistics
import time

from answering import answering
from comparing import TURNS
from figures import Compared, Figure, say
from filling import Dumps
from sides import Celery, Petiole, Side

P99 = Figure("latency-redis", "ms", at_most=5.0)
P50 = Figure("latency-redis-p50", "ms")
FIGURES = (P99, P50)

#: Tasks of a run, and of one that only finds Celery's best configuration.
LONG, SHORT = 300, 100
#: Seconds from one task to the next: 50 a second on average, out of step with every timer.
GAP = (0.002, 0.038)
#: Late acknowledgement spares Celery a round trip before the task starts.
PEERS = (Celery("prefork", 2, "late", 4), Celery("prefork", 4, "late", 4), Celery("threads", 4, "late", 4))
OURS = Petiole(4, python=True)


def latencies(side: Side, count: int) -> list[float]:
    """Milliseconds for each of so many tasks. The client's clock is the task's argument, the difference its value."""
    gaps = random.Random(count)
    with answering(side) as (client, _):
        tasks = []
        for _ in range(count):
            time.sleep(gaps.uniform(*GAP))
            tasks.append(client.send("bench.since", time.monotonic()))
        return [seconds * 1000 for seconds in client.values(tasks)]


def p99(milliseconds: list[float]) -> float:
    """All but a hundredth are quicker."""
    return statistics.quantiles(milliseconds, n=100)[98]


def run(_: Dumps) -> Compared:
    """Runs it."""
    say("trying Celery's configurations")
    tried = {side: latencies(side, SHORT) for side in PEERS}
    for side, milliseconds in tried.items():
        say(f"  {side}: {told(milliseconds)}")
    peer = min(PEERS, key=lambda side: p99(tried[side]))
    say("in turns")
    runs: dict[Side, list[list[float]]] = {OURS: [], peer: []}
    for _ in range(TURNS):
        for side, of_side in runs.items():
            of_side.append(latencies(side, LONG))
            say(f"  {side}: {told(of_side[-1])}")
    ours, theirs = runs[OURS], runs[peer]
    return {
        P99: (statistics.median(map(p99, ours)), statistics.median(map(p99, theirs))),
        P50: (statistics.median(map(statistics.median, ours)), statistics.median(map(statistics.median, theirs))),
    }


def told(milliseconds: list[float]) -> str:
    """For the reader."""
    longest = max(milliseconds)
    return f"p50 {statistics.median(milliseconds):.2f} ms, p99 {p99(milliseconds):.2f} ms, longest {longest:.2f} ms"
