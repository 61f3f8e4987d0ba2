"""Waiting for a state: bounded, and by looking at the state instead of hoping for an event."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Late(AssertionError):
    """What was waited for did not come."""


def until(what: str, probe: Callable[[], T], within: float = 20.0, every: float = 0.02) -> T:
    """Asks `probe` until its answer is true, and returns that answer; `what` names the state in the error."""
    end = time.monotonic() + within
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Late(f"not within {within:g} s: {what} (last answer: {answer!r})")
        time.sleep(every)
