"""Tasks that are not to run before their time, and those that must not run after it."""

import datetime
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pools
import pytest
import wire
from celery import chain, chord, group, states
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult
from client import Client, Gate
from rig.celery_worker import CeleryWorker
from rig.dev import PetioleDev
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20
#: As good as never.
MUCH_LATER = 600.0
INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))


def now() -> datetime.datetime:
    """The time, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def after(seconds: float) -> datetime.datetime:
    """The time in so many seconds."""
    return now() + datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize("form", ["utc", "zone", "naive"])
def test_a_task_with_an_eta_does_not_run_before_it(client: Client, queue: str, form: str) -> None:
    eta = after(0.4)
    # A time without a zone is one of the app's own zone, which is UTC here.
    given = {"utc": eta, "zone": eta.astimezone(INDIA), "naive": eta.replace(tzinfo=None)}[form]
    result = client.task("clock").apply_async(queue=queue, eta=given)
    assert result.get(timeout=WITHIN) >= eta.timestamp()


def test_a_task_with_a_countdown_does_not_run_before_it(client: Client, queue: str) -> None:
    sent = now().timestamp()
    result = client.task("clock").apply_async(queue=queue, countdown=0.4)
    assert result.get(timeout=WITHIN) >= sent + 0.4


@pytest.mark.parametrize("countdown", [0, -60])
def test_a_task_whose_time_has_come_already_runs_at_once(client: Client, queue: str, countdown: float) -> None:
    result = client.task("add").apply_async((1, 1), queue=queue, countdown=countdown)
    assert result.get(timeout=WITHIN) == 2


def test_a_task_that_waits_for_its_time_has_no_state(client: Client, redis_server: RedisServer, queue: str) -> None:
    result = client.task("add").apply_async((1, 1), queue=queue, countdown=MUCH_LATER)
    until("it is taken from its queue", lambda: result.id not in wire.waiting(redis_server.client, queue))
    assert result.state == states.PENDING
    assert wire.record(redis_server.client, result.id) is None


def test_tasks_run_in_the_order_of_their_times(
    client: Client, redis_server: RedisServer, gate: Gate, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    first = after(0.8)
    # So near to each other that they come due in one look at what waits: of what came due before, while no place was
    # free, the later goes before the earlier.
    delays = [0.004, 0.002, 0.003, 0.0, 0.001]
    sent = [
        client.task("noted").apply_async(
            (str(note), str(delay)), queue="single", eta=first + datetime.timedelta(seconds=delay)
        )
        for delay in delays
    ]
    # A Celery worker orders those that it holds, and takes none while its only place is taken.
    until("all are taken from their queue", lambda: not wire.waiting(redis_server.client, "single"))
    client.task("gate").apply_async(gate.args("first"), queue="single")
    until("the only place is taken", gate.started)
    until("all times have come", lambda: now() > first + datetime.timedelta(seconds=0.3))
    gate.open()
    for result in sent:
        result.get(timeout=WITHIN)
    assert note.read_text().split() == [str(delay) for delay in sorted(delays)]


def test_tasks_that_wait_for_their_times_hold_up_no_others(client: Client, redis_server: RedisServer) -> None:
    later = [client.task("add").apply_async((1, 1), queue="single", countdown=MUCH_LATER) for _ in range(20)]
    assert client.task("add").apply_async((2, 2), queue="single").get(timeout=WITHIN) == 4
    until("all are taken from their queue", lambda: not wire.waiting(redis_server.client, "single"))
    assert client.task("add").apply_async((3, 3), queue="single").get(timeout=WITHIN) == 6
    assert {result.state for result in later} == {states.PENDING}


def test_many_tasks_of_one_time_all_run(client: Client, queue: str) -> None:
    eta = after(0.4)
    sent = [client.task("add").apply_async((number, 1), queue=queue, eta=eta) for number in range(50)]
    assert [result.get(timeout=60) for result in sent] == list(range(1, 51))


def test_a_task_that_expires_before_its_time_is_revoked(client: Client, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    result = client.task("noted").apply_async((str(note), "ran"), queue=queue, countdown=0.5, expires=0.2)
    with pytest.raises(TaskRevokedError, match="expired"):
        result.get(timeout=WITHIN)
    assert result.state == states.REVOKED
    assert not note.exists()


def test_a_task_that_expires_after_its_time_runs(client: Client, queue: str) -> None:
    result = client.task("add").apply_async((1, 1), queue=queue, countdown=0.2, expires=60)
    assert result.get(timeout=WITHIN) == 2


def test_a_time_of_expiry_may_be_a_date(client: Client, queue: str) -> None:
    late = client.task("add").apply_async((1, 1), queue=queue, expires=after(-1).astimezone(INDIA))
    assert client.task("add").apply_async((1, 1), queue=queue, expires=after(60)).get(timeout=WITHIN) == 2
    with pytest.raises(TaskRevokedError, match="expired"):
        late.get(timeout=WITHIN)


def test_the_first_step_of_a_chain_waits_for_its_time_and_the_others_follow(client: Client, queue: str) -> None:
    sent = now().timestamp()
    last = chain(client.sig("clock", queue=queue), client.sig("echo", queue=queue)).apply_async(countdown=0.3)
    assert last.get(timeout=WITHIN)["args"][0] >= sent + 0.3


def test_all_members_of_a_group_wait_for_its_time(client: Client, queue: str) -> None:
    sent = now().timestamp()
    result = group(client.sig("clock", queue=queue) for _ in range(3)).apply_async(countdown=0.3)
    assert min(result.get(timeout=WITHIN)) >= sent + 0.3


@pytest.mark.newer("it sends the header at once")
def test_the_header_of_a_chord_waits_for_its_time(client: Client, queue: str) -> None:
    sent = now().timestamp()
    work = chord([client.sig("clock", queue=queue)] * 2, client.sig("one", queue=queue))
    assert min(work.apply_async(countdown=0.3).get(timeout=WITHIN)) >= sent + 0.3


def test_members_of_a_group_may_have_times_of_their_own(client: Client) -> None:
    sent = now().timestamp()
    work = group(client.sig("clock") for _ in range(3))
    # 0.1, 0.2 and 0.3 seconds.
    work.skew(start=0.1, stop=0.4, step=0.1)
    early, middle, late = work.delay().get(timeout=WITHIN)
    assert early >= sent + 0.1 and middle >= sent + 0.2 and late >= sent + 0.3


def test_a_callback_may_have_a_countdown(client: Client) -> None:
    link = client.sig("clock", immutable=True, countdown=0.3)
    result = client.task("clock").apply_async(queue="serve", link=link)
    ended = result.get(timeout=WITHIN)
    assert result.children[0].get(timeout=WITHIN) >= ended + 0.3


@pytest.fixture
def start_one(
    against: str,
    own_redis: RedisServer,
    start_petiole: Callable[..., PetioleDev],
    start_celery: Callable[..., CeleryWorker],
) -> Callable[[], PetioleDev | CeleryWorker]:
    """Starts a worker of the test's own."""

    def start(visibility_timeout: str = "1h") -> PetioleDev | CeleryWorker:
        if against == "celery":
            return start_celery("--concurrency", "1")
        queue = pools.queue("celery", own_redis.url, visibility_timeout)
        return start_petiole(queue, pools.serve_pool("serve", ["celery"], concurrency=1))

    return start


def taken(redis_server: RedisServer, result: AsyncResult) -> None:
    """Waits until a worker has taken the message."""
    until("it is taken from its queue", lambda: result.id not in wire.waiting(redis_server.client, "celery"))


def test_a_task_that_waits_for_its_time_outlives_its_worker_s_stop(
    own_redis: RedisServer, own_client: Client, start_one: Callable[..., PetioleDev | CeleryWorker], tmp_path: Path
) -> None:
    note = tmp_path / "note"
    worker = start_one()
    eta = after(1.0)
    result = chain(
        own_client.sig("noted", str(note), "ran", queue="celery", immutable=True),
        own_client.sig("clock", queue="celery", immutable=True),
    ).apply_async(eta=eta)
    taken(own_redis, result.parent)
    assert worker.stop() == 0
    start_one()
    assert result.get(timeout=WITHIN) >= eta.timestamp()
    assert note.read_text() == "ran\n"


@pytest.mark.petiole("a Celery worker that is killed keeps its tasks until the visibility timeout is over")
def test_a_task_that_waits_for_its_time_outlives_a_killed_worker(
    own_redis: RedisServer, own_client: Client, start_one: Callable[..., PetioleDev], tmp_path: Path
) -> None:
    note = tmp_path / "note"
    dev = start_one()
    result = own_client.task("noted").apply_async((str(note), "ran"), countdown=1.0)
    taken(own_redis, result)
    worker = dev.replicas()[0].worker
    assert worker
    os.kill(worker, signal.SIGKILL)
    result.get(timeout=WITHIN)
    assert note.read_text() == "ran\n"


@pytest.mark.petiole("a Celery worker that holds a task for longer than the visibility timeout gets it once more")
def test_a_task_that_waits_longer_than_the_visibility_timeout_runs_once(
    own_client: Client, start_one: Callable[..., PetioleDev], tmp_path: Path
) -> None:
    note = tmp_path / "note"
    start_one(visibility_timeout="1s")
    result = own_client.task("noted").apply_async((str(note), "ran"), countdown=2.5)
    marker = own_client.task("add").apply_async((1, 1), countdown=3.0)
    assert marker.get(timeout=WITHIN) == 2
    assert result.get(timeout=WITHIN) is None
    assert note.read_text() == "ran\n"
