"""Watches objects of the cluster: what happens is known when the API server says so, not when somebody asks."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from rig import kube
from rig.kube import ENVIRONMENT

#: Takes what happened (ADDED, MODIFIED, DELETED), the object, and when this was heard, by the monotonic clock.
See = Callable[[str, dict[str, Any], float], None]
#: Seconds after which a server ends a watch by itself, long after any test.
LONG = 3600


class Watch:
    """A watch of a list, such as `/api/v1/namespaces/NAME/pods`. What is there at its start is ADDED first.

    A server may end a watch at any time. Then the list is read again, and what has happened between is told late.
    """

    def __init__(self, path: str, see: See) -> None:
        self.path, self.see = path, see
        #: What is there, by uid.
        self.known: dict[str, dict[str, Any]] = {}
        self.kubectl: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()
        self.ending = threading.Event()
        #: Why nothing is heard any more: an error, which is raised at the end.
        self.failed: Exception | None = None
        self.since = self._list()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self.lock:
            self.ending.set()
            if self.kubectl:
                self.kubectl.terminate()
        self.thread.join()
        if self.failed and not kind:
            raise RuntimeError(f"the watch of {self.path} has failed: not all was heard") from self.failed

    def _run(self) -> None:
        try:
            while not self.ending.is_set():
                ended = self._listen()
                if self.ending.is_set():
                    return
                print(f"the watch of {self.path} has ended ({ended}): it begins again", file=sys.stderr, flush=True)
                self.since = self._list()
        except Exception as error:
            self.failed = error
            print(f"the watch of {self.path} has failed: {error}", file=sys.stderr, flush=True)

    def _list(self) -> str:
        """Reads the list, tells how it differs from what is known, and returns its version."""
        found = json.loads(kube.run("kubectl", "get", "--raw", self.path))
        here = {each["metadata"]["uid"]: each for each in found["items"]}
        for uid in self.known.keys() - here.keys():
            self._tell("DELETED", self.known[uid])
        for uid, each in here.items():
            self._tell("MODIFIED" if uid in self.known else "ADDED", each)
        return found["metadata"]["resourceVersion"]

    def _listen(self) -> str:
        """Tells what happens until the watch ends, and returns why it has."""
        query = f"watch=true&timeoutSeconds={LONG}&resourceVersion={self.since}"
        command = ["kubectl", "get", "--raw", f"{self.path}?{query}"]
        with self.lock:
            if self.ending.is_set():
                return ""
            self.kubectl = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=ENVIRONMENT)
        assert self.kubectl.stdout
        error = next((each["object"] for each in self._events(self.kubectl.stdout) if each["type"] == "ERROR"), None)
        # Of one that has said an error nothing more is wanted.
        self.kubectl.terminate()
        status = self.kubectl.wait()
        return str(error.get("message")) if error else f"kubectl exits with {status}"

    def _events(self, lines: Any) -> Iterator[dict[str, Any]]:
        for line in lines:
            event = json.loads(line)
            if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                self._tell(event["type"], event["object"])
            yield event

    def _tell(self, happened: str, found: dict[str, Any]) -> None:
        uid = found["metadata"]["uid"]
        if happened == "DELETED":
            self.known.pop(uid, None)
        else:
            self.known[uid] = found
        self.see(happened, found, time.monotonic())


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod takes work, and is not about to end."""
    conditions = {each["type"]: each["status"] for each in pod.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
