"""In which order the queues of one pool are served."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pools
import pytest
from client import Client, Gate
from rig.dev import PetioleDev
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 30
SENT = 24

pytestmark = pytest.mark.petiole("a Celery worker on Redis goes round its queues in an order of its own")


def served(
    client: Client, redis: RedisServer, gate: Gate, note: Path, start: Callable[..., PetioleDev], **spec: object
) -> list[str]:
    """The queues of the tasks in the order in which one worker, one at a time, has run them: of each as many were sent."""
    weights = spec.pop("weights", {})
    names = ["a", "b"]
    pool = pools.exec_pool("pool", names, concurrency=1, **spec)
    for entry in pool["spec"]["queues"]:
        if weight := weights.get(entry["taskQueue"]):
            entry["weight"] = weight
    holder = client.task("gate").apply_async(gate.args("holder"), queue="a")
    start(*(pools.queue(name, redis.url) for name in names), pool)
    until("the only place is taken", gate.started)
    results = [
        client.task("noted").apply_async((str(note), name), queue=name) for _ in range(SENT) for name in reversed(names)
    ]
    gate.open()
    assert holder.get(timeout=WITHIN) == "holder"
    for result in results:
        result.get(timeout=WITHIN)
    return note.read_text().split()


def test_an_earlier_queue_goes_first(
    own_client: Client, own_redis: RedisServer, gate: Gate, tmp_path: Path, start_petiole: Callable[..., PetioleDev]
) -> None:
    order = served(own_client, own_redis, gate, tmp_path / "note", start_petiole)
    assert order == ["a"] * SENT + ["b"] * SENT


def test_each_queue_has_its_share(
    own_client: Client, own_redis: RedisServer, gate: Gate, tmp_path: Path, start_petiole: Callable[..., PetioleDev]
) -> None:
    order = served(
        own_client, own_redis, gate, tmp_path / "note", start_petiole, queueOrder="Weighted", weights={"a": 3}
    )
    # Three of `a` for each of `b`, smoothly, until `a` has none left.
    both = order[: SENT + SENT // 3]
    assert abs(both.count("b") - SENT // 3) <= 1, order
    places = [at for at, name in enumerate(both) if name == "b"]
    assert all(later - earlier <= 5 for earlier, later in pairwise(places)), order
