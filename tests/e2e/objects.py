"""The objects that the tests apply."""

from typing import Any

from rig.manifests import task_queue, worker_pool

IMAGE = "localhost/petiole-e2e:1"

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
    """A WorkerPool that serves the queue of its name, in pods that Pod Security "restricted" takes."""
    task = {
        "name": "task",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "REDIS", "value": redis}, {"name": "VERSION", "value": version}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"limits": {"memory": "64Mi"}},
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    template = {"spec": {"securityContext": security, "containers": [task]}}
    wanted = {"replicas": 2, "concurrency": 2, "tasks": TASKS, "drain": {"gracePeriod": "60s"}, **spec}
    made = worker_pool(name, [name], template=template, **wanted)
    del made["spec"]["image"]
    return made
