"""Stock Celery workers beside ours: started, killed, started again."""

from dataclasses import dataclass
from pathlib import Path

from rig.celery_worker import CeleryWorker

HANDLERS = Path(__file__).parent / "handlers"
#: What stands before a Celery worker's name in the journal.
PREFIX = "celery-"
#: When each of them acknowledges a message.
ACKS = ("early", "late")
CONCURRENCY = 2


def is_peer(runner: str) -> bool:
    """Whether an attempt was one of a Celery worker."""
    return runner.startswith(PREFIX)


@dataclass
class Peer:
    """A place for a Celery worker, and the worker that runs there now."""

    acks: str
    queue: str
    folder: Path
    env: dict[str, str]
    life: int = 0
    worker: CeleryWorker | None = None

    @property
    def name(self) -> str:
        """Its present life's name in the journal."""
        return f"{PREFIX}{self.acks}-{self.life}"

    def start(self) -> None:
        """Starts it. It takes tasks some seconds later."""
        self.life += 1
        env = {**self.env, "LEDGER_ACKS": self.acks, "LEDGER_RUNNER": self.name}
        options = ("--concurrency", str(CONCURRENCY))
        where = {"name": self.name, "queues": [self.queue], "env": env, "path": [HANDLERS]}
        self.worker = CeleryWorker(self.folder, "stock", *options, **where, ready=False)

    def kill(self) -> str:
        """SIGKILL for it and its children, as when its container is killed. Returns its name."""
        assert self.worker is not None
        self.worker.kill()
        return self.name

    def takes_tasks(self) -> bool:
        """Whether it has got so far."""
        return self.worker is not None and " ready." in self.worker.process.output()


class Peers:
    """All of them."""

    def __init__(self, folder: Path, queue: str, url: str, book: Path, visibility_timeout: int) -> None:
        env = {
            "LEDGER_BROKER": url,
            "LEDGER_JOURNAL": str(book),
            "LEDGER_VISIBILITY_TIMEOUT": str(visibility_timeout),
        }
        self.peers = [Peer(acks, queue, folder, env) for acks in ACKS]
        for peer in self.peers:
            peer.start()

    def victims(self) -> list[Peer]:
        """Those that take tasks."""
        return [peer for peer in self.peers if peer.takes_tasks()]

    def __enter__(self) -> "Peers":
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self.peers:
            peer.kill()
