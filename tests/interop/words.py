"""How a body that wants its task is written as a Celery task."""

import functools
from collections.abc import Callable
from typing import Any, NoReturn

from celery import Task
from celery.canvas import maybe_signature
from celery.exceptions import Ignore, Reject


class Words:
    """What `rig.word.Task` is to Petiole's handlers."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.id = task.request.id
        self.retries = task.request.retries
        self.root_id = task.request.root_id
        self.parent_id = task.request.parent_id

    def header(self, name: str) -> Any:
        """What the client gave by this name in `headers=`."""
        return self._task.request.get(name)

    def retry(
        self,
        error: Exception | None = None,
        countdown: float | None = None,
        limit: int | None = None,
        args: list[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> NoReturn:
        """Asks for another attempt, perhaps with other arguments."""
        raise self._task.retry(args, kwargs, error, countdown=countdown, max_retries=limit)

    def reject(self, requeue: bool) -> NoReturn:
        """Refuses the message."""
        raise Reject("refused by the task", requeue=requeue)

    def ignore(self) -> NoReturn:
        """Ends with nothing recorded."""
        raise Ignore

    def replace(self, signature: Any) -> NoReturn:
        """Has a signature run in its place."""
        raise self._task.replace(maybe_signature(signature, self._task.app))

    def add_to_chord(self, signature: Any) -> None:
        """Adds a signature to the chord that the task is a part of."""
        self._task.add_to_chord(maybe_signature(signature, self._task.app))

    def progress(self, state: str, meta: Any) -> None:
        """Says how far it is."""
        self._task.update_state(state=state, meta=meta)


@functools.cache
def in_celery(body: Callable[..., Any]) -> Callable[..., Any]:
    """The body as the function of a task with `bind=True`; one for all apps, which share their tasks."""

    def run(self: Task, *args: Any, **kwargs: Any) -> Any:
        return body(Words(self), *args, **kwargs)

    run.__name__ = body.__name__
    return run
