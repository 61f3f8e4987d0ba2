"""The bench of a long queue: what a million waiting messages change in our rate and our memory."""

from comparing import in_turns, megabytes, rate
from figures import Compared, Figure, say
from filling import Dumps
from measuring import for_a_time
from sides import Petiole
from work import NOOP

RATE = Figure("backlog-redis", "tasks/s", more_is_better=True, times=0.9)
MEMORY = Figure("backlog-redis-memory", "MB", times=0.9)
FIGURES = (RATE, MEMORY)

#: How many messages wait at the start of a run.
LARGE, SMALL = 1_000_000, 100_000
#: Seconds. What is worked off in them has to be in the small queue.
WARM_UP, WINDOW = 0.5, 1.0
#: Runs of this length differ more than long ones do.
TURNS = 7


def run(dumps: Dumps) -> Compared:
    """Runs it. The peer is ourselves, at a small queue."""
    small = dumps.of(NOOP, SMALL, at_most=2 * SMALL)
    large = dumps.of(NOOP, LARGE)
    side = Petiole(2)
    say(f"in turns: {side}")
    runs = in_turns(
        {filled: lambda filled=filled: for_a_time(side, filled, WINDOW, WARM_UP) for filled in (large, small)}, TURNS
    )
    return {
        RATE: (rate(runs[large]), rate(runs[small])),
        MEMORY: (megabytes(runs[large]), megabytes(runs[small])),
    }
