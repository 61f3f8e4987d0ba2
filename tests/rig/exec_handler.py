"""A process of mode Exec: runs the body that its request names, prints its value, reports its exception.

Only Python's own library: a process starts without site packages.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rig import word


def work(bodies: Mapping[str, Callable[..., Any]]) -> int:
    """Runs the one task of this process and returns its exit code."""
    request = json.load(sys.stdin)
    try:
        added: list[Mapping[str, Any]] = []
        task = word.Task(request, progress, added.append)
        print(json.dumps(word.call(bodies[request["task"]], task, request["args"], request["kwargs"])))
        if added:
            report({"add_to_chord": added})
        return 0
    except word.Word as said:
        return report({**said.members, **({"error": failure(said.error)} if said.error else {})})
    except Exception as error:
        return report({"error": failure(error)})


def progress(state: str, meta: Any) -> None:
    """Says how far the task is."""
    with Path(os.environ["PETIOLE_PROGRESS"]).open("w") as pipe:
        pipe.write(json.dumps({"state": state, "meta": meta}) + "\n")


def failure(error: Exception) -> dict[str, str]:
    """What went wrong."""
    return {
        "type": type(error).__name__,
        "message": str(error),
        "module": type(error).__module__,
        "traceback": traceback.format_exc(),
    }


def report(told: dict[str, Any]) -> int:
    """Writes the report file and returns the exit code."""
    Path(os.environ["PETIOLE_RESULT"]).write_text(json.dumps(told))
    return 1
