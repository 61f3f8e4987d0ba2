"""What the queue of a bench is filled with, by the unit that a client sends: a task, or a canvas."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """A kind of unit."""

    name: str
    """Its name in `publish.py`."""
    messages: int = 1
    """How many messages the client sends for one."""
    tasks: int = 1
    """How many tasks run until one is complete."""


NOOP = Work("noop")
CHAIN = Work("chain", tasks=10)
#: A task that is followed by a group, which the worker sends. A group that the client sends is a hundred messages like
#: any others.
GROUP = Work("group", tasks=1 + 100)
#: The client sends the header, the worker the body.
CHORD = Work("chord", messages=100, tasks=100 + 1)
LARGE = Work("large")
