"""Judges what was seen: pure, from the journal, the faults, the observations and the records.

What makes it sound:

- Starts are counted from the journal, which neither Redis nor any process of Petiole can keep from being written.
- A result and the acknowledgement of its message are one transaction, fenced by the lease. So a task whose message
  was delivered again had no result before, and its result is that of its **last** attempt. The value of each attempt
  is its own token: a record that holds another one was written by a worker that had lost its lease (`stale`). For the
  same reason a ready record is written exactly once, and a second write is stale, whatever it says. Messages are
  published once each: no id is ever sent a second time.
- An attempt that shows a sign of life after the start of the next attempt of its task ran beside its own successor.

Where Celery workers take tasks from the same queue, what they do is not ours to answer for:

- A task that is lost was lost by the one who took its message last, by the order in which Redis wrote down what was
  done (`appended.py`). What nobody took is ours: it waits in a queue that we work on.
- A record is judged only when all attempts of its task were ours, and an attempt beside its successor only when the
  earlier one was: Celery keeps the first result that it finds, and cannot tell who holds a message.
- A task of a killed worker of ours is in good hands again when it is started, or when a Celery worker is seen to hold
  it: how long it waits there is Celery's prefetching.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from appended import Taker
from journal import Attempt, Attempts
from observing import Snapshot, Write, incarnation
from peers import is_peer

#: Seconds within which all tasks of a killed worker have to run again.
PROMISE = 10.0
#: A start that a killed worker had already ordered can still come this much later.
IN_THE_PIPE = 0.25


@dataclass(frozen=True)
class Kill:
    """A worker was killed with -9."""

    time: float
    runner: str
    """The runner at its side, by which the journal knows its attempts."""
    held: Snapshot
    """What all workers held right after it."""
    redis_was_there: bool = True


@dataclass(frozen=True)
class Pause:
    """A worker stood still for longer than its lease."""

    since: float
    until: float
    runner: str


@dataclass(frozen=True)
class Verdict:
    """The figures."""

    submitted: int
    completed: int
    twice: int
    rerun_max: float
    """Longest from a worker's kill to the next start of a task that it had started or held."""
    reruns: int
    """How many such tasks there were."""
    failed: dict[str, str]
    """Tasks that ended in another state than SUCCESS, with what their record says."""
    stale: list[str]
    """Results that were written by a worker that had lost its lease."""
    beside: list[str]
    """Attempts that lived while their successor ran."""

    lost_by_peer: dict[str, str]
    """Tasks that a Celery worker took and never completed, with how far it got."""

    idle_pauses: int
    """Stopped workers from whom no task was taken: a fault without an effect shows nothing."""
    idle_kills: int
    """Killed workers of whose tasks none had to run again."""

    @property
    def lost(self) -> int:
        """Submitted, and never completed, by our fault."""
        return self.submitted - self.completed - len(self.lost_by_peer)


@dataclass
class Seen:
    """What there is to judge."""

    submitted: set[str]
    records: Mapping[str, Write]
    """The record that each completed task ended with."""
    attempts: Attempts
    kills: list[Kill] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    last_takers: Mapping[str, Taker] = field(default_factory=dict)
    """Who took each task's message last, where Celery workers take some."""


def judge(seen: Seen) -> Verdict:
    """Judges."""
    delays = rerun_delays(seen)
    completed = seen.submitted & seen.records.keys()
    return Verdict(
        submitted=len(seen.submitted),
        completed=len(completed),
        twice=sum(len(seen.attempts.get(task, [])) > 1 for task in seen.submitted),
        rerun_max=max(delays, default=0.0),
        reruns=len(delays),
        failed={task: seen.records[task].status for task in completed if seen.records[task].status != "SUCCESS"},
        stale=stale_results(seen),
        beside=beside_successor(seen.attempts),
        lost_by_peer=lost_by_peer(seen, seen.submitted - completed),
        idle_pauses=sum(not taken_over(pause, seen.attempts) for pause in seen.pauses),
        idle_kills=idle_kills(seen),
    )


def lost_by_peer(seen: Seen, lost: set[str]) -> dict[str, str]:
    """Those of the lost tasks whose messages a Celery worker took last."""
    told = {}
    for task in lost:
        if seen.last_takers.get(task) is Taker.PEER:
            attempts = seen.attempts.get(task, [])
            told[task] = f"begun by {attempts[-1].runner}" if attempts else "never begun"
    return told


def stale_results(seen: Seen) -> list[str]:
    """Results of attempts that were not the last of their task, and second results of one task."""
    stale = []
    for task, record in seen.records.items():
        attempts = seen.attempts.get(task, [])
        if peers_had_part(attempts):
            continue
        if record.token and attempts and record.token != attempts[-1].token:
            stale.append(f"{task} holds the result of {record.token}, its last attempt was {attempts[-1].token}")
    writes = (write.task for write in seen.writes if not peers_had_part(seen.attempts.get(write.task, [])))
    written = Counter(writes)
    stale += [f"{task} was given a result {times} times" for task, times in written.items() if times > 1]
    return stale


def peers_had_part(attempts: Iterable[Attempt]) -> bool:
    """Whether one of these attempts was a Celery worker's."""
    return any(is_peer(attempt.runner) for attempt in attempts)


def beside_successor(attempts: Attempts) -> list[str]:
    """Attempts with a sign of life after the next one's start."""
    return [
        f"{task}: {earlier.token} lived {earlier.last_sign - later.start:.2f} s beside {later.token}"
        for task, of_task in attempts.items()
        for earlier, later in pairwise(of_task)
        if earlier.last_sign > later.start and not is_peer(earlier.runner)
    ]


def taken_over(pause: Pause, attempts: Attempts) -> bool:
    """Whether a task of the stopped worker was started again by another while it stood still."""
    return any(
        earlier.runner == pause.runner != later.runner and earlier.start <= pause.since < later.start < pause.until
        for of_task in attempts.values()
        for earlier, later in pairwise(of_task)
    )


def rerun_delays(seen: Seen) -> list[float]:
    """For each kill and each task that the killed worker had taken: how long until the task was started again.

    Where the next holder was killed too before it started the task, the time counts from that kill. A kill while
    Redis was away says nothing about the promise: nobody could have run the task.
    """
    runners = runners_of_incarnations(seen.snapshots, seen.attempts)
    taken: dict[str, list[float]] = defaultdict(list)
    delays: dict[tuple[str, float], float] = {}
    for kill in sorted(seen.kills, key=lambda kill: kill.time):
        for task in taken_by(kill, runners, seen.attempts):
            attempts = seen.attempts.get(task, [])
            after = [attempt.start for attempt in attempts if is_rerun(attempt.start, attempt.runner, kill)]
            after += [at for at in in_peers_hands(task, seen.snapshots) if at > kill.time]
            for before in taken[task]:
                # The earlier kill's clock stops where this one's starts, if the task had not run in between.
                if delays.get((task, before), 0.0) > kill.time - before:
                    del delays[task, before]
            taken[task].append(kill.time)
            if after and kill.redis_was_there:
                delays[task, kill.time] = min(after) - kill.time
    return list(delays.values())


def in_peers_hands(task: str, snapshots: Iterable[Snapshot]) -> Iterable[float]:
    """When a Celery worker was seen to hold a task."""
    return (snapshot.time for snapshot in snapshots if task in snapshot.peers)


def idle_kills(seen: Seen) -> int:
    """How many kills there were after which no task of the killed worker was started again."""
    runners = runners_of_incarnations(seen.snapshots, seen.attempts)

    def ran_again(kill: Kill, task: str) -> bool:
        return any(is_rerun(attempt.start, attempt.runner, kill) for attempt in seen.attempts.get(task, []))

    return sum(not any(ran_again(kill, task) for task in taken_by(kill, runners, seen.attempts)) for kill in seen.kills)


def is_rerun(start: float, runner: int, kill: Kill) -> bool:
    """Whether a start came after the kill, and not from the killed worker's last orders."""
    return start > kill.time + (IN_THE_PIPE if runner == kill.runner else 0.0)


def taken_by(kill: Kill, runners: Mapping[str, str], attempts: Attempts) -> Iterable[str]:
    """The tasks that the killed worker had started or held, and not settled."""
    for tag, task in kill.held.held.items():
        if incarnation(tag) in runners:
            if runners[incarnation(tag)] == kill.runner:
                yield task
            continue
        # An incarnation that never had a task running when somebody looked: its started tasks tell.
        if any(attempt.runner == kill.runner and attempt.start <= kill.time for attempt in attempts.get(task, [])):
            yield task


def runners_of_incarnations(snapshots: Iterable[Snapshot], attempts: Attempts) -> dict[str, str]:
    """Which runner serves which incarnation: that of the tasks which ran while it held them."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for snapshot in snapshots:
        for tag, task in snapshot.held.items():
            for attempt in attempts.get(task, []):
                if attempt.start <= snapshot.time <= attempt.last_sign:
                    votes[incarnation(tag)][attempt.runner] += 1
    return {name: runners.most_common(1)[0][0] for name, runners in votes.items()}
