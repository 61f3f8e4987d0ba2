"""The ledger `mixed-redis`: Celery workers and ours on one queue, both killed, every task accounted for."""

import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import appended
import journal
import redis
from kill_redis import HANDLERS, PYTHON
from observing import Observer
from peers import Peers, is_peer
from publishing import Publisher
from report import report
from results import wait_for_all
from rig.dev import PetioleDev
from rig.manifests import task_queue, worker_pool
from rig.redis_server import RedisServer
from rig.waiting import Late, until
from target import Dev
from verdict import Kill, Seen, judge

NAME = "mixed-redis"
TASKS = 10_000
#: Kills of each side, and the fewest of them in a smaller ledger.
KILLS, LEAST_KILLS = 25, 4
#: Seconds from one kill to the next.
BETWEEN = (0.5, 5.0)
QUEUE = "mixed"
#: Seconds after which both sides put back what a Celery worker has not acknowledged. An hour unless it is said.
VISIBILITY_TIMEOUT = 20
#: Seconds within which all messages of killed Celery workers are back. A Celery worker that is killed while it holds
#: kombu's lock keeps everybody from putting messages back for 300 s.
BACK = 300.0 + 3 * VISIBILITY_TIMEOUT
#: With no result for so many seconds after all messages are gone, what is still missing is not coming: no task takes
#: that long.
LAST_TASKS = 10.0


def resources(url: str, book: Path) -> list[dict[str, Any]]:
    """Two pools of ours, one of either mode, on the queue that the Celery workers are on."""
    common = {"replicas": 1, "concurrency": 4}
    command = [*PYTHON, str(HANDLERS / "exec.py"), str(book)]
    handler = [*PYTHON, str(HANDLERS / "serve.py"), str(book)]
    broker = {"url": url, "redis": {"visibilityTimeout": f"{VISIBILITY_TIMEOUT}s"}}
    return [
        task_queue(QUEUE, url, broker=broker),
        worker_pool("exec", [QUEUE], mode="Exec", tasks=[{"name": "ledger.work", "command": command}], **common),
        worker_pool("serve", [QUEUE], mode="Serve", serve={"command": handler}, **common),
    ]


@dataclass
class Faults:
    """Kills workers of both sides, in a random order and at random moments."""

    ours: Dev
    peers: Peers
    redis: RedisServer
    publisher: Publisher
    observer: Observer
    chance: random.Random
    kills: list[Kill] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def run(self, kills: int) -> None:
        """Does so many on each side."""
        events: list[Callable[[], None]] = [self.kill_ours] * kills + [self.kill_peer] * kills
        self.chance.shuffle(events)
        for event in events:
            time.sleep(self.chance.uniform(*BETWEEN))
            # Half of the kills come when all workers hold something, the others at any moment.
            if self.chance.random() < 0.5:
                self.publisher.wait_for_burst()
                time.sleep(self.chance.uniform(0.0, 0.2))
            event()

    def kill_ours(self) -> None:
        """Kills a worker of ours. `petiole dev` starts another one."""
        victim = self.chance.choice(until("there is a worker to kill", self.ours.victims))
        before = time.monotonic()
        self.ours.kill(victim)
        self.kills.append(Kill(before, victim.runner, self.observer.snapshot(self.redis.client)))
        self.say(victim.name)

    def kill_peer(self) -> None:
        """Kills a Celery worker with its children, and starts it again."""
        victim = self.chance.choice(until("there is a Celery worker to kill", self.peers.victims, within=60))
        name = victim.kill()
        # What it held is to be seen in its hands, however shortly before it took it.
        self.observer.snapshot(self.redis.client)
        victim.start()
        self.say(name)

    def say(self, name: str) -> None:
        """Tells of a kill."""
        print(f"  {time.monotonic() - self.begun:6.1f} s  killed {name}", file=sys.stderr, flush=True)


def estimate(kills: int) -> float:
    """About how many seconds the faults take."""
    return 2 * kills * (sum(BETWEEN) / 2 + 0.5)


def observe(folder: Path, kills: int, total: int, chance: random.Random) -> Seen:
    """Runs the whole story and returns what was seen of it."""
    book = folder / "journal"
    with (
        # For its append-only file, by which it is known who took what.
        RedisServer(folder / "redis", durable=True) as server,
        PetioleDev(folder / "dev", resources(server.url, book)) as dev,
        Peers(folder / "peers", QUEUE, server.url, book, VISIBILITY_TIMEOUT) as peers,
    ):
        until("the Celery workers take tasks", lambda: len(peers.victims()) == len(peers.peers), within=60)
        ours = Dev(dev)
        with (
            Observer("127.0.0.1", server.port) as observer,
            Publisher(server.url, chance, total, total / estimate(kills), [QUEUE]) as publisher,
        ):
            faults = Faults(ours, peers, server, publisher, observer, chance)
            publisher.start()
            faults.run(kills)
            publisher.join()
            wait_until_idle(server.client)
            found = wait_for_all(server.client, publisher.submitted, LAST_TASKS)
        ours.stop()
        return Seen(
            submitted=publisher.submitted,
            records=found,
            attempts=journal.read(book),
            kills=faults.kills,
            snapshots=observer.snapshots,
            writes=observer.writes,
            last_takers=appended.last_takers(appended.read(server.folder), QUEUE),
        )


def wait_until_idle(server: redis.Redis) -> None:
    """Waits until no message waits or is held. What is left after that is for the judge."""
    with contextlib.suppress(Late):
        until("no message waits or is held", lambda: not server.exists(QUEUE, "unacked"), BACK, every=0.2)


def run(scale: float, seed: int) -> bool:
    """Runs the ledger at a part of its size; whether its promises held."""
    kills, total = max(LEAST_KILLS, round(KILLS * scale)), max(1, round(TASKS * scale))
    faults = f"{kills} kills of our workers and as many of Celery's"
    print(f"{NAME}: {total:,} tasks, {faults}, seed {seed}, about {estimate(kills):.0f} s", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="petiole-ledger-") as folder:
        seen = observe(Path(folder), kills, total, random.Random(seed))
        kept = report(NAME, judge(seen), peers=True)
    return both_worked(seen) and kept


def both_worked(seen: Seen) -> bool:
    """Whether both sides had a part in it, without which nothing was tested."""
    attempts = [is_peer(attempt.runner) for of_task in seen.attempts.values() for attempt in of_task]
    peers, ours = attempts.count(True), attempts.count(False)
    print(f"attempts: {ours} on our workers, {peers} on Celery's", file=sys.stderr)
    return peers > 0 and ours > 0
