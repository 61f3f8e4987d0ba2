"""The way from this machine to a Service of the cluster."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rig.kube import ENVIRONMENT, Namespace, in_use
from rig.redis_server import free_port


@contextmanager
def reached(namespace: Namespace, service: str, port: int) -> Iterator[tuple[str, int]]:
    """The address at which a Service answers here; it stays when the Service's pod does not."""
    if in_use() == "local":
        # kube-proxy runs on this machine.
        yield namespace.get("service", service)["spec"]["clusterIP"], port
        return
    forward = Forward(namespace, service, port)
    try:
        yield "127.0.0.1", forward.port
    finally:
        forward.end()


class Forward:
    """`kubectl port-forward`, again whenever it ends, as it does with the pod that it leads to."""

    def __init__(self, namespace: Namespace, service: str, port: int) -> None:
        self.port = free_port()
        here = ("--namespace", namespace.name, "--address", "127.0.0.1")
        self.command = ["kubectl", "port-forward", *here, f"service/{service}", f"{self.port}:{port}"]
        self.ending = threading.Event()
        self.kubectl = self._start()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def end(self) -> None:
        """Ends it."""
        self.ending.set()
        self.kubectl.terminate()
        self.thread.join()

    def _start(self) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen(self.command, stdin=quiet, stdout=quiet, stderr=quiet, env=ENVIRONMENT)

    def _watch(self) -> None:
        while True:
            self.kubectl.wait()
            if self.ending.wait(0.5):
                return
            self.kubectl = self._start()
            if self.ending.is_set():
                self.kubectl.terminate()
