"""The benches of canvases and of large arguments: tasks per second until all of them are complete."""

from collections.abc import Sequence
from dataclasses import dataclass

from comparing import S, in_turns, rate, tried
from figures import Compared, Figure, say
from filling import Dumps, Filled
from measuring import to_the_end
from sides import FEW_OF_CELERY, PETIOLE
from work import CHAIN, CHORD, GROUP, LARGE, Work

#: Seconds for which a run's work is meant to last.
LONG = 5.0


@dataclass(frozen=True)
class Completing:
    """One of these benches."""

    rate: Figure
    work: Work
    first: tuple[int, int]
    """Units for the first look at our rate, and at Celery's: little enough for each of its configurations."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What it measures."""
        return (self.rate,)

    def run(self, dumps: Dumps) -> Compared:
        """Runs it."""
        say("trying our configurations")
        ours, our_work = self.best(PETIOLE, self.first[0], dumps)
        say("trying Celery's")
        peer, peer_work = self.best(FEW_OF_CELERY, self.first[1], dumps)
        say("in turns")
        runs = in_turns({ours: lambda: to_the_end(ours, our_work), peer: lambda: to_the_end(peer, peer_work)})
        say(f"ours: {ours}")
        say(f"peer: {peer}")
        return {self.rate: (rate(runs[ours]), rate(runs[peer]))}

    def best(self, sides: Sequence[S], first: int, dumps: Dumps) -> tuple[S, Filled]:
        """The fastest, and work for it that lasts long enough."""
        filled = dumps.of(self.work, first, at_most=2 * first)
        side, showed = next(iter(tried(sides, lambda side: to_the_end(side, filled)).items()))
        enough = max(first, int(showed.rate * LONG / self.work.tasks))
        return side, dumps.of(self.work, enough, at_most=2 * enough)


def figure(name: str, times: float | None) -> Figure:
    """All of them count tasks per second."""
    return Figure(name, "tasks/s", more_is_better=True, times=times)


BENCHES = (
    Completing(figure("chain-redis", times=10), CHAIN, first=(4_000, 200)),
    Completing(figure("group-redis", times=10), GROUP, first=(400, 20)),
    Completing(figure("chord-redis", times=10), CHORD, first=(400, 20)),
    Completing(figure("args-1mb-redis", times=1), LARGE, first=(400, 150)),
)
