"""The ledger `kill-redis-pods`: on a cluster, pods deleted by force and a worker killed, every task accounted for.

Redis is left alone here, so the journal is a list in another of its databases, which only the tasks write to.
"""

import random
import sys
import time
from typing import Any

import journal
import redis
from handlers.journals import KEY
from observing import Observer
from pods import Pods
from publishing import QUEUES, Publisher
from report import report
from results import wait_for_all
from rig.kube import Namespace
from rig.manifests import restricted, task_queue, worker_pool
from rig.reach import reached
from rig.release import REDIS, image, installed
from rig.waiting import until
from verdict import Kill, Seen, judge

NAME = "kill-redis-pods"
NAMESPACE = "petiole-ledger"
TASKS = 600
#: A smaller ledger has so many tasks at least. Its faults are always all of them.
LEAST_TASKS = 200
DELETED_PODS, KILLED_WORKERS = 3, 1

#: The databases of the chart's Redis: messages and results in one, so that both are written at once.
WORK, JOURNAL = 0, 2
#: Seconds that the task runs whose pod is deleted: longer than the next burst of tasks is waited for, and than the
#: kubelet waits for the processes of such a pod.
LONG = 10.0
#: Seconds from one fault to the next.
BETWEEN = (5.0, 12.0)
#: Seconds that all faults take, more or less.
ESTIMATE = (DELETED_PODS + KILLED_WORKERS) * (sum(BETWEEN) / 2 + 2.5)
HANDLERS = "/app/tests/ledger/handlers"
#: Seconds within which a cluster does what it is asked for.
PATIENCE = 60.0


def resources() -> list[dict[str, Any]]:
    """Two pools of two workers each, one of either mode."""
    # A runner is process 1 of its container; the pod tells one from the other.
    env = [{"name": "LEDGER_RUNNER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    template = restricted(image("e2e-python"), env=env)
    common = {"image": None, "template": template, "replicas": 2, "concurrency": 4}
    command = ["python3", "-I", "-S", f"{HANDLERS}/exec.py", f"{REDIS}:6379/{JOURNAL}"]
    handler = ["python3", "-I", "-S", f"{HANDLERS}/serve.py", f"{REDIS}:6379/{JOURNAL}"]
    return [
        *(task_queue(queue, f"redis://{REDIS}:6379/{WORK}") for queue in QUEUES),
        worker_pool("exec", ["exec"], mode="Exec", tasks=[{"name": "ledger.work", "command": command}], **common),
        worker_pool("serve", ["serve"], mode="Serve", serve={"command": handler}, **common),
    ]


class Faults:
    """Does them, in a random order and at random moments."""

    def __init__(
        self, pods: Pods, server: redis.Redis, book: redis.Redis, publisher: Publisher, observer: Observer
    ) -> None:
        self.pods, self.server, self.book = pods, server, book
        self.publisher, self.observer = publisher, observer
        self.kills: list[Kill] = []
        self.begun = time.monotonic()

    def run(self, chance: random.Random) -> None:
        """Does all of them."""
        events = [(self.pods.delete, "deleted pod")] * DELETED_PODS
        events += [(self.pods.kill_worker, "killed the worker of")] * KILLED_WORKERS
        chance.shuffle(events)
        for number, (fault, done) in enumerate(events):
            time.sleep(chance.uniform(*BETWEEN))
            # The modes take turns.
            pod = self.busy(QUEUES[number % len(QUEUES)])
            before = time.monotonic()
            fault(pod)
            self.kills.append(Kill(before, pod, self.observer.snapshot(self.server)))
            print(f"  {before - self.begun:6.1f} s  {done} {pod}", file=sys.stderr, flush=True)

    def busy(self, queue: str) -> str:
        """A pod in which a task runs that will not be over before the pod is."""
        task = self.publisher.send(queue, LONG)

        def runner() -> str:
            attempts = read_journal(self.book).get(task or "", [])
            return attempts[-1].runner if attempts else ""

        pod = until("the long task runs", runner, PATIENCE, every=0.1)
        self.publisher.wait_for_burst()
        return pod


def read_journal(book: redis.Redis) -> journal.Attempts:
    """All that the tasks have entered."""
    return journal.parse(b"\n".join(book.lrange(KEY, 0, -1)).decode())


def observe(namespace: Namespace, total: int, chance: random.Random) -> Seen:
    """Runs the whole story and returns what was seen of it."""
    pods = Pods(namespace)
    namespace.apply(*resources())
    until("all workers take tasks", lambda: len(pods.ready()) == 4, PATIENCE, every=0.5)
    with reached(namespace, REDIS, 6379) as (host, port):
        server, book = redis.Redis(host, port, db=WORK), redis.Redis(host, port, db=JOURNAL)
        with (
            Observer(host, port) as observer,
            Publisher(f"redis://{host}:{port}/{WORK}", chance, total, total / ESTIMATE) as publisher,
        ):
            faults = Faults(pods, server, book, publisher, observer)
            publisher.start()
            faults.run(chance)
            publisher.join()
            found = wait_for_all(server, publisher.submitted)
        return Seen(
            submitted=publisher.submitted,
            records=found,
            attempts=read_journal(book),
            kills=faults.kills,
            snapshots=observer.snapshots,
            writes=observer.writes,
        )


def run(scale: float, seed: int) -> bool:
    """Runs the ledger at a part of its size; whether its promises held."""
    total = max(LEAST_TASKS, round(TASKS * scale))
    faults = f"{DELETED_PODS} pods deleted by force, {KILLED_WORKERS} worker killed"
    print(f"{NAME}: {total:,} tasks, {faults}, seed {seed}, about {ESTIMATE + 30:.0f} s", file=sys.stderr)
    with installed(NAMESPACE) as namespace:
        try:
            seen = observe(namespace, total, random.Random(seed))
        except Exception:
            print(namespace.dump(), file=sys.stderr)
            raise
        return report(NAME, judge(seen), idle_kills=True)
