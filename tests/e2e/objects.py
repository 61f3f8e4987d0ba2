"""The objects that the tests apply."""

from typing import Any

from rig.manifests import restricted, task_queue, worker_pool
from rig.release import image

IMAGE = image("e2e")
PYTHON_IMAGE = image("e2e-python")
CELERY_IMAGE = image("e2e-celery")

#: The tasks, as a user writes them.
TASKS: list[dict[str, Any]] = [
    {"name": "e2e.echo", "command": ["echo", "$(args[0])"], "result": "text"},
    {"name": "e2e.fail", "command": ["sh", "-c", "echo it went wrong >&2; exit 3"]},
    {"name": "e2e.gate", "command": ["gate", "$(args[0])", "$(args[1])"], "result": "text"},
    # tail keeps a line in memory until it ends, and this one does not.
    {"name": "e2e.eat", "command": ["tail", "/dev/zero"], "result": "none"},
]


def queue(name: str, address: str = "petiole-redis:6379", **broker: Any) -> dict[str, Any]:
    """A TaskQueue on the chart's Redis."""
    return task_queue(
        name,
        "",
        broker={"url": f"redis://{address}/0", **broker},
        results={"url": f"redis://{address}/1", **broker},
    )


def pool(name: str, redis: str, version: str = "1", **spec: Any) -> dict[str, Any]:
    """A WorkerPool of mode Exec that serves the queue of its name."""
    env = [{"name": "REDIS", "value": redis}, {"name": "VERSION", "value": version}]
    template = restricted(IMAGE, env=env, resources={"limits": {"memory": "64Mi"}})
    wanted = {"replicas": 2, "concurrency": 2, "tasks": TASKS, "drain": {"gracePeriod": "60s"}, **spec}
    return worker_pool(name, [name], image=None, template=template, **wanted)


def scaled_pool(name: str, redis: str, **spec: Any) -> dict[str, Any]:
    """A WorkerPool of mode Exec that scales itself, with a task in each pod."""
    return pool(name, redis, **{"replicas": 1, "concurrency": 1, **spec})


def serve_pool(name: str, _redis: str, **spec: Any) -> dict[str, Any]:
    """A WorkerPool of mode Serve with the handler of docs/task-contract.md that serves the queue of its name."""
    serve = {"command": ["python3", "/app/handler.py"]}
    wanted = {"replicas": 1, "concurrency": 2, "mode": "Serve", "serve": serve, **spec}
    return worker_pool(name, [name], image=None, template=restricted(PYTHON_IMAGE), **wanted)


def celery_pool(name: str, redis: str, env: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A WorkerPool of mode Celery, with a task in each pod, that serves the queue of its name."""
    urls = {"CELERY_BROKER_URL": f"redis://{redis}:6379/0", "CELERY_RESULT_BACKEND": f"redis://{redis}:6379/1"}
    variables = {**urls, "REDIS": redis, **(env or {})}
    template = restricted(CELERY_IMAGE, env=[{"name": each, "value": value} for each, value in variables.items()])
    celery = {"app": "e2e", "command": ["python3", "-m", "celery"], **spec.pop("celery", {})}
    wanted = {"replicas": 1, "concurrency": 1, "mode": "Celery", "celery": celery, "drain": {"gracePeriod": "60s"}, **spec}
    return worker_pool(name, [name], image=None, template=template, **wanted)
