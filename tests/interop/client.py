"""What a test holds in its hand: a Celery client program, and a gate that keeps tasks waiting."""

import gc
import time
from pathlib import Path
from typing import Any

import tasks
from celery import Celery, Signature, Task
from celery.backends.asynchronous import AsyncBackendMixin
from celery.exceptions import TimeoutError as Late
from celery.result import AsyncResult


wait_once = AsyncBackendMixin.wait_for_pending


def wait_and_look_again(backend: Any, result: AsyncResult, timeout: float | None = None, **options: Any) -> Any:
    """Waits for a result, and looks for it each second.

    Celery's client looks once, and then listens. What is announced in between it never hears: of some 3,000 results that
    come quickly, one.
    """
    end = time.monotonic() + timeout if timeout is not None else float("inf")
    while True:
        left = end - time.monotonic()
        try:
            return wait_once(backend, result, timeout=max(0.0, min(1.0, left)), **options)
        except Late:
            if left <= 1.0:
                raise


AsyncBackendMixin.wait_for_pending = wait_and_look_again


class Gate:
    """Holds `demo.gate` tasks until it is opened, and knows which have started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def args(self, name: str) -> tuple[str, str]:
        """The arguments of a task that waits here."""
        return str(self.folder), name

    def started(self) -> list[str]:
        """The names of those that have started, in that order."""
        starts = self.folder / "started"
        return starts.read_text().split() if starts.exists() else []

    def open(self) -> None:
        """Lets them end."""
        (self.folder / "open").touch()


class Client:
    """A Celery client program."""

    def __init__(self, app: Celery) -> None:
        self.app = app

    def task(self, name: str) -> Task:
        """The task `demo.<name>`, to be called by `delay` and `apply_async`."""
        return tasks.task(self.app, name)

    def sig(
        self, name: str, *args: Any, queue: str = "serve", immutable: bool = False, kwargs: Any = None, **options: Any
    ) -> Signature:
        """A call of the task `demo.<name>`, to be put into a canvas."""
        return self.task(name).signature(args, kwargs, immutable=immutable, queue=queue, **options)

    def send(self, name: str, *args: Any, queue: str = "celery", **options: Any) -> AsyncResult:
        """Sends a task of any name."""
        return self.app.send_task(name, args, queue=queue, **options)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        # A result that has no value yet unsubscribes when it is forgotten, which needs a server that is still there;
        # and the app holds those for which somebody has waited in vain.
        for waiting in self.app.backend._pending_results:
            waiting.clear()
        gc.collect()
        self.app.close()
