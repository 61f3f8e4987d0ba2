"""A redis-server of our own on a free port, in a folder of its own."""

import shutil
import signal
import socket
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rig.processes import Process
from rig.waiting import until

#: Seconds: while Redis loads or saves a large file it answers nobody.
PATIENCE = 60.0


def free_port() -> int:
    """A port that nobody listens on now. Somebody may take it before we do: see `RedisServer.start`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """Redis without snapshots; `durable` also keeps each write in a file before it is answered."""

    def __init__(self, folder: Path, durable: bool = False, dump: Path | None = None) -> None:
        self.folder = folder
        self.durable = durable
        self.port = 0
        folder.mkdir(parents=True, exist_ok=True)
        if dump:
            shutil.copyfile(dump, folder / "dump.rdb")
        self.start()

    @property
    def url(self) -> str:
        """Its address, as Celery and Petiole read it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def start(self) -> None:
        """Starts it, on the same port and with the same data when it ran before."""
        for _ in range(5):
            port = self.port or free_port()
            self.process = Process(self._command(port), self.folder / "redis.log")
            # A refused connection is an answer here, not something for the client to wait about.
            self.client = redis.Redis(port=port, retry=Retry(NoBackoff(), 0), socket_timeout=PATIENCE)
            alive = self.process.alive
            if until("redis-server answers", lambda: self._answers() or not alive(), PATIENCE) == "answers":
                self.port = port
                return
        raise RuntimeError(f"redis-server does not start: {self.process.output()}")

    def stop(self) -> None:
        """Stops it in order, as a restart by its operator would."""
        self.client.close()
        self.process.stop(signal.SIGTERM)

    def cut(self) -> int:
        """Cuts the connections of all clients and returns how many those were."""
        return int(self.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))

    def save(self) -> Path:
        """Writes all data into a file that another server can start from."""
        self.client.save()
        return self.folder / "dump.rdb"

    def _command(self, port: int) -> list[str]:
        # It is never made shorter, so that it tells all that was done.
        whole = ["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]
        durable = ["--appendonly", "yes", *whole] if self.durable else ["--appendonly", "no"]
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [*command, "--save", "", *durable]

    def _answers(self) -> str:
        try:
            # Refused while it still loads its data.
            self.client.ping()
            # Somebody else's Redis may have taken the port first.
            mine = self.client.info("server")["process_id"] == self.process.pid
            return "answers" if mine else ""
        except redis.RedisError:
            return ""

    def __enter__(self) -> "RedisServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.kill()
