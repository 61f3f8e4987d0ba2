"""The workers of the ledger's pools on a cluster, by their pods, and what is done to them."""

import contextlib

import psutil
from rig.kube import Namespace
from rig.watching import is_ready

#: A worker's container in a pod that it belongs to.
PROGRAM = "petiole-worker"
SELECTOR = "petiole.dev/pool"


class Pods:
    """The pods of all pools of a namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace

    def ready(self) -> list[str]:
        """The names of those that take tasks."""
        return [pod["metadata"]["name"] for pod in self.namespace.all("pods", SELECTOR) if is_ready(pod)]

    def delete(self, pod: str) -> None:
        """Takes it out of the cluster at once; the kubelet ends its containers when it hears of it."""
        self.namespace.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")

    def kill_worker(self, pod: str) -> None:
        """SIGKILL for the worker's process, from outside of its container. The container is started again."""
        for process in psutil.process_iter(["name"]):
            # One that has just ended has no environment any more.
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if process.info["name"] == PROGRAM and process.environ().get("HOSTNAME") == pod:
                    process.kill()
                    return
        raise RuntimeError(f"no process {PROGRAM} of pod {pod} is on this machine: is the cluster elsewhere?")
