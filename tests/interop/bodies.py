"""What the tasks of these tests do, in plain Python: Celery runs it as tasks, Petiole as handlers of both modes."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rig.word import Task, bound

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


def kill_worker(state_file: str, path: str) -> None:
    """Kills the worker that runs it: not its own process, but that of the only worker that `petiole dev` has."""
    noted(path, "kills")
    pools = json.loads(Path(state_file).read_text())["pools"]
    os.kill(pools[0]["replicas"][0]["worker"], signal.SIGKILL)
    time.sleep(GATE_OPENS_WITHIN)


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


def mul(x: Any, y: Any) -> Any:
    """Multiplies."""
    return x * y


def total(values: list[Any]) -> Any:
    """The sum of a list, for the bodies of chords."""
    return sum(values)


def one(value: Any) -> Any:
    """Gives back its only argument."""
    return value


def keep(value: Any, *, path: str) -> Any:
    """Leaves what it is called with in a file: a value as a callback, an id as an errback."""
    noted(path, str(value))
    return value


def mourn(request: Any, error: Exception, _traceback: Any, *, path: str) -> None:
    """An errback as Celery calls it in its own worker."""
    noted(path, f"{request.id} {error!r}")


def kinds(*values: Any) -> list[str]:
    """Names the types of what it gets, some of which JSON does not have."""
    return [type(value).__name__ for value in values]


def clock() -> float:
    """The time at which it runs."""
    return time.time()


@bound
def lineage(task: Task, *_: Any, header: str = "") -> dict[str, Any]:
    """Tells what the task knows about itself."""
    return {
        "id": task.id,
        "root": task.root_id,
        "parent": task.parent_id,
        "retries": task.retries,
        "header": task.header(header),
    }


@bound
def lineage_again(task: Task, *_: Any, header: str = "") -> dict[str, Any]:
    """Tells the same in its second attempt."""
    if task.retries == 0:
        task.retry(None, 0.05)
    return lineage(task, header=header)


@bound
def again(
    task: Task,
    times: int,
    *_: Any,
    countdown: float | None = 0.05,
    error: str | None = None,
    limit: int | None = None,
    path: str | None = None,
) -> int:
    """Asks for another attempt so many times, and then returns how many it had before."""
    if path:
        noted(path, f"{task.id} {task.retries}")
    if task.retries < times:
        task.retry(ValueError(error) if error else None, countdown, limit)
    return task.retries


@bound
def again_with(task: Task, *args: Any, then: tuple[Any, Any], limit: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """Asks once for another attempt with other arguments (`None`: with the same), and says what it has got."""
    if "done" not in args and "done" not in kwargs:
        task.retry(countdown=0.01, limit=limit, args=then[0], kwargs=then[1])
    return {"args": list(args), "kwargs": kwargs, "retries": task.retries}


@bound
def again_at_gate(task: Task, folder: str, name: str, error: str | None) -> str:
    """Asks for another attempt once, which then waits at a gate."""
    if task.retries == 0:
        task.retry(ValueError(error) if error else None, 0.05)
    return gate(folder, name)


@bound
def again_or_fail(task: Task, times: int) -> None:
    """Asks for another attempt so many times, and then fails by itself."""
    if task.retries < times:
        task.retry(ValueError("not yet"), 0.05)
    raise KeyError("for good")


@bound
def advance(task: Task, folder: str, name: str, states: list[tuple[str, Any]]) -> str:
    """Reports these states, and waits at a gate."""
    for state, meta in states:
        task.progress(state, meta)
    return gate(folder, name)


@bound
def ignored(task: Task, path: str) -> None:
    """Ends with nothing recorded."""
    noted(path, "ran")
    task.ignore()


@bound
def replaced(task: Task, *got: Any, by: Any) -> None:
    """Has a signature run in its place."""
    task.replace(by)


@bound
def adding(task: Task, value: Any, *, adds: list[Any], error: str | None = None) -> Any:
    """Adds signatures to its chord, and returns its argument."""
    for signature in adds:
        task.add_to_chord(signature)
    if error:
        raise ValueError(error)
    return value


@bound
def rejected(task: Task, path: str, requeue: bool) -> str:
    """Refuses its message the first time that it sees it."""
    first = not Path(path).exists()
    noted(path, "ran")
    if first:
        task.reject(requeue)
    return "taken"


BODIES: dict[str, Callable[..., Any]] = {
    f"demo.{body.__name__}": body
    for body in (
        *(add, echo, nothing, boom, strange, die, kill_worker, sleep, gate, who, noted, mul, total, one, keep, clock),
        kinds,
        *(mourn, lineage, lineage_again, again, again_with, again_at_gate, again_or_fail, advance, ignored, replaced, adding, rejected),
    )
}
# The same bodies under names that the pools and the Celery app give other settings.
BODIES |= {"demo.tracked": gate, "demo.early": gate, "demo.silent": noted}
BODIES |= {"demo.limited": sleep, "demo.softly": sleep}
