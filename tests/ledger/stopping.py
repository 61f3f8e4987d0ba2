"""Judges which pods were told to stop: pure, from the journal and from what the cluster's API said.

A pod is busy as long as one of its attempts runs. Which pods hold what is told by their workers every 2 s, and a pod
that has just begun a task, or has just ended one, may be taken for what it was before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from journal import Attempt, Attempts

#: Seconds for which it may not be known that a pod is busy, or is no longer.
UNKNOWN = 3.0
#: Seconds within which pods are told to stop by one decision.
TOGETHER = 2.0


@dataclass(frozen=True)
class Stop:
    """A pod was told to stop."""

    time: float
    pod: str
    staying: frozenset[str]
    """The pods that took tasks, and that nobody had told to stop then or right after."""


def stops(ready: Mapping[str, float], told: Mapping[str, float]) -> list[Stop]:
    """All stops, by when each pod was ready first and when it was told to stop."""

    def stays(pod: str, time: float) -> bool:
        return ready[pod] < time and told.get(pod, float("inf")) > time + TOGETHER

    return [Stop(time, pod, frozenset(one for one in ready if stays(one, time))) for pod, time in told.items()]


def busy_before_idle(stops: Iterable[Stop], attempts: Attempts) -> list[str]:
    """Pods that were told to stop while they ran a task, and another that stayed ran none."""
    of_pod = by_pod(attempts)
    wrong = []
    for stop in stops:
        if not runs_throughout(of_pod, stop.pod, stop.time):
            continue
        idle = sorted(pod for pod in stop.staying if rests_throughout(of_pod, pod, stop.time))
        if idle:
            wrong.append(f"{stop.pod} ran a task, and {', '.join(idle)} ran none")
    return wrong


def busy(stops: Iterable[Stop], attempts: Attempts) -> int:
    """How many pods ran a task when they were told to stop."""
    of_pod = by_pod(attempts)
    return sum(any(one.start < stop.time < one.last_sign for one in of_pod.get(stop.pod, [])) for stop in stops)


def by_pod(attempts: Attempts) -> dict[str, list[Attempt]]:
    """The attempts of each pod."""
    found: dict[str, list[Attempt]] = {}
    for of_task in attempts.values():
        for attempt in of_task:
            found.setdefault(attempt.runner, []).append(attempt)
    return found


def runs_throughout(of_pod: Mapping[str, list[Attempt]], pod: str, time: float) -> bool:
    """Whether a pod has run one task since long before a time, and still did then."""
    return any(one.start < time - UNKNOWN and one.last_sign > time for one in of_pod.get(pod, []))


def rests_throughout(of_pod: Mapping[str, list[Attempt]], pod: str, time: float) -> bool:
    """Whether a pod has run no task since long before a time."""
    return not any(one.start < time and one.last_sign > time - UNKNOWN for one in of_pod.get(pod, []))


def interrupted(attempts: Attempts) -> list[str]:
    """Attempts that have begun and never came to their end."""
    return [
        f"{task} in {attempt.runner}" for task, of_task in attempts.items() for attempt in of_task if not attempt.ended
    ]
