"""A plugin of pytest: the suite's worker is one that runs already, in processes of its own.

The suite starts Celery's worker in a thread of its own process, by one function, and derives the worker's name.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import celery.contrib.testing.worker
from celery import Celery
from celery.result import _set_task_join_will_block
from celery.utils import nodenames

NODENAME = os.environ["SUITE_NODENAME"]


@contextmanager
def start_worker(app: Celery, **_: Any) -> Iterator[SimpleNamespace]:
    """Starts nothing; makes the app ready as the real one does."""
    celery.contrib.testing.worker.setup_app_for_worker(app, "error", None)
    _set_task_join_will_block(False)
    yield SimpleNamespace(app=app, hostname=NODENAME)


celery.contrib.testing.worker.start_worker = start_worker
nodenames.anon_nodename = lambda *_, **__: NODENAME
