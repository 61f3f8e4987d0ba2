"""A pool of mode Serve with the handler that docs/task-contract.md shows, as it stands there."""

from collections.abc import Callable

import objects
import pytest
from celery.exceptions import WorkerLostError
from conftest import Client, pods, wait_ready
from rig.kube import Namespace
from rig.waiting import until

WITHIN = 60

#: Python, run in the task's container: kills the handlers, which are those that have the program in their command line.
KILL_HANDLERS = """
import os, signal
from pathlib import Path
for folder in Path("/proc").glob("[0-9]*"):
    if b"/app/handler.py" in (folder / "cmdline").read_bytes().split(b"\\0")[1:]:
        os.kill(int(folder.name), signal.SIGKILL)
        print(folder.name)
"""


def test_a_handler_that_is_killed_loses_its_task_and_is_there_again(
    namespace: Namespace, client: Client, make_pool: Callable[..., str]
) -> None:
    pool = make_pool(objects.serve_pool, replicas=1)
    assert client.send_task(pool, "demo.add", 2, 3).get(timeout=WITHIN) == 5
    (pod,) = pods(namespace, pool)
    napping = client.send_task(pool, "demo.nap", 300)
    until("the task runs", lambda: "napping" in namespace.kubectl("logs", pod, "--container", "task"), WITHIN)
    killed = namespace.kubectl("exec", pod, "--container", "task", "--", "python3", "-c", KILL_HANDLERS).split()
    assert len(killed) == 2
    with pytest.raises(WorkerLostError):
        napping.get(timeout=WITHIN)
    sums = [client.send_task(pool, "demo.add", number, number) for number in range(20)]
    assert [each.get(timeout=WITHIN) for each in sums] == [2 * number for number in range(20)]
    # It is the handler that was started again, not the container.
    wait_ready(namespace, pool, 1)
    assert pods(namespace, pool) == [pod]
    statuses = namespace.get("pod", pod)["status"]["containerStatuses"]
    assert [each["restartCount"] for each in statuses] == [0] * len(statuses)
