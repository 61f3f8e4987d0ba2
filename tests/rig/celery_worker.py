"""A stock Celery worker."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from rig.processes import Process
from rig.waiting import until


class CeleryWorker:
    """`celery worker` on an app of this repository."""

    def __init__(
        self,
        folder: Path,
        app: str,
        *options: str,
        name: str = "stock",
        queues: Iterable[str] = ("celery",),
        env: Mapping[str, str] | None = None,
        path: Iterable[Path] = (),
        ready: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        places = ":".join(str(place) for place in path)
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "-n", f"{name}@%h", "-Q", ",".join(queues)]
        self.process = Process(
            [*command, "--loglevel", "INFO", *options],
            folder / f"{name}.log",
            # The worker runs as root on build machines, which is what Celery warns about on every start.
            env={"PYTHONPATH": places, "C_FORCE_ROOT": "1", **(env or {})},
            cwd=folder,
        )
        if ready:
            self.process.be_ready(self.wait_ready)

    def wait_ready(self, within: float = 30.0) -> None:
        """Waits for the line by which Celery says that it consumes."""

        def ready() -> bool:
            if not self.process.alive():
                raise RuntimeError(f"celery worker ended with {self.process.wait()}:\n{self.process.output()}")
            return " ready." in self.process.output()

        until("the Celery worker is ready", ready, within)

    def stop(self, within: float = 30.0) -> int:
        """Ends it by a warm shutdown and returns its exit code."""
        return self.process.stop(within=within)

    def kill(self) -> None:
        """Kills it and its children."""
        self.process.kill()

    def __enter__(self) -> "CeleryWorker":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
