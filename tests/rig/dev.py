"""`petiole dev`, started with resources, and what its state file says of its workers."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from platform import machine
from typing import Any

from rig import manifests
from rig.processes import Process
from rig.waiting import until

ROOT = Path(__file__).resolve().parents[2]


def binary(name: str) -> Path:
    """A program of ours: from `PETIOLE_BIN_DIR`, or what `make build` has made, or the debug build."""
    named = os.environ.get("PETIOLE_BIN_DIR")
    folders = (
        [Path(named)] if named else [ROOT / f"target/{machine()}-unknown-linux-gnu/release", ROOT / "target/debug"]
    )
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"no {name} in {looked}: run `make build`, or set PETIOLE_BIN_DIR")


@dataclass(frozen=True)
class Replica:
    """What stands for a pod of a pool: a worker and the runner of its tasks, those that run now."""

    pool: str
    worker: int | None
    runner: int | None
    ready: bool


class PetioleDev:
    """`petiole dev` on some resources."""

    def __init__(self, folder: Path, resources: Iterable[dict[str, Any]], *options: str, ready: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.state_file = folder / "state.json"
        # A state file of an earlier run in this folder would speak of processes that are gone.
        self.state_file.unlink(missing_ok=True)
        file = manifests.write(folder / "resources.yaml", resources)
        command = [binary("petiole"), "dev", "-f", file, "--state-file", self.state_file, *options]
        # What it keeps for itself goes away with the folder, however it ends.
        self.process = Process(command, folder / "dev.log", env={"TMPDIR": str(folder)})
        if ready:
            self.process.be_ready(self.wait_ready)

    def replicas(self) -> list[Replica]:
        """Its workers, as its state file has them now."""
        return [
            Replica(pool["name"], replica["worker"], replica["runner"], replica["ready"])
            for pool in self.state()["pools"]
            for replica in pool["replicas"]
        ]

    def state(self) -> dict[str, Any]:
        """The state file."""
        try:
            return json.loads(self.state_file.read_text())
        except FileNotFoundError:
            return {"pools": []}

    def wait_ready(self, within: float = 30.0) -> None:
        """Waits until all workers are ready."""

        def ready() -> bool:
            if not self.process.alive():
                raise RuntimeError(f"petiole dev ended with {self.process.wait()}:\n{self.process.output()}")
            replicas = self.replicas()
            return bool(replicas) and all(replica.ready for replica in replicas)

        until("all workers of petiole dev are ready", ready, within)

    def stop(self, within: float = 30.0) -> int:
        """Ends it as Ctrl-C does: running tasks end, the others go back. Returns its exit code."""
        return self.process.stop(within=within)

    def __enter__(self) -> "PetioleDev":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
