"""The ledger `scale-in`: on a cluster, pools of many busy pods become small, and no task is interrupted.

Five acts, each with as many pods as tasks: the idle pods go while a few are busy; the busy ones are told to go; they
are told so while a roll-out, and an upgrade of the operator, is under way; each is evicted. The pools, one of each mode,
play at the same time. The journal is where that of `kill-redis-pods` is.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import journal
import redis
from handlers.journals import KEY
from journal import Attempts
from observing import Observer
from publishing import Publisher
from report import report
from results import wait_for_all
from rig import kube
from rig.kube import Namespace
from rig.manifests import restricted, task_queue, worker_pool
from rig.reach import reached
from rig.release import REDIS, image, installed, upgrade
from rig.waiting import until
from rig.watching import Watch, is_ready
from stopping import Stop, busy, busy_before_idle, interrupted, stops
from verdict import Seen, judge

NAME = "scale-in"
NAMESPACE = "petiole-ledger"
#: From so many pods to so few, and seconds of a task.
PODS, LEAST, LONG = 20, 2, 120.0
#: A smaller ledger has so many pods, and tasks that take so long, at least.
LEAST_PODS, LEAST_LONG = 6, 8.0
#: Tasks that leave their pods idle early take so long at least: until all pods are there.
LEAST_SHORT = 6.0

WORK, JOURNAL = 0, 2
HANDLERS = "/app/tests/ledger/handlers"
#: Seconds within which a cluster does what it is asked for.
PATIENCE = 90.0

#: How a pool of each mode runs the ledger's task.
MODES: dict[str, dict[str, Any]] = {
    "Exec": {
        "tasks": [
            {
                "name": "ledger.work",
                "command": ["python3", "-I", "-S", f"{HANDLERS}/exec.py", f"{REDIS}:6379/{JOURNAL}"],
            }
        ]
    },
    "Serve": {
        "serve": {"command": ["python3", "-I", "-S", f"{HANDLERS}/serve.py", f"{REDIS}:6379/{JOURNAL}"]},
    },
}


def modes() -> Sequence[str]:
    """Those that MODE names; all of them, where it is not set."""
    asked = os.environ.get("MODE") or ""
    return asked.split(",") if asked else list(MODES)


def pool(mode: str, most: int, version: int) -> dict[str, Any]:
    """A pool with at most so many pods, of one task each, and its queue of the same name."""
    runner = {"name": "LEDGER_RUNNER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    template = restricted(image("e2e-python"), env=[runner, {"name": "VERSION", "value": str(version)}])
    scaling = {
        "minReplicas": LEAST,
        "maxReplicas": most,
        "messagesPerReplica": 1,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    }
    common = {"image": None, "template": template, "concurrency": 1, "scaling": scaling}
    return worker_pool(mode.lower(), [mode.lower()], mode=mode, **common, **MODES[mode])


class Pods:
    """When each pod was ready first, and when it was told to stop."""

    def __init__(self) -> None:
        self.ready: dict[str, float] = {}
        self.told: dict[str, float] = {}

    def see(self, _: str, pod: dict[str, Any], at: float) -> None:
        """Takes an event of the watch."""
        name = pod["metadata"]["name"]
        if is_ready(pod):
            self.ready.setdefault(name, at)
        if "deletionTimestamp" in pod["metadata"]:
            self.told.setdefault(name, at)

    def stops(self, pool: str, since: float) -> list[Stop]:
        """The stops of a pool's pods since a time."""
        ready = {pod: at for pod, at in list(self.ready.items()) if pod.startswith(f"{pool}-")}
        told = {pod: at for pod, at in list(self.told.items()) if pod in ready}
        return [stop for stop in stops(ready, told) if stop.time >= since]


class Play:
    """The acts."""

    def __init__(
        self, namespace: Namespace, publisher: Publisher, server: redis.Redis, book: redis.Redis, pods: Pods
    ) -> None:
        self.namespace, self.publisher = namespace, publisher
        self.server, self.book, self.pods = server, book, pods
        self.modes = modes()
        self.version = 1
        self.chance = publisher.chance
        #: All of them; and those by which the operator chose the pods.
        self.stops: list[Stop] = []
        self.chosen: list[Stop] = []
        self.lines = 0
        self.ever: set[str] = set()
        self.running: dict[str, str] = {}
        self.begun = time.monotonic()

    def act(self, what: str, times: list[float], disturb: Callable[[], None], chooses: bool) -> None:
        """Sends tasks that take so long, disturbs when all have begun, and waits for their ends. `chooses`: whether it is
        the operator who says which pods go."""
        since, tasks, long = time.monotonic(), len(times), max(times)
        self.apply(tasks)
        sent: set[str] = set()
        for mode in self.modes:
            self.chance.shuffle(times)
            sent |= {task for seconds in times if (task := self.publisher.send(mode.lower(), seconds))}
        until("all tasks have begun", lambda: sent <= self.started(), PATIENCE + long, every=0.5)
        self.say(f"{what}: {len(sent)} tasks have begun")
        disturb()
        wait_for_all(self.server, sent, long + PATIENCE)
        self.apply(tasks)
        for mode in self.modes:
            self.settle(mode.lower())
            found = self.pods.stops(mode.lower(), since)
            self.stops += found
            self.chosen += found if chooses else []

    def apply(self, most: int) -> None:
        """At most so many pods."""
        self.namespace.apply(*(pool(mode, most, self.version) for mode in self.modes))

    def settle(self, name: str) -> None:
        """Waits until a pool has only the fewest pods, and all of them of its last template."""

        def few() -> bool:
            settled = self.namespace.condition("workerpool", name, "Progressing")[0] == "False"
            return settled and len(self.namespace.all("pods", f"petiole.dev/pool={name}")) == LEAST

        until(f"{name} has {LEAST} pods", few, PATIENCE, every=0.5)

    def roll_out(self) -> None:
        """Another template, and fewer pods."""
        self.version += 1
        self.apply(LEAST)

    def upgrade(self) -> None:
        """Other pods of the operator; and fewer pods of the pools while they come."""
        option = ("--set-string", f"podAnnotations.ledger=upgrade-{self.version}")
        with ThreadPoolExecutor(max_workers=1) as beside:
            upgrading = beside.submit(upgrade, self.namespace, *option)
            self.apply(LEAST)
            upgrading.result()

    def evict(self) -> None:
        """Each pod that runs a task, one after the other, as soon as its pool's budget lets it."""
        for task, pod in list(self.running.items()):
            until(f"{pod}, which runs {task}, is evicted", lambda pod=pod: self.evicted(pod), PATIENCE, every=0.2)

    def evicted(self, pod: str) -> bool:
        """Asks the eviction API."""
        metadata = {"name": pod, "namespace": self.namespace.name}
        body = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
        path = f"/api/v1/namespaces/{self.namespace.name}/pods/{pod}/eviction"
        try:
            kube.run("kubectl", "create", "--raw", path, "--filename", "-", stdin=body)
        except RuntimeError as error:
            if "disruption budget" in str(error):
                return False
            raise
        return True

    def started(self) -> set[str]:
        """The tasks that have ever been started. Those that run now, by their pods, are in `running`."""
        for line in self.book.lrange(KEY, self.lines, -1):
            self.lines += 1
            kind, _, task, _, *runner = line.decode().split()
            if kind == "start":
                self.ever.add(task)
                self.running[task] = runner[0]
            elif kind == "end":
                self.running.pop(task, None)
        return self.ever

    def say(self, text: str) -> None:
        """Tells what goes on."""
        print(f"  {time.monotonic() - self.begun:6.1f} s  {text}", file=sys.stderr, flush=True)


def read_journal(book: redis.Redis) -> Attempts:
    """All that the tasks have entered."""
    return journal.parse(b"\n".join(book.lrange(KEY, 0, -1)).decode())


def perform(play: Play, tasks: int, long: float) -> None:
    """All acts."""
    short, all_long = max(LEAST_SHORT, long / 3), [long] * tasks
    some_long = [short] * (tasks - LEAST) + [short + long] * LEAST
    play.act("idle pods go", some_long, lambda: None, chooses=True)
    play.act("busy pods go", all_long, lambda: play.apply(LEAST), chooses=True)
    play.act("a roll-out and fewer pods", all_long, play.roll_out, chooses=False)
    play.act("an upgrade of the operator and fewer pods", all_long, play.upgrade, chooses=True)
    play.act("evictions", all_long, play.evict, chooses=False)


def run(scale: float, seed: int) -> bool:
    """Runs the ledger at a part of its size; whether its promises held."""
    tasks, long = max(LEAST_PODS, round(PODS * scale)), max(LEAST_LONG, LONG * scale)
    print(f"{NAME}: 5 times {tasks} tasks of {long:g} s in each mode, seed {seed}", file=sys.stderr)
    with installed(NAMESPACE) as namespace:
        try:
            seen, acts = observe(namespace, tasks, long, random.Random(seed))
        except Exception:
            print(namespace.dump(), file=sys.stderr)
            raise
    verdict = judge(seen)
    stopped = busy(acts.stops, seen.attempts)
    print(f"{len(acts.stops)} pods were told to stop, {stopped} of them while they ran a task", file=sys.stderr)
    wrong = {
        "tasks were interrupted, or ran twice": [
            *interrupted(seen.attempts),
            *(task for task, attempts in seen.attempts.items() if len(attempts) > 1),
        ],
        "busy pods went before idle ones": busy_before_idle(acts.chosen, seen.attempts),
        "too few busy pods were told to stop, so that little was tested": (
            [] if stopped >= 2 * (tasks - LEAST) * len(acts.modes) else [str(stopped)]
        ),
    }
    return report(NAME, verdict, also=wrong)


def observe(namespace: Namespace, tasks: int, long: float, chance: random.Random) -> tuple[Seen, Play]:
    """Runs the whole story and returns what was seen of it."""
    pods = Pods()
    queues = [mode.lower() for mode in modes()]
    namespace.apply(*(task_queue(queue, f"redis://{REDIS}:6379/{WORK}") for queue in queues))
    with reached(namespace, REDIS, 6379) as (host, port):
        server, book = redis.Redis(host, port, db=WORK), redis.Redis(host, port, db=JOURNAL)
        with (
            Watch(f"/api/v1/namespaces/{namespace.name}/pods", pods.see) as watch,
            Observer(host, port) as observer,
            Publisher(f"redis://{host}:{port}/{WORK}", chance, 0, 1.0, queues) as publisher,
        ):
            acts = Play(namespace, publisher, server, book, pods)
            perform(acts, tasks, long)
            if watch.broken:
                raise RuntimeError("the watch of the pods has ended: not all that was told them was heard")
            found = wait_for_all(server, publisher.submitted)
        seen = Seen(
            submitted=publisher.submitted, records=found, attempts=read_journal(book), writes=observer.writes
        )
        return seen, acts
