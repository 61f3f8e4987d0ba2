"""What the faults are done to: workers by their processes. A cluster is another target with the same verbs."""

import os
import signal
from dataclasses import dataclass
from typing import Protocol

import psutil
from rig.dev import PetioleDev


@dataclass(frozen=True)
class Victim:
    """A worker, and the runner by which the journal knows its attempts."""

    name: str
    worker: int
    runner: int


class Target(Protocol):
    """Where the workers run."""

    def victims(self) -> list[Victim]:
        """The workers that live now."""

    def kill(self, victim: Victim) -> None:
        """Ends a worker without a word."""

    def pause(self, victim: Victim) -> None:
        """Stops a worker so that it knows nothing of it."""

    def resume(self, victim: Victim) -> None:
        """Lets it go on."""


def runs(pid: int) -> bool:
    """Whether a process lives: the state file may not know yet that it was killed."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Dev:
    """Workers of `petiole dev` on this machine."""

    def __init__(self, dev: PetioleDev) -> None:
        self.dev = dev

    def victims(self) -> list[Victim]:
        """Those whose processes run."""
        return [
            Victim(f"{replica.pool} {replica.worker}", replica.worker, replica.runner)
            for replica in self.dev.replicas()
            if replica.worker and replica.runner and runs(replica.worker)
        ]

    def kill(self, victim: Victim) -> None:
        """SIGKILL."""
        os.kill(victim.worker, signal.SIGKILL)

    def pause(self, victim: Victim) -> None:
        """SIGSTOP."""
        os.kill(victim.worker, signal.SIGSTOP)

    def resume(self, victim: Victim) -> None:
        """SIGCONT."""
        os.kill(victim.worker, signal.SIGCONT)
