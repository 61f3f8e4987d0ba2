"""The benches of a burst: how long it takes from the first message until one pod, and ten, take tasks."""

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from celery import Celery
from figures import Compared, Figure, say
from peer_keda import Keda, scaled_object
from rig.kube import Namespace
from rig.manifests import restricted, task_queue, worker_pool
from rig.reach import reached
from rig.release import REDIS, image, installed
from rig.waiting import until
from rig.watching import Watch, is_ready

FIRST = Figure("burst-first-ready", "s")
TEN = Figure("burst-ten-ready", "s", times=2)
FLOOR = Figure("burst-floor", "s", behind=1.5)
FIGURES = (FIRST, TEN, FLOOR)

NAMESPACE = "petiole-bench"
#: Of each side, in turns; the medians count.
TURNS = 3
#: A burst is worth ten pods and some more, so that it still is when ten have taken their first.
MESSAGES, PER_POD, PODS = 120, 10, 10
#: Seconds within which a burst has brought ten pods, and within which they are gone again.
PATIENCE = 150.0
#: By this label the pods of one side are told from those of the others.
SIDE = "bench.petiole.dev/side"

#: As quick as it can be when there is nothing left to do: what is measured is the other direction.
QUICK = {
    "maxReplicas": PODS,
    "messagesPerReplica": PER_POD,
    "coolDownSeconds": 1,
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
}
#: The HPA's own defaults upwards: four pods or the double, each 15 s.
AS_IT_IS: dict[str, Any] = {"scaleDown": {"stabilizationWindowSeconds": 0}}
#: Any step at once, as ours.
UNBOUNDED = AS_IT_IS | {"scaleUp": {"policies": [{"type": "Pods", "value": 1000, "periodSeconds": 1}]}}


@dataclass(frozen=True)
class Took:
    """Seconds of one burst until so many pods were ready."""

    first: float
    ten: float

    def __str__(self) -> str:
        return f"first ready {self.first:.2f} s, ten ready {self.ten:.2f} s"


class Arrivals:
    """When the pods of each side became ready."""

    def __init__(self) -> None:
        #: By side and pod.
        self.ready: dict[str, dict[str, float]] = {}
        self.there: dict[str, set[str]] = {}

    def see(self, happened: str, pod: dict[str, Any], at: float) -> None:
        """Takes an event of the watch."""
        name, side = pod["metadata"]["name"], pod["metadata"].get("labels", {}).get(SIDE, "")
        if happened == "DELETED":
            self.there.get(side, set()).discard(name)
            return
        self.there.setdefault(side, set()).add(name)
        if is_ready(pod):
            self.ready.setdefault(side, {}).setdefault(name, at)

    def since(self, side: str, start: float) -> list[float]:
        """Seconds from `start` until each of a side's pods was ready, the earliest first."""
        return sorted(at - start for at in list(self.ready.get(side, {}).values()) if at >= start)


class Bursts:
    """The sides, in one namespace."""

    def __init__(self, namespace: Namespace, host: str, port: int) -> None:
        self.namespace = namespace
        self.address = f"{namespace.get('service', REDIS)['spec']['clusterIP']}:6379"
        self.redis = redis.Redis(host, port)
        self.app = Celery("bench", broker=f"redis://{host}:{port}/0")
        self.arrivals = Arrivals()
        self.gate = ""

    def send(self, side: str) -> None:
        """Sends a burst of tasks that wait at a gate."""
        with self.app.producer_or_acquire() as producer:
            for number in range(MESSAGES):
                self.app.send_task("bench.gate", (self.gate, str(number)), queue=side, producer=producer)

    def measure(self, side: str, begin: Callable[[], object]) -> Took:
        """One burst of a side, from none to ten pods and back to none."""
        self.gate = uuid.uuid4().hex
        start = time.monotonic()
        begin()
        until(f"ten pods of {side} are ready", lambda: len(self.arrivals.since(side, start)) >= PODS, PATIENCE)
        ready = self.arrivals.since(side, start)
        self.redis.set(f"gate:{self.gate}:open", 1)
        return Took(ready[0], ready[PODS - 1])

    def end(self, side: str) -> None:
        """Waits until no pod of a side is left."""
        until(f"no pod of {side} is left", lambda: not self.arrivals.there.get(side), PATIENCE, every=0.1)

    def pool(self, name: str, **spec: Any) -> None:
        """Makes a queue and a pool of its name."""
        env = [{"name": "REDIS", "value": self.address.partition(":")[0]}]
        template = restricted(image("e2e"), env=env)
        template["metadata"] = {"labels": {SIDE: name}}
        tasks = [
            {"name": "bench.gate", "command": ["gate", "$(args[0])", "$(args[1])"], "result": "none"},
            {"name": "bench.sleep", "command": ["sleep", "$(args[0])"], "result": "none"},
        ]
        common = {"image": None, "template": template, "tasks": tasks, "concurrency": 1}
        self.namespace.apply(
            task_queue(name, f"redis://{self.address}/0"), worker_pool(name, [name], **common, **spec)
        )
        until(f"{name} is set up", lambda: self.namespace.get("deployment", name), 60, every=0.2)

    def copy_of_pool(self, name: str) -> None:
        """Makes a pool without pods, and beside it a Deployment of the very same pods that only the peer scales."""
        self.pool(name, replicas=0)
        deployment = self.namespace.get("deployment", name)
        labels = {SIDE: f"{name}-copy"}
        spec = deployment["spec"] | {"replicas": 0, "selector": {"matchLabels": labels}}
        spec["template"]["metadata"]["labels"] = labels
        metadata = {"name": f"{name}-copy"}
        self.namespace.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})

    def scale(self, deployment: str, replicas: int) -> None:
        """By hand."""
        self.namespace.kubectl("scale", f"deployment/{deployment}", "--replicas", str(replicas))


def run() -> Compared:
    """Runs them: ours, KEDA, and by hand, in turns."""
    with installed(NAMESPACE) as namespace, reached(namespace, REDIS, 6379) as (host, port):
        bursts = Bursts(namespace, host, port)
        with Watch(f"/api/v1/namespaces/{NAMESPACE}/pods", bursts.arrivals.see) as watch:
            took = in_turns(namespace, bursts)
            if watch.broken:
                raise RuntimeError("the watch of the pods has ended: not all of them were seen")
    ours, by_hand = took["ours"], took["by hand"]
    peers = {side: runs for side, runs in took.items() if side.startswith("KEDA")}
    peer = min(peers, key=lambda side: median(peers[side]).ten)
    say(f"peer: {peer}")
    return {
        FIRST: (median(ours).first, median(took[peer]).first),
        TEN: (median(ours).ten, median(took[peer]).ten),
        FLOOR: (median(ours).ten, median(by_hand).ten),
    }


def in_turns(namespace: Namespace, bursts: Bursts) -> dict[str, list[Took]]:
    """All sides one after the other, several times."""
    bursts.pool("ours", scaling=QUICK)
    for name in ("keda", "keda-unbounded", "hand"):
        bursts.copy_of_pool(name)
    with tempfile.TemporaryDirectory(prefix="petiole-keda-") as folder, Keda(namespace, Path(folder)):
        for name, behavior in (("keda", AS_IT_IS), ("keda-unbounded", UNBOUNDED)):
            namespace.apply(scaled_object(name, f"{name}-copy", bursts.address, name, behavior))
            until(f"KEDA scales {name}", lambda name=name: is_set_up(namespace, name), 60, every=0.5)
        sides: dict[str, tuple[str, Callable[[], object], Callable[[], object]]] = {
            "ours": ("ours", lambda: bursts.send("ours"), lambda: None),
            "KEDA": ("keda-copy", lambda: bursts.send("keda"), lambda: None),
            "KEDA, scaleUp unbounded": (
                "keda-unbounded-copy",
                lambda: bursts.send("keda-unbounded"),
                lambda: None,
            ),
            "by hand": (
                "hand-copy",
                lambda: bursts.scale("hand-copy", PODS),
                lambda: bursts.scale("hand-copy", 0),
            ),
        }
        took: dict[str, list[Took]] = {side: [] for side in sides}
        for _ in range(TURNS):
            for side, (label, begin, end) in sides.items():
                took[side].append(bursts.measure(label, begin))
                say(f"  {side}: {took[side][-1]}")
                end()
                bursts.end(label)
    return took


def is_set_up(namespace: Namespace, name: str) -> bool:
    """Whether KEDA has made the HPA of a ScaledObject, and reads its queue."""
    conditions = namespace.get("scaledobjects.keda.sh", name).get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def median(runs: list[Took]) -> Took:
    """The middle of each figure."""
    return Took(statistics.median(one.first for one in runs), statistics.median(one.ten for one in runs))
