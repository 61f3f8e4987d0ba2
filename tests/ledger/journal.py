"""Reads the journal: which attempts there were, on which runner, from when to when."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Attempt:
    """A time that a task was started."""

    task: str
    token: str
    runner: str
    """The runner whose process it was: its process id, or its pod."""
    start: float
    last_sign: float
    """When it was last seen to live."""
    ended: bool = False
    """Whether it came to its end, or was cut off."""


#: The attempts of each task, the earliest first.
Attempts = dict[str, list[Attempt]]


def parse(text: str) -> Attempts:
    """Reads the lines of `handlers/book.py`."""
    attempts: Attempts = defaultdict(list)
    by_token: dict[str, Attempt] = {}
    for line in text.splitlines():
        kind, time, task, token, *runner = line.split()
        if kind == "start":
            attempt = Attempt(task, token, runner[0], float(time), float(time))
            by_token[token] = attempt
            attempts[task].append(attempt)
        else:
            attempt = by_token[token]
            attempt.last_sign = float(time)
            attempt.ended = attempt.ended or kind == "end"
    for of_task in attempts.values():
        of_task.sort(key=lambda attempt: attempt.start)
    return dict(attempts)


def read(path: Path) -> Attempts:
    """Reads the file. A line that is being written is not there yet."""
    text = path.read_text() if path.exists() else ""
    return parse(text[: text.rfind("\n") + 1])
