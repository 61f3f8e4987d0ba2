"""The bench of one Python function: run by a handler in Python here, and by Celery's worker there."""

from comparing import in_turns, rate, tried
from figures import Compared, Figure, say
from filling import Dumps
from measuring import for_a_time
from sides import FEW_OF_CELERY, PETIOLE, PETIOLE_IN_PYTHON
from work import NOOP

RATE = Figure("python-redis", "tasks/s", more_is_better=True, times=1)
FIGURES = (RATE,)

#: Seconds of a run that counts, and of one that only finds a side's best configuration.
LONG, SHORT = 5.0, 3.0
#: Messages: enough for the native handler, which is looked at too.
FILL = 250_000


def run(dumps: Dumps) -> Compared:
    """Runs it."""
    filled = dumps.of(NOOP, FILL)
    say("trying our configurations, the native handler among them")
    showed = tried([*PETIOLE_IN_PYTHON, PETIOLE[1]], lambda side: for_a_time(side, filled, SHORT))
    ours = next(side for side in showed if side.python)
    say("trying Celery's")
    peer = next(iter(tried(FEW_OF_CELERY, lambda side: for_a_time(side, filled, SHORT))))
    say("in turns")
    runs = in_turns({side: lambda side=side: for_a_time(side, filled, LONG) for side in (ours, peer)})
    say(f"ours: {ours}")
    say(f"peer: {peer}")
    return {RATE: (rate(runs[ours]), rate(runs[peer]))}
