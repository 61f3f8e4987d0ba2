"""The functions of the benches' tasks: the same ones in Celery's worker and in the handler in Python."""

import time


def noop(*_: object) -> None:
    """Does nothing. As a step of a canvas it is given what came before it."""


def since(published: float) -> float:
    """Seconds from an instant of the monotonic clock, which all processes of a machine share, until now."""
    return time.monotonic() - published


#: By the names that clients call.
FUNCTIONS = {"bench.noop": noop, "bench.since": since, "bench.limited": noop}
