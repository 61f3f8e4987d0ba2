"""Tasks that take their worker down, again and again."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pools
import pytest
import wire
from billiard.exceptions import WorkerLostError
from client import Client
from rig.dev import PetioleDev, binary
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 60
MOST = 3
QUEUE = "celery"

pytestmark = pytest.mark.petiole("a Celery worker that is killed stays dead, and keeps its tasks")


def dead_letter(redis: RedisServer, *words: str) -> dict[str, Any]:
    """What `petiole dead-letter` answers, with an exit code of 0."""
    place = ["--broker", redis.url, "--queue", QUEUE, "--dead-letter-queue", pools.DEAD, "-o", "json"]
    command = [binary("petiole"), "dead-letter", *words, *place]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=WITHIN).stdout)


@pytest.mark.parametrize("make", [pools.exec_pool, pools.serve_pool], ids=["exec", "serve"])
def test_a_task_that_kills_its_worker_again_and_again_is_given_up_and_others_go_on(
    own_redis: RedisServer,
    own_client: Client,
    start_petiole: Callable[..., PetioleDev],
    make: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    queue = pools.queue(QUEUE, own_redis.url)
    queue["spec"]["deadLetter"]["maxDeliveries"] = MOST
    dev = start_petiole(queue, make("pool", [QUEUE], concurrency=2))
    kills, told = tmp_path / "kills", tmp_path / "told"
    mourner = own_client.task("keep").signature(kwargs={"path": str(told)}, queue=QUEUE)
    poison = own_client.task("kill_worker").apply_async((str(dev.state_file), str(kills)), link_error=mourner)
    others = [own_client.task("add").delay(number, 1) for number in range(6)]

    assert [other.get(timeout=WITHIN) for other in others] == list(range(1, 7))
    with pytest.raises(WorkerLostError, match=f"^Worker exited prematurely: {MOST} workers have ended while it ran; "):
        poison.get(timeout=WITHIN)
    until("its errback is called", lambda: told.exists() and told.read_text().split() == [poison.id])
    # The first time its worker may be gone before it has heard that the task has begun.
    assert len(kills.read_text().split()) in (MOST, MOST + 1)

    until("it is in the dead-letter queue", lambda: wire.waiting(own_redis.client, pools.DEAD) == [poison.id])
    until("nothing is held", lambda: not wire.held(own_redis.client))
    [letter] = dead_letter(own_redis, "list")["letters"]
    assert letter["reason"].startswith(f"TooManyDeliveries: {MOST} workers have ended")
    assert (letter["task"], letter["queue"], letter["deliveries"]) == ("demo.kill_worker", QUEUE, MOST)
    history = letter["history"]
    assert len({delivery["worker"] for delivery in history}) == MOST
    assert [delivery["at"] for delivery in history] == sorted(delivery["at"] for delivery in history)
    assert [delivery["host"] for delivery in history] == ["pool-0"] * MOST
    # Two may put it back at once: who is told of its worker's end, and who finds the lease that the first has ended.
    assert {delivery["how"] for delivery in history} <= {"it was known to have ended", "its lease ran out"}


def test_a_dead_letter_that_is_put_back_runs(
    own_redis: RedisServer, own_client: Client, start_petiole: Callable[..., PetioleDev], tmp_path: Path
) -> None:
    start_petiole(pools.queue(QUEUE, own_redis.url), pools.serve_pool("pool", [QUEUE], concurrency=1))
    note = tmp_path / "note"
    letters = [own_client.task("rejected").delay(str(note), False) for _ in range(2)]
    until("one is rejected", lambda: len(wire.waiting(own_redis.client, pools.DEAD)) == 1)
    [rejected] = wire.waiting(own_redis.client, pools.DEAD)
    [letter] = dead_letter(own_redis, "list", "--task", "demo.rejected")["letters"]
    assert letter["reason"].startswith("Rejected")
    assert dead_letter(own_redis, "retry", "--id", rejected) == {"retried": 1}
    # The body takes its message the second time that it runs, whichever of the two that is.
    for result in letters:
        # A client that has seen the first end of its task does not look again.
        until("it has succeeded", lambda id=result.id: wire.record(own_redis.client, id)["status"] == "SUCCESS", WITHIN)
    assert wire.waiting(own_redis.client, pools.DEAD) == []
    assert dead_letter(own_redis, "drop", "--all") == {"dropped": 0}
