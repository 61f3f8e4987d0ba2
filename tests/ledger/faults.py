"""The faults, one after the other, in a random order and at random moments."""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import journal
from observing import Observer
from publishing import QUEUES, Publisher
from rig.redis_server import RedisServer
from rig.waiting import until
from target import Dev
from verdict import PROMISE, Kill, Pause

#: A worker's lease, by the design.
LEASE = 8.0
#: A task that is still running when its stopped worker goes on.
LONG = LEASE + 12.0
#: Seconds from one fault to the next kill.
BETWEEN_KILLS = (0.5, 6.0)


@dataclass(frozen=True)
class Plan:
    """How many of which."""

    kills: int
    pauses: int
    cuts: int
    restarts: int
    away: float
    """Seconds for which Redis is away."""

    def estimate(self) -> float:
        """About how many seconds they take."""
        kill, cut = sum(BETWEEN_KILLS) / 2 + 0.75, 2.5
        pause, restart = PROMISE + LEASE + 6, PROMISE + self.away + LEASE + 4
        return kill * self.kills + pause * self.pauses + cut * self.cuts + restart * self.restarts


FULL = Plan(kills=30, pauses=2, cuts=5, restarts=1, away=15.0)


def scaled(plan: Plan, scale: float) -> Plan:
    """A plan of about this part of the size, in which nothing is missing."""

    def part(count: int) -> int:
        return max(1, round(count * scale))

    return Plan(
        kills=max(4, part(plan.kills)),
        pauses=part(plan.pauses),
        cuts=part(plan.cuts),
        restarts=part(plan.restarts),
        away=plan.away if scale >= 1 else 3.0,
    )


@dataclass
class Faults:
    """Does them."""

    target: Dev
    redis: RedisServer
    publisher: Publisher
    observer: Observer
    journal: Path
    chance: random.Random
    kills: list[Kill] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    pause_next: list[str] = field(default_factory=lambda: list(QUEUES))
    begun: float = field(default_factory=time.monotonic)

    def run(self, plan: Plan) -> None:
        """Does all of a plan."""
        # One of the kills falls into the time for which Redis is away.
        events: list[Callable[[], None]] = [self.kill] * (plan.kills - plan.restarts)
        events += [self.pause] * plan.pauses + [self.cut] * plan.cuts
        events += [lambda: self.restart(plan.away)] * plan.restarts
        self.chance.shuffle(events)
        self.chance.shuffle(self.pause_next)
        # Something has to be held first.
        time.sleep(1.0)
        for event in events:
            event()

    def kill(self) -> None:
        """Kills a worker at a random moment."""
        time.sleep(self.chance.uniform(*BETWEEN_KILLS))
        # Most kills come when all workers hold something, the others at any moment.
        if self.chance.random() < 0.75:
            self.publisher.wait_for_burst()
            time.sleep(self.chance.uniform(0.0, 0.2))
        self._kill(redis_is_there=True)

    def cut(self) -> None:
        """Cuts all connections to Redis."""
        time.sleep(self.chance.uniform(1.0, 4.0))
        with self.publisher.quiet:
            self._say(f"cut {self.redis.cut()} connections")

    def pause(self) -> None:
        """Stops a worker until its lease is long over, while a task runs on it that would outlive the lease."""
        self._settle()
        # The modes take turns.
        queue = self.pause_next.pop()
        self.pause_next.insert(0, queue)
        task = self.publisher.send(queue, LONG)
        runner = until("the long task runs", lambda: self._runner_of(task))
        victim = next(victim for victim in self.target.victims() if victim.runner == runner)
        self.target.pause(victim)
        since = time.monotonic()
        self._say(f"stopped {victim.name}")
        time.sleep(LEASE + self.chance.uniform(3.0, 5.0))
        self.pauses.append(Pause(since, time.monotonic(), victim.runner))
        self.target.resume(victim)
        self._say(f"continued {victim.name}")
        time.sleep(1.0)

    def restart(self, away: float) -> None:
        """Stops Redis, kills a worker that cannot know why, and starts Redis with its data."""
        self._settle()
        with self.publisher.quiet:
            self.redis.stop()
            self._say(f"stopped Redis for {away:g} s")
            back = time.monotonic() + away
            time.sleep(away * self.chance.uniform(0.2, 0.8))
            self._kill(redis_is_there=False)
            time.sleep(max(0.0, back - time.monotonic()))
            self.redis.start()
            self._say("started Redis")
        time.sleep(LEASE + 2)

    def _kill(self, redis_is_there: bool) -> None:
        victim = self.chance.choice(until("there is a worker to kill", self.target.victims))
        before = time.monotonic()
        self.target.kill(victim)
        held = self.observer.snapshot(self.redis.client) if redis_is_there else self.observer.last()
        self.kills.append(Kill(before, victim.runner, held, redis_is_there))
        self._say(f"killed {victim.name}")

    def _settle(self) -> None:
        """Lets the tasks of the last killed worker run again, as they were promised to: for a fault that would keep all
        workers from doing so."""
        last = max((kill.time for kill in self.kills), default=0.0)
        time.sleep(max(0.0, last + PROMISE + 1 - time.monotonic()))

    def _runner_of(self, task: str | None) -> str:
        attempts = journal.read(self.journal).get(task or "", [])
        living = {victim.runner for victim in self.target.victims()}
        return next((attempt.runner for attempt in attempts[-1:] if attempt.runner in living), "")

    def _say(self, text: str) -> None:
        print(f"  {time.monotonic() - self.begun:6.1f} s  {text}", file=sys.stderr, flush=True)
