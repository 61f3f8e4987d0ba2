"""Watches objects of the cluster: what happens is known when the API server says so, not when somebody asks."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from rig.kube import ENVIRONMENT

#: Takes what happened (ADDED, MODIFIED, DELETED), the object, and when this was heard, by the monotonic clock.
See = Callable[[str, dict[str, Any], float], None]


class Watch:
    """A watch of a list, such as `/api/v1/namespaces/NAME/pods`. What is there at its start is ADDED first."""

    def __init__(self, path: str, see: See) -> None:
        command = ["kubectl", "get", "--raw", f"{path}?watch=true"]
        # What it complains of is for whoever looks on.
        self.kubectl = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=ENVIRONMENT)
        self.see = see
        #: Whether the watch has ended by itself: what was heard is not all then.
        self.broken = False
        self.ending = False
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self.ending = True
        self.kubectl.terminate()
        self.thread.join()
        self.kubectl.wait()

    def _listen(self) -> None:
        assert self.kubectl.stdout
        for line in self.kubectl.stdout:
            event = json.loads(line)
            if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                self.see(event["type"], event["object"], time.monotonic())
        self.broken = not self.ending


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod takes work, and is not about to end."""
    conditions = {each["type"]: each["status"] for each in pod.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
