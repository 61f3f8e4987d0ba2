"""Sends work by a Celery client, in kombu's batches so that it does not take all day. Arguments: kind, how many.

Prints the ids of the tasks with which canvases end: a line for each canvas.
"""

import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext

from bench_app import app
from celery import chain, chord, group
from work import CHAIN, CHORD, GROUP, LARGE, NOOP

noop = app.tasks["bench.noop"]

#: An argument of 1 MB, as JSON writes it: words, since a text of one letter is read faster than any real one.
WORDS = " ".join(f"{number:x}" for number in range(0, 1 << 20, 4099))
ARGUMENT = (WORDS * (1_000_000 // len(WORDS) + 1))[: 1_000_000 - len('""')]


def a_task() -> Iterable[str]:
    """A task alone: how many have ended says enough."""
    noop.apply_async()
    return ()


def a_large_task() -> Iterable[str]:
    """A task with a large argument."""
    return (noop.apply_async((ARGUMENT,)).id,)


def a_chain() -> Iterable[str]:
    """A chain. Each step gets the value of the one before it."""
    return (chain(noop.s() for _ in range(10)).apply_async().id,)


def a_group() -> Iterable[str]:
    """A task, and then a group."""
    return (member.id for member in (noop.s() | group(noop.s() for _ in range(100))).apply_async().results)


def a_chord() -> Iterable[str]:
    """A chord. Its body gets all values of its header."""
    return (chord((noop.s() for _ in range(100)), noop.s()).apply_async().id,)


#: Messages that leave at once: enough to be quick, and few enough when they are large.
BATCH = 100

KINDS: dict[str, Callable[[], Iterable[str]]] = {
    NOOP.name: a_task,
    LARGE.name: a_large_task,
    CHAIN.name: a_chain,
    GROUP.name: a_group,
    CHORD.name: a_chord,
}


def main(kind: str, count: int) -> None:
    """Sends so many."""
    # Nobody here waits for a result: this saves a subscription for each, and changes nothing in a message.
    app.backend.result_consumer.consume_from = lambda _: None
    with app.producer_or_acquire() as producer, producer.batch(BATCH):
        # Canvases do not hand a producer on to all of their tasks.
        app.producer_or_acquire = lambda _=None: nullcontext(producer)
        for _ in range(count):
            if ends := list(KINDS[kind]()):
                print(*ends)


main(sys.argv[1], int(sys.argv[2]))
