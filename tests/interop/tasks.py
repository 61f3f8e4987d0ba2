"""An ordinary Celery program: the client of every test, and the worker that Petiole is held against."""

import json
import os
from typing import Any

import bodies
import words
from celery import Celery, Task
from rig.word import is_bound

RESULT_EXPIRES = 3600
#: The forms of messages that workers take. The client writes what it likes.
ACCEPT = ["json", "yaml", "msgpack"]

#: What is not Celery's default for a task, on both sides.
OPTIONS: dict[str, dict[str, Any]] = {
    "demo.tracked": {"track_started": True},
    "demo.early": {"acks_late": False},
    "demo.silent": {"ignore_result": True},
    "demo.limited": {"time_limit": 1},
    "demo.softly": {"soft_time_limit": 1},
}


def make_app(url: str, **conf: Any) -> Celery:
    """An app whose broker and result store are `url`."""
    app = Celery("interop", broker=url, backend=url)
    app.conf.update(
        result_expires=RESULT_EXPIRES,
        # Petiole acknowledges late unless it is told otherwise.
        task_acks_late=True,
        **{"accept_content": ACCEPT, **conf},
    )
    for name, body in bodies.BODIES.items():
        run = words.in_celery(body) if is_bound(body) else body
        app.task(run, name=name, bind=is_bound(body), **OPTIONS.get(name, {}))
    app.finalize()
    return app


def task(app: Celery, name: str) -> Task:
    """The task `demo.<name>` of this app."""
    return app.tasks[f"demo.{name}"]


# The worker's entry: `celery -A tasks worker`.
if os.environ.get("INTEROP_BROKER"):
    app = make_app(
        os.environ["INTEROP_BROKER"],
        worker_prefetch_multiplier=1,
        # What a test of its own settings asks for.
        **json.loads(os.environ.get("INTEROP_CONF", "{}")),
        broker_transport_options={
            "visibility_timeout": int(os.environ.get("INTEROP_VISIBILITY_TIMEOUT", "3600")),
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        },
    )
