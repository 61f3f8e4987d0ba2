"""What a task's own code may do beside returning a value: ask for another attempt, refuse its message, report progress.

A body that is `bound` gets the `Task` that it runs as, under the names that both modes of the contract have. Only
Python's own library: handlers start without site packages.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

Body = TypeVar("Body", bound=Callable[..., Any])
#: Says a state of the task's own, and its meta.
Report = Callable[[str, Any], None]
#: Adds a signature to the chord that the task is a part of.
Add = Callable[[Mapping[str, Any]], None]


class Word(Exception):
    """Ends an attempt without a result: `members` are those of a report file."""

    def __init__(self, members: dict[str, Any], error: Exception | None = None) -> None:
        super().__init__(members)
        self.members = members
        self.error = error


def framed(members: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """The same for a `result` frame: its members, and its payload, in which the task's own data stands."""
    retry = dict(members.get("retry", {}))
    args, kwargs = retry.pop("args", None), retry.pop("kwargs", None)
    if args is not None or kwargs is not None:
        return {**members, "retry": retry}, [args, kwargs]
    if "replace" in members:
        return {**members, "replace": True}, members["replace"]
    return dict(members), None


class Task:
    """The task that runs."""

    def __init__(self, request: Mapping[str, Any], report: Report, add: Add) -> None:
        self.id: str = request["id"]
        self.retries: int = request.get("retries", 0)
        self.root_id: str | None = request.get("root_id")
        self.parent_id: str | None = request.get("parent_id")
        self._headers: Mapping[str, Any] = request.get("headers") or {}
        self._report = report
        self.add_to_chord = add

    def header(self, name: str) -> Any:
        """What the client gave by this name in `headers=`."""
        return self._headers.get(name)

    def retry(
        self,
        error: Exception | None = None,
        countdown: float | None = None,
        limit: int | None = None,
        args: list[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> NoReturn:
        """Asks for another attempt, perhaps with other arguments."""
        asked = {"countdown": countdown, "max": limit, "args": args, "kwargs": kwargs}
        retry = {name: value for name, value in asked.items() if value is not None}
        raise Word({"retry": retry}, error) from error

    def reject(self, requeue: bool) -> NoReturn:
        """Refuses the message."""
        raise Word({"reject": {"requeue": requeue}})

    def ignore(self) -> NoReturn:
        """Ends with nothing recorded."""
        raise Word({"ignore": True})

    def replace(self, signature: Mapping[str, Any]) -> NoReturn:
        """Has a signature run in its place."""
        raise Word({"replace": signature})

    def progress(self, state: str, meta: Any) -> None:
        """Says how far it is."""
        self._report(state, meta)


def bound(body: Body) -> Body:
    """Marks a body whose first argument is its `Task`."""
    body.__dict__["bound"] = True
    return body


def is_bound(body: Callable[..., Any]) -> bool:
    """Whether it is marked."""
    return getattr(body, "bound", False)


def call(body: Callable[..., Any], task: Task, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Runs a body, with its task when it wants that."""
    return body(task, *args, **kwargs) if is_bound(body) else body(*args, **kwargs)
