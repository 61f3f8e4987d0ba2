"""The bench of many TaskQueues: what a thousand of them on one Redis cost one operator and the API server.

Each has work that changes all the time. The peer is the same operator with one.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle

import psutil
import redis
from figures import Compared, Figure, say
from gauge import cpu, memory
from rig import kube
from rig.kube import Namespace
from rig.manifests import task_queue
from rig.reach import reached
from rig.release import REDIS, installed
from rig.waiting import until

CPU = Figure("queues-1000", "% of a core", at_most=10.0)
MEMORY = Figure("queues-1000-memory", "MB", at_most=100.0)
#: A client of Kubernetes' library keeps to 20 a second by itself, unless it is told otherwise.
CALLS = Figure("queues-1000-calls", "API requests/s", at_most=20.0)
CONNECTIONS = Figure("queues-1000-connections", "to Redis", at_most=2.0)
FIGURES = (CPU, MEMORY, CALLS, CONNECTIONS)

NAMESPACE = "petiole-bench"
MANY = 1000
#: The operator's program, in its container.
PROGRAM = "petiole-operator"
#: Seconds until what a new queue causes is over, and seconds that are measured.
SETTLING, WINDOW = 20.0, 60.0
PATIENCE = 300.0
#: The queues change in so many parts, and hold at most so many messages.
PARTS, MOST = 10, 10
#: By these labels of the API server's metrics.
OURS = ('group="petiole.dev"', 'group="events.k8s.io"', 'resource="leases"', 'resource="secrets"')
#: Objects that one apply brings.
CHUNK = 250


@dataclass(frozen=True)
class Cost:
    """What the operator costs."""

    cpu: float
    megabytes: float
    calls: float
    connections: int

    def __str__(self) -> str:
        shown = f"{self.cpu:.1f}% of a core, {self.megabytes:.1f} MB, {self.calls:.1f} API requests/s"
        return f"{shown}, {self.connections} connections to Redis"


def run() -> Compared:
    """Runs it."""
    with installed(NAMESPACE, "--set", "replicas=1") as namespace, reached(namespace, REDIS, 6379) as (host, port):
        server = redis.Redis(host, port)
        url = f"redis://{namespace.get('service', REDIS)['spec']['clusterIP']}:6379/0"
        make(namespace, server, url, 1)
        one = cost(namespace, server, 1)
        say(f"  one queue: {one}")
        began = time.monotonic()
        make(namespace, server, url, MANY)
        say(f"  {MANY} queues are ready after {time.monotonic() - began:.1f} s")
        many = cost(namespace, server, MANY)
        say(f"  {MANY} queues: {many}")
    return {
        CPU: (many.cpu, one.cpu),
        MEMORY: (many.megabytes, one.megabytes),
        CALLS: (many.calls, one.calls),
        CONNECTIONS: (many.connections, one.connections),
    }


def name_of(number: int) -> str:
    """Of a queue."""
    return f"queue-{number:04}"


def make(namespace: Namespace, server: redis.Redis, url: str, count: int) -> None:
    """Makes so many queues with work in each, and waits until all are ready."""
    with server.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.lpush(name_of(number), "{}")
        pipeline.execute()
    for start in range(0, count, CHUNK):
        chunk = range(start, min(start + CHUNK, count))
        namespace.apply(*(task_queue(name_of(number), url) for number in chunk))

    def ready() -> bool:
        path = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{" "}{end}'
        told = namespace.kubectl("get", "taskqueues", "--output", f"jsonpath={path}").split()
        return told.count("True") == count

    until(f"{count} queues are ready", ready, PATIENCE, every=1.0)


def cost(namespace: Namespace, server: redis.Redis, count: int) -> Cost:
    """What the operator costs while the work of all queues changes."""
    operators = processes()
    addresses = operator_addresses(namespace)
    with changing(server, count):
        time.sleep(SETTLING)
        before, calls, since = cpu(operators), api_requests(), time.monotonic()
        time.sleep(WINDOW)
        elapsed, used = time.monotonic() - since, cpu(operators) - before
        asked = api_requests() - calls
        held = sum(client["addr"].rpartition(":")[0] in addresses for client in server.client_list())
    return Cost(100 * used / elapsed, memory(operators) / 1e6, asked / elapsed, held)


@contextmanager
def changing(server: redis.Redis, count: int) -> Iterator[None]:
    """Each second the work of each queue is another, and no queue is ever empty."""
    ending, chance = threading.Event(), random.Random(0)
    parts = [range(start, count, PARTS) for start in range(min(PARTS, count))]

    def change() -> None:
        for part in cycle(parts):
            with server.pipeline(transaction=False) as pipeline:
                for number in part:
                    pipeline.lpush(name_of(number), "{}")
                    pipeline.ltrim(name_of(number), 0, chance.randrange(MOST))
                pipeline.execute()
            if ending.wait(1 / len(parts)):
                return

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def processes() -> list[psutil.Process]:
    """The operator's, in its container."""
    found = [process for process in psutil.process_iter(["name"]) if process.info["name"] == PROGRAM]
    if len(found) != 1:
        raise RuntimeError(f"there is not one process {PROGRAM} on this machine, but {len(found)}")
    return found


def operator_addresses(namespace: Namespace) -> set[str]:
    """Of the operator's pods."""
    pods = namespace.all("pods", "app.kubernetes.io/component=operator")
    return {pod["status"]["podIP"] for pod in pods}


def api_requests() -> float:
    """How many requests the API server has answered so far that an operator of ours may have sent: about our resources,
    Secrets, events and leases, whoever sent them."""
    total = 0.0
    for line in kube.run("kubectl", "get", "--raw", "/metrics").splitlines():
        if line.startswith("apiserver_request_total{") and any(part in line for part in OURS):
            total += float(line.rpartition(" ")[2])
    return total
