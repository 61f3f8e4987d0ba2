"""What processes cost: memory as the sum of their PSS, and CPU time."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

#: The processes of a side by the role they have in it.
Roles = Mapping[str, list[psutil.Process]]


def pss(pid: int) -> int:
    """A process' share of memory in bytes: its own pages, and its part of those that it shares with others."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def memory(processes: Iterable[psutil.Process]) -> int:
    """The sum over processes, in bytes."""
    return sum(pss(process.pid) for process in processes)


def cpu(processes: Iterable[psutil.Process]) -> float:
    """CPU time in seconds that processes have used so far, in user space and in the kernel."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def cpu_by_role(roles: Roles) -> dict[str, float]:
    """The same for each role."""
    return {role: cpu(processes) for role, processes in roles.items()}
