"""The resources that a test gives to `petiole dev` or applies to a cluster."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

API_VERSION = "petiole.dev/v1alpha1"


def task_queue(name: str, url: str, **spec: Any) -> dict[str, Any]:
    """A TaskQueue whose broker and result store are one Redis."""
    spec = {"broker": {"url": url}, "results": {"url": url}, **spec}
    return {"apiVersion": API_VERSION, "kind": "TaskQueue", "metadata": {"name": name}, "spec": spec}


def worker_pool(name: str, queues: Iterable[str], **spec: Any) -> dict[str, Any]:
    """A WorkerPool. `petiole dev` runs the commands on this machine, so its image is never looked at.

    With a pod template that names the image write `image=None`.
    """
    spec = {"image": "none", "queues": [{"taskQueue": queue} for queue in queues], **spec}
    spec = {field: value for field, value in spec.items() if value is not None}
    return {"apiVersion": API_VERSION, "kind": "WorkerPool", "metadata": {"name": name}, "spec": spec}


def restricted(image: str, **container: Any) -> dict[str, Any]:
    """A pod template that Pod Security "restricted" takes, for an image that runs as another user than root."""
    task = {
        "name": "task",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **container,
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {"spec": {"securityContext": security, "containers": [task]}}


def write(path: Path, resources: Iterable[dict[str, Any]]) -> Path:
    """Writes them as a stream of YAML documents (JSON is YAML, and needs no library)."""
    path.write_text("".join(f"---\n{json.dumps(resource, indent=2)}\n" for resource in resources))
    return path
