"""The resources that a test gives to `petiole dev`."""

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
    """A WorkerPool. `petiole dev` runs the commands on this machine, so its image is never looked at."""
    spec = {"image": "none", "queues": [{"taskQueue": queue} for queue in queues], **spec}
    return {"apiVersion": API_VERSION, "kind": "WorkerPool", "metadata": {"name": name}, "spec": spec}


def write(path: Path, resources: Iterable[dict[str, Any]]) -> Path:
    """Writes them as a stream of YAML documents (JSON is YAML, and needs no library)."""
    path.write_text("".join(f"---\n{json.dumps(resource, indent=2)}\n" for resource in resources))
    return path
