"""A handler of mode Serve that calls the tasks of a Celery app as Celery's worker does: with a request, and its words.

`retry`, `replace`, `add_to_chord`, `update_state`, `Ignore` and `Reject` become words of the task contract. What the
contract does not carry (the message's properties, and what of a workflow a task looks at in its request) is read from the
message itself, which is on the broker until its task has ended.
"""

import inspect
import json
import signal
import traceback
from typing import Any, NoReturn

import redis
from celery import Task
from celery._state import _task_stack
from celery.app.task import Context
from celery.app.trace import task_has_custom
from celery.exceptions import Ignore, NotRegistered, Reject, Retry, SoftTimeLimitExceeded
from celery.result import ResultBase
from celery.utils.serialization import get_pickleable_exception
from celery.worker.request import Request
from celery.worker.strategy import proto1_to_proto2
from kombu.utils import json as kombu_json
from rig.serve_handler import Handler
from suite_app import app

#: The hash in which Redis' transport keeps the messages that somebody has taken.
TAKEN = "unacked"
#: The parameters by which an errback says that it wants the failed task itself, and not its id.
MOURNS = ("request", "exc")


#: Celery's own, which knows what new arguments mean for the old ones.
celerys_retry = Task.retry


class Again(Retry):
    """The task asks for another attempt."""

    def __init__(self, arguments: list[Any], countdown: float | None) -> None:
        super().__init__()
        self.arguments = arguments
        self.asked = {"countdown": countdown}
        self.error: Exception | None = None


def next_attempt(
    _: Task, request: Context, args: Any = None, kwargs: Any = None, countdown: float | None = None, **_options: Any
) -> NoReturn:
    """`Task.signature_from_request`, where `Task.retry` makes the next attempt: a word of the contract."""
    raise Again([args, kwargs], countdown)


def retry(self: Task, *args: Any, exc: Exception | None = None, max_retries: int | None = None, **more: Any) -> NoReturn:
    """`Task.retry`."""
    try:
        celerys_retry(self, *args, exc=exc, max_retries=max_retries, **more)
    except Again as again:
        again.error = exc
        again.asked["max"] = self.max_retries if max_retries is None else max_retries
        again.asked = {name: value for name, value in again.asked.items() if value is not None}
        raise


class Replaced(Ignore):
    """The task wants another one in its place."""

    def __init__(self, signature: Any) -> None:
        super().__init__()
        self.signature = signature


def replace(_: Task, signature: Any) -> NoReturn:
    """`Task.replace`, as a word of the contract."""
    raise Replaced(signature)


class CeleryHandler(Handler):
    """Runs one task after another."""

    def __init__(self) -> None:
        super().__init__({})
        self.broker = redis.Redis.from_url(app.conf.broker_url)
        self.channel = app.connection_for_read().default_channel
        Task.retry = retry
        Task.signature_from_request = next_attempt
        Task.replace = replace
        Task.update_state = self.update_state
        Task.add_to_chord = self.add_to_chord

    def run(self, fields: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], Any]:
        """Runs one task."""
        try:
            if fields["task"] not in app.tasks:
                raise NotRegistered(fields["task"])
            task = app.tasks[fields["task"]]
            args, kwargs = kombu_json.loads(payload)
            request = self.request(task, fields, args, kwargs)
            with self.turn:
                self.current = fields["attempt"]
            try:
                return {}, self.call(task, request, fields["attempt"])
            finally:
                with self.turn:
                    self.current = None
        except Again as again:
            why = {"error": error(again.error, again)} if again.error else {}
            return {"retry": again.asked, **why}, plain(again.arguments)
        except Replaced as by:
            return {"replace": True}, plain(by.signature)
        except Ignore:
            return {"ignore": True}, None
        except Reject as reject:
            return {"reject": {"requeue": bool(reject.requeue)}}, None
        except Exception as failed:
            return {"error": error(failed)}, None

    def call(self, task: Task, request: Context, attempt: int) -> Any:
        """Calls the task's function as Celery's tracer does, and returns its value as JSON can have it."""
        function = task if task_has_custom(task, "__call__") else task.run
        args, kwargs = mourning(task, request.args), request.kwargs
        request.petiole_attempt = attempt
        _task_stack.push(task)
        task.request_stack.push(request)
        try:
            value = function(*args, **kwargs)
        finally:
            task.request_stack.pop()
            _task_stack.pop()
        value = value.as_tuple() if isinstance(value, ResultBase) else value
        return plain(value)

    def request(self, task: Task, fields: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> Context:
        """What the task sees as `self.request`."""
        known = self.of_message(task, fields["id"]) or {
            **{name: fields.get(name) for name in ("id", "root_id", "parent_id", "headers")},
            "retries": fields.get("retries", 0),
            "delivery_info": {"exchange": "", "routing_key": "celery", "priority": 0},
        }
        known["delivery_info"]["redelivered"] = fields.get("redelivered", False)
        return Context(known, args=args, kwargs=kwargs, called_directly=False, is_eager=False)

    def of_message(self, task: Task, task_id: str) -> dict[str, Any] | None:
        """The same from the whole message, read as Celery's worker reads it; nothing of one that is acknowledged."""
        for taken in self.broker.hvals(TAKEN):
            message = self.channel.message_to_python(json.loads(taken)[0])
            if message.headers.get("id", message.properties.get("correlation_id")) != task_id:
                continue
            if "task" in message.headers:
                body, headers, decoded = message.body, message.headers, False
            else:
                body, headers, decoded, _ = proto1_to_proto2(message, message.payload)
            request = Request(message, app=app, task=task, body=body, headers=headers, decoded=decoded)
            _, _, embedded = body if decoded else message.payload
            return {**request.request_dict, **(embedded or {})}
        return None

    def add_to_chord(self, signature: Any) -> None:
        """`Task.add_to_chord` of the task that runs."""
        attempt = _task_stack.top.request.petiole_attempt
        self.connection.send("add_to_chord", {"attempt": attempt}, kombu_json.dumps(signature).encode())

    def update_state(self, task_id: str | None = None, state: str | None = None, meta: Any = None, **_: Any) -> None:
        """`Task.update_state` of the task that runs."""
        attempt = _task_stack.top.request.petiole_attempt
        self.connection.send("progress", {"attempt": attempt, "state": state}, kombu_json.dumps(meta).encode())


def plain(value: Any) -> Any:
    """The value as JSON can have it."""
    return json.loads(kombu_json.dumps(value))


def mourning(task: Task, args: list[Any]) -> list[Any]:
    """The arguments; of an errback in Celery's newer form with what the record of the failed task says."""
    if tuple(inspect.signature(task.run).parameters)[:2] != MOURNS:
        return args
    failed, *others = args
    result = app.AsyncResult(failed)
    return [Context(id=failed), result.result, result.traceback, *others]


def error(failed: BaseException, raised: BaseException | None = None) -> dict[str, Any]:
    """An exception as Celery's worker records it, with the traceback of the one that was raised for it."""
    exception = get_pickleable_exception(failed)
    recorded = app.backend.prepare_exception(exception)
    return {
        "type": recorded["exc_type"],
        "args": list(recorded["exc_message"]),
        "module": recorded["exc_module"],
        "traceback": "".join(traceback.format_exception(raised or failed)),
    }


def soft_limit(*_: Any) -> NoReturn:
    """The soft time limit, inside the task."""
    raise SoftTimeLimitExceeded


if __name__ == "__main__":
    # What `Handler` sends to the main thread to end a task.
    signal.signal(signal.SIGINT, soft_limit)
    CeleryHandler().work()
