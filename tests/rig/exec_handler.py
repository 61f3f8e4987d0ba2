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


def work(bodies: Mapping[str, Callable[..., Any]]) -> int:
    """Runs the one task of this process and returns its exit code."""
    request = json.load(sys.stdin)
    try:
        print(json.dumps(bodies[request["task"]](*request["args"], **request["kwargs"])))
        return 0
    except Exception as error:
        told = {
            "type": type(error).__name__,
            "message": str(error),
            "module": type(error).__module__,
            "traceback": traceback.format_exc(),
        }
        Path(os.environ["PETIOLE_RESULT"]).write_text(json.dumps({"error": told}))
        return 1
