"""The bench of a task that does nothing: its rate and its memory."""

from comparing import in_turns, megabytes, rate, tell_others, tried
from figures import Compared, Figure, say
from filling import Dumps
from measuring import WARM_UP, for_a_time
from sides import CELERY, PETIOLE
from work import NOOP

RATE = Figure("noop-redis", "tasks/s", more_is_better=True, times=20)
MEMORY = Figure("noop-redis-memory", "MB", times=8)
FIGURES = (RATE, MEMORY)

#: Seconds of a run that counts, and of one that only finds a side's best configuration.
LONG, SHORT = 10.0, 4.0
#: So many of Celery's configurations, the fastest in the short runs, are measured at length: short runs can err.
FINALISTS = 3
#: Messages for the first look at our rate, which says how many are needed.
FIRST_FILL = 250_000


def run(dumps: Dumps) -> Compared:
    """Runs it."""
    first = dumps.of(NOOP, FIRST_FILL)
    say("trying our configurations")
    ours, showed = next(iter(tried(PETIOLE, lambda side: for_a_time(side, first, SHORT)).items()))
    say("trying Celery's")
    peers = tried(CELERY, lambda side: for_a_time(side, first, SHORT))
    filled = dumps.of(NOOP, int(showed.rate * (LONG + WARM_UP) * 1.5))
    say("in turns")
    finalists = list(peers)[:FINALISTS]
    runs = in_turns({side: lambda side=side: for_a_time(side, filled, LONG) for side in (ours, *finalists)})
    peer = max(finalists, key=lambda side: rate(runs[side]))
    say(f"ours: {ours}")
    say(f"peer: {peer}")
    tell_others(peers)
    return {
        RATE: (rate(runs[ours]), rate(runs[peer])),
        MEMORY: (megabytes(runs[ours]), megabytes(runs[peer])),
    }
