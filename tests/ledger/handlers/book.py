"""What a task of the ledger does: it takes its time, and enters its start and its end into the journal.

Each process appends whole lines to the journal by itself, so that it knows of every start even where the broker, the
worker or the runner know nothing of it. Times are of the machine's monotonic clock, which all processes share, those in
pods too. Lines: `start TIME ID TOKEN RUNNER`, `alive TIME ID TOKEN`, `end TIME ID TOKEN`.
"""

import os
import time
from collections.abc import Callable

#: A task that runs longer than this says that it lives, so that a task which outlives its lease is seen.
SIGN_EVERY = 0.1


class Book:
    """The journal, from the side of a task."""

    def __init__(self, append: Callable[[str], None]) -> None:
        self.append = append
        # By the runner the reader knows the worker. Each pod's is process 1, and the pod is named by its template.
        self.runner = os.environ.get("LEDGER_RUNNER") or str(os.getppid())

    def enter(self, kind: str, *words: object) -> None:
        """Appends a line."""
        self.append(" ".join(str(word) for word in (kind, f"{time.monotonic():.6f}", *words)))

    def work(self, task_id: str, seconds: float) -> str:
        """Runs a task. Its value is the token of this attempt, so that the record tells whose result it holds."""
        token = f"{self.runner}-{os.getpid()}-{time.monotonic_ns()}"
        self.enter("start", task_id, token, self.runner)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SIGN_EVERY))
            if left > SIGN_EVERY:
                self.enter("alive", task_id, token)
        self.enter("end", task_id, token)
        return token
