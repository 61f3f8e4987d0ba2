"""The benches of messages that wait: what a million of them cost that have an ETA, or a task with a rate limit."""

import json
import statistics
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from answering import Client, answering
from figures import Compared, Figure, say
from filling import Dumps
from gauge import cpu, memory
from rig.waiting import until
from sides import Petiole, Running

#: How many are parked, and how many are sent at once.
COUNT, BATCH = 1_000_000, 1_000
#: Longer than the bench takes.
LATER = timedelta(hours=6)
#: Seconds until all of them are parked, at the most.
PATIENCE = 600.0
#: Tasks that do nothing, before memory is read: the worker has met load then, and nothing is parked.
WARM_UP = 20_000
#: Tasks for a latency.
PLAIN, DUE = 200, 40
#: Seconds until such a task is due.
SOON = 0.5

LIMITED = "bench.limited"
SIDE = Petiole(4, python=True, limits=((LIMITED, "1/h"),))


@dataclass(frozen=True)
class Kind:
    """What makes messages wait."""

    name: str
    headers: dict[str, str]
    """What their messages say of it."""
    task: str = "bench.noop"

    def figures(self) -> "Figures":
        """What is measured."""
        return Figures(
            Figure(f"{self.name}-million", "parked/s", more_is_better=True),
            Figure(f"{self.name}-million-memory", "MB", times=1 / 1.1),
            Figure(f"{self.name}-million-eta", "ms", at_most=100.0),
            Figure(f"{self.name}-million-latency", "ms", times=0.5),
        )


@dataclass(frozen=True)
class Figures:
    """The figures of a kind."""

    rate: Figure
    memory: Figure
    eta: Figure
    latency: Figure

    def all(self) -> tuple[Figure, ...]:
        """In the order in which they are told."""
        return (self.rate, self.memory, self.eta, self.latency)


ETA = Kind("eta", {"eta": (datetime.now(UTC) + LATER).isoformat()})
RATE = Kind("rate", {}, LIMITED)


def messages(client: Client, kind: Kind, count: int) -> Iterator[list[bytes]]:
    """So many messages as the client writes them, in batches: one of them with other ids."""
    sent = client.app.send_task(kind.task, queue="template", **kind.headers)
    raw = client.server.client.rpop("template")
    if raw is None or json.loads(raw)["headers"]["id"] != sent.id:
        raise RuntimeError("the client's message is not in its queue")
    parts = raw.split(sent.id.encode())
    for _ in range(0, count, BATCH):
        yield [str(uuid.uuid4()).encode().join(parts) for _ in range(BATCH)]


def publish(client: Client, kind: Kind, count: int) -> None:
    """Sends so many."""
    for batch in messages(client, kind, count):
        client.server.client.lpush("celery", *batch)


def rest(client: Client) -> bool:
    """Whether nothing waits, and nothing is held."""
    return client.server.client.llen("celery") == 0 and client.server.client.hlen("unacked") == 0


def percentile(milliseconds: list[float]) -> float:
    """All but a hundredth are quicker."""
    return statistics.quantiles(milliseconds, n=100)[98]


def plain(client: Client) -> float:
    """Milliseconds from sending a task until it starts, p99."""
    tasks = []
    for _ in range(PLAIN):
        time.sleep(0.02)
        tasks.append(client.send("bench.since", time.monotonic()))
    return percentile([seconds * 1000 for seconds in client.values(tasks)])


def due(client: Client) -> float:
    """Milliseconds from the time of a task until it starts, the longest."""
    tasks = []
    for number in range(DUE):
        # Out of step with each other.
        soon = SOON + number * 0.0137
        at = time.monotonic() + soon
        eta = datetime.now(UTC) + timedelta(seconds=soon)
        tasks.append(client.app.send_task("bench.since", (at,), eta=eta).id)
        time.sleep(0.05)
    return max(seconds * 1000 for seconds in client.values(tasks))


def megabytes(running: Running) -> float:
    """What a pod of the pool takes, in the middle of some looks."""
    processes = [process for of_role in running.roles().values() for process in of_role]
    return statistics.median(memory(processes) for _ in range(5)) / 1e6


def scripts(client: Client) -> tuple[int, int]:
    """How often a script has run, and the microseconds of all of them."""
    told = client.server.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0, "usec": 0})
    return told["calls"], told["usec"]


def run(kind: Kind, _: Dumps) -> Compared:
    """Runs it. The peer is ourselves with nothing parked."""
    figures = kind.figures()
    with answering(SIDE) as (client, running):
        redis = client.server.client
        publish(client, Kind("plain", {}), WARM_UP)
        until("the first tasks are done", lambda: rest(client), PATIENCE)
        before = {figures.memory: megabytes(running), figures.eta: due(client), figures.latency: plain(client)}
        if kind.task == LIMITED:
            # The one start that this hour has.
            client.values([client.send(kind.task)])
        redis.config_resetstat()
        redis.config_set("slowlog-log-slower-than", 5000)
        workers = [process for of_role in running.roles().values() for process in of_role]
        cpu_before, since = cpu(workers), time.monotonic()
        publish(client, kind, COUNT)
        published = time.monotonic() - since
        highest = 0.0
        while not rest(client):
            if time.monotonic() - since > PATIENCE:
                raise RuntimeError(f"after {PATIENCE:g} s {redis.llen('celery')} messages are not parked")
            highest = max(highest, megabytes(running))
            time.sleep(0.5)
        elapsed = time.monotonic() - since
        parked = redis.zcard("petiole:eta:celery")
        if parked != COUNT:
            raise RuntimeError(f"{parked} messages are parked, not {COUNT}")
        calls, spent = scripts(client)
        slow = [entry["duration"] for entry in redis.slowlog_get(1000) if b"EVALSHA" in entry["command"]]
        say(f"  published in {published:.1f} s, all parked after {elapsed:.1f} s; highest {highest:.1f} MB")
        used = (cpu(workers) - cpu_before) / COUNT * 1e6
        say(f"  {spent / COUNT:.1f} us of scripts and {used:.1f} us of our CPU a message")
        say(f"  {spent / calls:.0f} us a script; {len(slow)} above 5 ms, the longest {max(slow, default=0)} us")
        size = megabytes(running)
        redis.config_resetstat()
        late, quick = due(client), plain(client)
        calls, spent = scripts(client)
        stored = redis.info("memory")["used_memory"] / COUNT
        say(f"  then {spent / max(calls, 1):.0f} us a script; {stored:.0f} bytes a message")
        if redis.zcard("petiole:eta:celery") != COUNT:
            raise RuntimeError("not all are parked any more")
    return {
        figures.rate: (COUNT / elapsed, COUNT / elapsed),
        figures.memory: (size, before[figures.memory]),
        figures.eta: (late, before[figures.eta]),
        figures.latency: (quick, before[figures.latency]),
    }
