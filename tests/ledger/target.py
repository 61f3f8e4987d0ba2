"""What the faults of `kill-redis` are done to: workers by their processes."""

import os
import signal
import sys
from dataclasses import dataclass

import psutil
from rig.dev import PetioleDev


@dataclass(frozen=True)
class Victim:
    """A worker, and the runner by which the journal knows its attempts."""

    name: str
    worker: int
    runner: str


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
            Victim(f"{replica.pool} {replica.worker}", replica.worker, str(replica.runner))
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

    def stop(self) -> None:
        """Ends all of it as Ctrl-C does, and tells when that was no clean end."""
        code = self.dev.stop()
        if code != 0:
            print(f"petiole dev ended with {code}", file=sys.stderr)
