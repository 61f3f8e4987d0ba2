"""What the tasks of these tests do, in plain Python: Celery runs it as tasks, Petiole as handlers of both modes."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GATE_OPENS_WITHIN = 60.0


def add(x: Any, y: Any) -> Any:
    """Adds."""
    return x + y


def echo(*args: Any, **kwargs: Any) -> Any:
    """Gives back what it got."""
    return {"args": list(args), "kwargs": kwargs}


def nothing() -> None:
    """Returns nothing."""


def boom(message: str) -> None:
    """Fails with an exception that every Python program knows."""
    raise ValueError(message)


def strange(message: str) -> None:
    """Fails with an exception that the client has not imported."""
    from strangers import StrangeError

    raise StrangeError(message)


def die() -> None:
    """Kills its own process, as the kernel does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(seconds: float) -> str:
    """Sleeps, for the tests of time limits."""
    time.sleep(seconds)
    return "slept"


def gate(folder: str, name: str) -> str:
    """Says that it has started (a line of its own for each start), and ends when the test opens the gate."""
    place = Path(folder)
    with (place / "started").open("a") as starts:
        starts.write(f"{name}\n")
    end = time.monotonic() + GATE_OPENS_WITHIN
    while not (place / "open").exists():
        if time.monotonic() > end:
            raise TimeoutError(f"nobody opened the gate for {name}")
        time.sleep(0.01)
    return name


def who() -> str:
    """Names the system that runs it."""
    return "celery" if "celery" in sys.modules else "petiole"


def noted(path: str, line: str) -> None:
    """Leaves a line in a file, by which a test without a result sees that it ran."""
    with open(path, "a") as file:
        file.write(f"{line}\n")


BODIES: dict[str, Callable[..., Any]] = {
    f"demo.{body.__name__}": body for body in (add, echo, nothing, boom, strange, die, sleep, gate, who, noted)
}
# The same bodies under names that the pools and the Celery app give other settings.
BODIES |= {"demo.tracked": gate, "demo.early": gate, "demo.silent": noted}
BODIES |= {"demo.limited": sleep, "demo.softly": sleep}
