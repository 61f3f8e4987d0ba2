"""Listening to events, as Flower does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from client import Client
from rig.waiting import until

#: Seconds in which whoever listens ends, once it is told to.
WITHIN = 20


class Heard:
    """The events that were heard so far: the kind of each, and its task, where it is of one."""

    def __init__(self) -> None:
        self._events: list[tuple[str, str]] = []

    def add(self, event: dict[str, str]) -> None:
        """An event was heard."""
        self._events.append((event["type"], event.get("uuid", "")))

    def wait_for_a_worker(self) -> None:
        """Waits for a heartbeat: with it a worker that nobody has listened to looks again whether somebody does."""
        until("a worker is heard", lambda: any(kind == "worker-heartbeat" for kind, _ in self._events))

    def wait_for(self, task: str, kinds: list[str]) -> None:
        """Waits until these are the events of a task."""
        until("all of its events", lambda: [kind for kind, of in self._events if of == task] == kinds)


@contextmanager
def listening(client: Client) -> Iterator[Heard]:
    """Listens to all events, until the block ends."""
    heard = Heard()
    with client.app.connection_for_read() as connection:
        receiver = client.app.events.Receiver(connection, handlers={"*": heard.add})
        thread = threading.Thread(target=receiver.capture, kwargs={"limit": None, "timeout": None, "wakeup": False})
        thread.start()
        try:
            yield heard
        finally:
            receiver.should_stop = True
            # What it waits for is the next event.
            client.app.control.heartbeat()
            thread.join(WITHIN)
