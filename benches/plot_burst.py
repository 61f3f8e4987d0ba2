"""Draws one burst on a cluster into docs/burst.svg: what waits, how many pods are wanted, and how many are ready."""

import argparse
import sys
import threading
import time
from typing import Any

from bursts import NAMESPACE, Bursts
from figures import say
from plotting import Line, Panel, draw
from rig.kube import ROOT
from rig.processes import adopt_orphans, end_leftovers
from rig.reach import reached
from rig.release import REDIS, installed
from rig.waiting import until
from rig.watching import Watch

PICTURE = ROOT / "docs/burst.svg"
#: Tasks, and seconds of each.
TASKS, SECONDS = 300, 1
#: Seconds before the burst, and after its last pod has gone.
MARGIN = 2.0
PATIENCE = 180.0
SCALING: dict[str, Any] = {
    "maxReplicas": 10,
    "messagesPerReplica": 20,
    "coolDownSeconds": 5,
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
}


class Story:
    """What was seen, by the seconds since the burst."""

    def __init__(self) -> None:
        self.start = float("inf")
        self.depth: list[tuple[float, float]] = []
        self.desired: list[tuple[float, float]] = [(float("-inf"), 0)]
        self.ready: list[tuple[float, float]] = [(float("-inf"), 0)]

    def see(self, happened: str, deployment: dict[str, Any], at: float) -> None:
        """Takes an event of the watch of Deployments."""
        if deployment["metadata"]["name"] == "burst" and happened != "DELETED":
            self.desired.append((at, deployment["spec"]["replicas"]))
            self.ready.append((at, deployment.get("status", {}).get("readyReplicas", 0)))

    def look(self, bursts: Bursts, ending: threading.Event) -> None:
        """Counts what is in the queue, or held by a worker, ten times a second."""
        while not ending.wait(0.1):
            with bursts.redis.pipeline() as pipeline:
                waiting, held = pipeline.llen("burst").hlen("unacked").execute()
            self.depth.append((time.monotonic(), waiting + held))

    def since(self, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """By the seconds on the picture, which begins a little before the burst."""
        return [(max(0.0, at - self.start + MARGIN), number) for at, number in points]


def tell(bursts: Bursts) -> Story:
    """One burst, from no pod to no pod."""
    story, ending = Story(), threading.Event()
    bursts.pool("burst", scaling=SCALING)
    looking = threading.Thread(target=story.look, args=(bursts, ending))
    with Watch(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", story.see):
        looking.start()
        time.sleep(MARGIN)
        story.start = time.monotonic()
        with bursts.app.producer_or_acquire() as producer:
            for _ in range(TASKS):
                bursts.app.send_task("bench.sleep", (str(SECONDS),), queue="burst", producer=producer)
        until("pods have come", lambda: story.ready[-1][1] > 0, PATIENCE)
        until("pods have gone", lambda: story.ready[-1][1] == story.desired[-1][1] == 0, PATIENCE)
        time.sleep(MARGIN)
        ending.set()
        looking.join()
    return story


def picture(story: Story) -> str:
    """Draws it."""
    depth, desired, ready = (story.since(points) for points in (story.depth, story.desired, story.ready))
    messages = Panel("messages", [Line("waiting or held", "#d97706", depth)])
    pods = Panel("pods", [Line("desired", "#6b7280", desired, dashed=True), Line("ready", "#2f80c2", ready)])
    return draw([messages, pods], depth[-1][0])


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--names", action="store_true")
    if parser.parse_args().names:
        print("plot-burst")
        return 0
    adopt_orphans()
    try:
        with installed(NAMESPACE) as namespace, reached(namespace, REDIS, 6379) as (host, port):
            PICTURE.write_text(picture(tell(Bursts(namespace, host, port))))
    finally:
        end_leftovers()
    say(f"wrote {PICTURE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
