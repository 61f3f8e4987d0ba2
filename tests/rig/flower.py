"""Flower, Celery's monitor, beside the workers of a test."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from sys import executable
from typing import Any

from rig.processes import Process
from rig.waiting import until


@dataclass(frozen=True)
class Answer:
    """What Flower says to a request."""

    status: int
    text: str

    def json(self) -> Any:
        """The same, read."""
        return json.loads(self.text)


class Flower:
    """`celery flower` on an app of this repository."""

    def __init__(self, folder: Path, app: str, env: Mapping[str, str], path: Iterable[Path]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        places = ":".join(str(place) for place in path)
        self.process = Process(
            [executable, "-m", "celery", "-A", app, "flower", "--address=127.0.0.1", "--port=0"],
            folder / "flower.log",
            # Nobody but the test can reach it.
            env={"PYTHONPATH": places, "FLOWER_UNAUTHENTICATED_API": "true", **env},
            cwd=folder,
        )
        self.url = ""
        self.process.be_ready(self.wait_ready)

    def wait_ready(self, within: float = 30.0) -> None:
        """Waits until it has said where it is, and answers there."""

        def place() -> re.Match[str] | None:
            if not self.process.alive():
                raise RuntimeError(f"flower ended with {self.process.wait()}:\n{self.process.output()}")
            return re.search(r"Visit me at (http://\S+)", self.process.output())

        self.url = until("Flower says where it is", place, within).group(1).rstrip("/")
        until("Flower answers", lambda: self.get("/healthcheck").text == "OK", within)

    def get(self, page: str, **query: Any) -> Answer:
        """Asks for a page."""
        return self._ask("GET", page, query)

    def post(self, page: str, body: Any = None, **query: Any) -> Answer:
        """Presses a button, or sends a task."""
        return self._ask("POST", page, query, json.dumps(body if body is not None else {}).encode())

    def _ask(self, method: str, page: str, query: Mapping[str, Any], body: bytes | None = None) -> Answer:
        asked = f"?{urllib.parse.urlencode(query)}" if query else ""
        request = urllib.request.Request(f"{self.url}{page}{asked}", body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return Answer(response.status, response.read().decode())
        except urllib.error.HTTPError as refused:
            return Answer(refused.code, refused.read().decode())

    def __enter__(self) -> "Flower":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
