"""Starting processes and ending them, with all that they started, by their ids."""

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Makes this process the parent of what its children leave behind, so that nothing can get out of sight."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pid: int) -> list[psutil.Process]:
    """All that this process started, and what those started; nothing when it is gone."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def end(processes: Iterable[psutil.Process]) -> None:
    """Kills these processes and waits for their ends."""
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def end_leftovers() -> list[str]:
    """Kills what is left below this process and tells what it was: a test that leaves a process behind is wrong."""
    left = [process for process in descendants(os.getpid()) if process.status() != psutil.STATUS_ZOMBIE]
    told = [" ".join(process.cmdline()) or process.name() for process in left]
    end(left)
    return told


class Process:
    """A process of ours, with its output in a file."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                # Ctrl-C at the terminal is for the harness, which then ends what it started in its own order.
                start_new_session=True,
            )
        self.pid = self.popen.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.popen.poll() is None

    def be_ready(self, wait: Callable[[], object]) -> None:
        """Waits until it is ready; when that fails, ends it and shows what it has printed."""
        try:
            wait()
        except BaseException:
            self.kill()
            print(self.output())
            raise

    def output(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors="replace")

    def send(self, number: int) -> None:
        """Sends it a signal, if it still runs."""
        if self.alive():
            self.popen.send_signal(number)

    def wait(self, within: float = 30.0) -> int:
        """Waits for its end and returns its exit code."""
        return self.popen.wait(within)

    def stop(self, number: int = signal.SIGTERM, within: float = 30.0) -> int:
        """Asks it to end; an error, and the end of the whole tree, when it does not."""
        self.send(number)
        try:
            return self.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """Kills it and all that it started."""
        tree = descendants(self.pid)
        if self.alive():
            self.popen.kill()
            self.popen.wait()
        end(tree)
