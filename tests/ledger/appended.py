"""Reads who took which message from Redis' append-only file, where every change stands in the order in which it was.

A worker of ours takes messages and writes down that it holds them in one transaction, under tags of ours. So whoever
takes a message otherwise is a Celery worker: kombu takes it by a `BRPOP` alone, and writes it down afterwards.

The lists are played back, so that what each worker took is known also where it was killed before it could say so.
"""

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO

import hiredis

#: What stands before the number in a tag of ours.
OURS = b"petiole:"
UNACKED = b"unacked"
#: What stands between a queue's name and its priority in the name of a list.
SEPARATOR = b"\x06\x16"
#: Commands that change a list in a way that is not played back. A script of ours has none for a queue's lists.
OTHERS = {b"LREM", b"LSET", b"LTRIM", b"LINSERT", b"LMOVE", b"RPOPLPUSH", b"BLMOVE", b"BRPOPLPUSH", b"LMPOP"}

#: Bytes that are read at a time.
CHUNK = 1 << 16

Command = list[bytes]


class Taker(Enum):
    """Who was the last to take a message."""

    NOBODY = "nobody"
    """It waits in its queue."""
    OURS = "Petiole"
    PEER = "Celery"


def read(folder: Path) -> Iterator[Command]:
    """All commands of a server's append-only files, the oldest first. The last one may not be whole yet."""
    parts = sorted(folder.glob("appendonlydir/*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]))
    for path in parts or [folder / "appendonly.aof"]:
        with path.open("rb") as file:
            yield from parse(file)


def parse(file: BinaryIO) -> Iterator[Command]:
    """Cuts a file into commands: it is written as clients write."""
    reader = hiredis.Reader()
    # The reader moves what it has not read yet after each command: never feed it a whole file.
    while chunk := file.read(CHUNK):
        reader.feed(chunk)
        while (command := reader.gets()) is not False:
            yield command


def transactions(commands: Iterable[Command]) -> Iterator[list[Command]]:
    """What was done at once. The effects of a script that does several things are a transaction too."""
    within: list[Command] | None = None
    for command in commands:
        name = command[0].upper()
        if name == b"MULTI":
            within = []
        elif name == b"EXEC":
            yield within or []
            within = None
        elif within is not None:
            within.append(command)
        else:
            yield [command]


def last_takers(commands: Iterable[Command], queue: str) -> dict[str, Taker]:
    """Who was the last to take the message of each task that was ever in the queue."""
    name = queue.encode()
    lists: dict[bytes, deque[str]] = defaultdict(deque)
    takers: dict[str, Taker] = {}

    def of_the_queue(key: bytes) -> bool:
        return key == name or key.startswith(name + SEPARATOR)

    for transaction in transactions(commands):
        ours = any(is_ours(command) for command in transaction)
        for verb, *words in transaction:
            verb = verb.upper()
            if not words or not of_the_queue(words[0]):
                continue
            place = lists[words[0]]
            if verb in (b"LPUSH", b"RPUSH"):
                for message in words[1:]:
                    task = task_of(message)
                    takers[task] = Taker.NOBODY
                    (place.appendleft if verb == b"LPUSH" else place.append)(task)
            elif verb in (b"LPOP", b"RPOP"):
                # Asked for, which can be more than there is.
                for _ in range(min(len(place), int(words[1]) if len(words) > 1 else 1)):
                    task = place.popleft() if verb == b"LPOP" else place.pop()
                    takers[task] = Taker.OURS if ours else Taker.PEER
            elif verb in OTHERS:
                raise ValueError(f"{verb.decode()} of {words[0]!r} is not known to be done to a queue's list")
    return takers


def is_ours(command: Command) -> bool:
    """Whether it writes down that a worker of ours holds messages."""
    return command[0].upper() == b"HSET" and command[1] == UNACKED and command[2].startswith(OURS)


def task_of(message: bytes) -> str:
    """The id of the task that a message is for."""
    return json.loads(message)["headers"]["id"]
