"""What a task of the ledger does: it takes its time, and enters its start and its end into the journal.

The journal is a plain file to which each process appends whole lines, so that it knows of every start even where
Redis, the worker or the runner know nothing of it. Times are of the machine's monotonic clock, which all processes
share. Lines: `start TIME ID TOKEN RUNNER`, `alive TIME ID TOKEN`, `end TIME ID TOKEN`.
"""

import os
import time

#: A task that runs longer than this says that it lives, so that a task which outlives its lease is seen.
SIGN_EVERY = 0.1


class Book:
    """The journal, from the side of a task."""

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def enter(self, kind: str, *words: object) -> None:
        """Appends a line. One write of this length is never mixed with another's."""
        line = " ".join(str(word) for word in (kind, f"{time.monotonic():.6f}", *words))
        os.write(self.file, f"{line}\n".encode())

    def work(self, task_id: str, seconds: float) -> str:
        """Runs a task. Its value is the token of this attempt, so that the record tells whose result it holds."""
        token = f"{os.getpid()}-{time.monotonic_ns()}"
        # The parent is the runner, by which the reader knows the worker.
        self.enter("start", task_id, token, os.getppid())
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SIGN_EVERY))
            if left > SIGN_EVERY:
                self.enter("alive", task_id, token)
        self.enter("end", task_id, token)
        return token
