"""Finding each side's best configuration, and measuring sides in turns."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from figures import say
from measuring import Measured
from sides import Celery, Side

S = TypeVar("S", bound=Side)
T = TypeVar("T")

#: Runs of each side, in turns; the medians count.
TURNS = 3


def tried(sides: Sequence[S], measure: Callable[[S], Measured]) -> dict[S, Measured]:
    """Tries all configurations for a short time; the fastest first."""
    showed: dict[S, Measured] = {}
    for side in sides:
        showed[side] = measure(side)
        say(f"  {side}: {showed[side]}")
    return dict(sorted(showed.items(), key=lambda item: -item[1].rate))


def in_turns(runs: Mapping[T, Callable[[], Measured]], turns: int = TURNS) -> dict[T, list[Measured]]:
    """Measures one after the other, several times, so that what changes on the machine meets all of them."""
    measured: dict[T, list[Measured]] = {what: [] for what in runs}
    for _ in range(turns):
        for what, run in runs.items():
            measured[what].append(run())
            say(f"  {what}: {measured[what][-1]}")
    return measured


def rate(runs: Sequence[Measured]) -> float:
    """The middle of their rates."""
    return statistics.median(run.rate for run in runs)


def megabytes(runs: Sequence[Measured]) -> float:
    """The middle of their memory."""
    return statistics.median(run.megabytes for run in runs)


def tell_others(tried: dict[Celery, Measured]) -> None:
    """Names the peers that are best in something else than the rate, so that nobody has to ask."""
    late = {side: measured for side, measured in tried.items() if side.acks == "late"}
    fastest_late = max(late, key=lambda side: late[side].rate)
    leanest = min(tried, key=lambda side: tried[side].megabytes)
    say(f"Celery's fastest with late acknowledgement: {fastest_late}: {late[fastest_late]}")
    say(f"Celery's leanest: {leanest}: {tried[leanest]}")
