"""Workers that a module has for itself, with settings that the shared ones do not have."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rig.celery_worker import CeleryWorker
from rig.dev import PetioleDev
from rig.redis_server import RedisServer

HERE = Path(__file__).parent


@contextmanager
def workers(
    against: str,
    redis: RedisServer,
    resources: Sequence[dict[str, Any]],
    conf: dict[str, Any],
    *options: str,
    queues: Sequence[str] = ("celery", "serve"),
    app: str = "tasks",
) -> Iterator[None]:
    """Petiole's by resources, or Celery's by the settings that are the same there."""
    if against == "petiole":
        with PetioleDev(redis.folder / "dev", resources):
            yield
        return
    env = {"INTEROP_BROKER": redis.url, "INTEROP_CONF": json.dumps(conf)}
    places = [HERE, HERE.parent]
    options = ("--concurrency", "4", *options)
    with CeleryWorker(redis.folder, app, *options, name="own", queues=queues, env=env, path=places):
        yield


@contextmanager
def redis(scratch: Path, name: str) -> Iterator[RedisServer]:
    """A Redis that no other module uses."""
    with RedisServer(scratch / name) as server:
        yield server
