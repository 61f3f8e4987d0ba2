"""What Flower, Celery's monitor, finds in the workers: its API and its pages."""

import html
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pools
import psutil
import pytest
from client import Client, Gate
from conftest import PLACES
from rig.celery_worker import CeleryWorker
from rig.dev import PetioleDev
from rig.flower import Answer, Flower
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20
#: As good as never.
MUCH_LATER = 600.0


def start_flower(folder: Path, url: str) -> Flower:
    """Flower on the tests' app."""
    return Flower(folder, "tasks", {"INTEROP_BROKER": url}, PLACES)


@pytest.fixture(scope="session")
def flower(scratch: Path, redis_server: RedisServer, client: Client) -> Iterator[Flower]:
    """A Flower that hears of tasks: it asks for their events only some seconds after its start."""
    with start_flower(scratch / "flower", redis_server.url) as flower:

        def heard() -> bool:
            client.app.control.enable_events(reply=True, timeout=1.0)
            sent = [client.task("nothing").apply_async(queue=queue) for queue in ("celery", "serve", "single")]
            for result in sent:
                result.get(timeout=WITHIN)
            return all(flower.get(f"/api/task/info/{result.id}").status == 200 for result in sent)

        until("Flower hears of tasks on all queues", heard)
        yield flower


def workers(flower: Flower) -> dict[str, Any]:
    """What it knows of all workers, asked anew."""
    return flower.get("/api/workers", refresh=1).json()


def worker_of(flower: Flower, queue: str) -> str:
    """The name of the worker that serves a queue."""

    def serving() -> list[str]:
        known = workers(flower).items()
        return [name for name, info in known if queue in {served["name"] for served in info.get("active_queues", [])}]

    [name] = until(f"Flower knows who serves {queue}", serving)
    return name


def told(flower: Flower, task_id: str, state: str) -> dict[str, Any]:
    """What it was told of a task, once that is in this state."""

    def info() -> dict[str, Any] | None:
        answer = flower.get(f"/api/task/info/{task_id}")
        return answer.json() if answer.status == 200 and answer.json()["state"] == state else None

    return until(f"Flower knows {task_id} as {state}", info)


def filled(info: dict[str, Any]) -> set[str]:
    """The fields of a task that say something."""
    return {name for name, value in info.items() if value is not None}


def applied(answer: Answer) -> str:
    """The id of a task that Flower has sent."""
    assert answer.status == 200, answer.text
    return answer.json()["task-id"]


def test_flower_knows_every_worker(flower: Flower, client: Client) -> None:
    alive = {name for pong in client.app.control.ping(timeout=1.0) for name in pong}
    known = workers(flower)
    assert set(known) == alive
    for info in known.values():
        assert {"stats", "active_queues", "registered", "conf", "timestamp"} <= set(info)


def test_flower_knows_what_one_worker_has_at_hand(flower: Flower, client: Client, gate: Gate, queue: str) -> None:
    name = worker_of(flower, queue)
    running = client.task("gate").apply_async(gate.args("x"), queue=queue)
    later = client.task("add").apply_async((1, 2), queue=queue, countdown=MUCH_LATER)

    def at_hand() -> dict[str, Any] | None:
        info = flower.get("/api/workers", refresh=1, workername=name).json()[name]
        active = {task["id"]: task for task in info["active"]}
        scheduled = {entry["request"]["id"]: entry for entry in info["scheduled"]}
        both = running.id in active and later.id in scheduled
        return {"active": active[running.id], "scheduled": scheduled[later.id]} if both else None

    found = until("Flower knows both", at_hand)
    assert found["active"]["name"] == "demo.gate"
    assert found["active"]["time_start"] > 0
    assert found["scheduled"]["eta"].startswith("20")
    page = flower.get(f"/worker/{name}").text
    assert running.id in page
    assert later.id in page
    later.revoke()
    gate.open()
    assert running.get(timeout=WITHIN) == "x"


def test_flower_sees_every_worker_online(flower: Flower, client: Client) -> None:
    alive = {name for pong in client.app.control.ping(timeout=1.0) for name in pong}
    until(
        "they are online",
        lambda: flower.get("/api/workers", status=1).json() == dict.fromkeys(alive, True),
    )


def test_the_page_of_workers_counts_what_they_have_done(flower: Flower, client: Client, queue: str) -> None:
    name = worker_of(flower, queue)

    def row() -> dict[str, Any]:
        rows = flower.get("/workers", json=1).json()["data"]
        return next(row for row in rows if row["hostname"] == name)

    before = row().get("task-succeeded", 0)
    client.task("add").apply_async((1, 2), queue=queue).get(timeout=WITHIN)
    until("it is counted", lambda: row().get("task-succeeded", 0) > before)
    assert row()["status"] is True
    assert row()["processed"] > 0
    assert row()["pid"] > 0
    assert len(row()["loadavg"]) == 3
    assert {"active", "freq", "sw_ident", "sw_ver", "sw_sys"} <= set(row())
    assert flower.get("/workers").status == 200


def test_the_page_of_a_worker_leaves_no_figure_out(flower: Flower, client: Client, queue: str) -> None:
    client.task("add").apply_async((1, 2), queue=queue).get(timeout=WITHIN)
    page = flower.get(f"/worker/{worker_of(flower, queue)}")
    assert page.status == 200
    # What Flower shows for a value that it has not got.
    assert "value-missing" not in page.text
    for shown in ("Worker PID", "Prefetch Count", "Max concurrency", "Processed tasks", "demo.add", "maxrss", "uptime"):
        assert shown in page.text
    assert f"<td>{queue}</td>" in page.text


def test_a_worker_names_the_processes_of_its_tasks(flower: Flower, client: Client, queue: str) -> None:
    client.task("add").apply_async((1, 2), queue=queue).get(timeout=WITHIN)
    stats = workers(flower)[worker_of(flower, queue)]["stats"]
    assert psutil.pid_exists(stats["pid"])
    assert isinstance(stats["pool"]["processes"], list)
    assert queue == "celery" or stats["pool"]["processes"]
    assert all(pid != stats["pid"] for pid in stats["pool"]["processes"])


def test_an_unknown_worker_or_task_is_not_found(flower: Flower) -> None:
    for page in ("/worker/nobody@nowhere", "/task/nothing", "/api/task/info/nothing"):
        assert flower.get(page).status == 404
    assert flower.post("/api/worker/shutdown/nobody@nowhere").status == 404


def test_flower_follows_a_task_to_its_end(flower: Flower, queue: str) -> None:
    sent = flower.post("/api/task/async-apply/demo.add", {"args": [1, 2], "queue": queue})
    task_id = applied(sent)
    info = told(flower, task_id, "SUCCESS")
    assert info["name"] == "demo.add"
    assert (info["args"], info["kwargs"], info["result"]) == ("[1, 2]", "{}", "3")
    assert info["received"] <= info["started"] <= info["succeeded"]
    # Flower takes 0 for "not known".
    assert info["runtime"] > 0
    assert (info["root_id"], info["parent_id"]) == (task_id, None)
    assert info["worker"] == worker_of(flower, queue)
    assert filled(info) == {
        *("uuid", "name", "state", "args", "kwargs", "result", "received", "started", "succeeded", "runtime"),
        *("retries", "root_id", "root", "clock", "timestamp", "worker", "children"),
    }
    page = flower.get(f"/task/{task_id}")
    assert page.status == 200
    assert all(shown in page.text for shown in (task_id, "demo.add", "SUCCESS", info["worker"]))


def test_flower_lists_tasks_by_name_state_and_worker(flower: Flower, queue: str) -> None:
    task_id = applied(flower.post("/api/task/async-apply/demo.mul", {"args": [2, 3], "queue": queue}))
    told(flower, task_id, "SUCCESS")
    by = {"taskname": "demo.mul", "state": "SUCCESS", "workername": worker_of(flower, queue)}
    assert task_id in flower.get("/api/tasks", **by).json()
    assert task_id not in flower.get("/api/tasks", **{**by, "state": "FAILURE"}).json()
    assert "demo.mul" in flower.get("/api/task/types").json()["task-types"]
    assert flower.get("/tasks").status == 200


def test_flower_shows_why_a_task_failed(flower: Flower, queue: str) -> None:
    task_id = applied(flower.post("/api/task/async-apply/demo.boom", {"args": ["no"], "queue": queue}))
    info = told(flower, task_id, "FAILURE")
    assert info["exception"] == "ValueError('no')"
    assert "Traceback" in info["traceback"]
    page = html.unescape(flower.get(f"/task/{task_id}").text)
    assert "ValueError('no')" in page
    assert "Traceback" in page


def test_flower_counts_the_retries_of_a_task(flower: Flower, queue: str) -> None:
    task_id = applied(flower.post("/api/task/async-apply/demo.again", {"args": [1], "queue": queue}))
    info = told(flower, task_id, "SUCCESS")
    assert info["retried"] is not None
    assert info["retries"] == 1


def test_flower_fetches_a_result(flower: Flower, queue: str) -> None:
    done = flower.post("/api/task/apply/demo.add", {"args": [20, 22], "queue": queue})
    assert (done.status, done.json()["state"], done.json()["result"]) == (200, "SUCCESS", 42)
    again = flower.get(f"/api/task/result/{done.json()['task-id']}").json()
    assert (again["state"], again["result"]) == ("SUCCESS", 42)


def test_flower_sends_a_task_by_its_name_alone(flower: Flower, client: Client, queue: str) -> None:
    task_id = applied(flower.post("/api/task/send-task/demo.echo", {"args": ["x"], "queue": queue}))
    assert client.app.AsyncResult(task_id).get(timeout=WITHIN) == {"args": ["x"], "kwargs": {}}


def test_flower_ends_a_task_that_runs(flower: Flower, client: Client, gate: Gate, queue: str) -> None:
    result = client.task("gate").apply_async(gate.args("x"), queue=queue)
    told(flower, result.id, "STARTED")
    assert flower.post(f"/api/task/revoke/{result.id}", terminate=True).status == 200
    assert told(flower, result.id, "REVOKED")["revoked"] is not None


def test_flower_counts_what_waits_in_the_queues(flower: Flower, client: Client, gate: Gate) -> None:
    waiting = [client.task("gate").apply_async(gate.args(str(number)), queue="single") for number in range(4)]
    until("one runs", lambda: len(gate.started()) == 1)

    def lengths() -> dict[str, int]:
        workers(flower)
        return {queue["name"]: queue["messages"] for queue in flower.get("/api/queues/length").json()["active_queues"]}

    until("the others wait", lambda: lengths().get("single") == 3)
    assert {"celery", "serve", "single"} <= set(lengths())
    assert "single" in flower.get("/broker").text
    gate.open()
    for result in waiting:
        result.get(timeout=WITHIN)


@pytest.mark.parametrize(
    "presses",
    [
        [("worker/pool/grow/{worker}", {"n": 1}), ("worker/pool/shrink/{worker}", {"n": 1})],
        [
            ("worker/queue/add-consumer/{worker}", {"queue": "flowers"}),
            ("worker/queue/cancel-consumer/{worker}", {"queue": "flowers"}),
        ],
        [
            ("task/rate-limit/demo.silent", {"workername": "{worker}", "ratelimit": "100/s"}),
            ("task/rate-limit/demo.silent", {"workername": "{worker}", "ratelimit": "0"}),
        ],
        [("task/timeout/demo.silent", {"workername": "{worker}", "soft": 30, "hard": 60})],
    ],
    ids=["pool", "consumer", "rate", "timeout"],
)
def test_a_button_does_what_it_says_or_says_what_to_change_instead(
    flower: Flower, presses: list[tuple[str, dict[str, Any]]]
) -> None:
    worker = worker_of(flower, "celery")
    for button, words in presses:
        said = {name: worker if word == "{worker}" else word for name, word in words.items()}
        answer = flower.post(f"/api/{button.format(worker=worker)}", **said)
        done = answer.status == 200 and answer.json()["message"]
        advised = answer.status == 403 and "WorkerPool" in answer.text
        assert done or advised, answer


@pytest.mark.parametrize(
    ("button", "words", "why"),
    [
        ("worker/pool/autoscale/{worker}", {"min": 1, "max": 2}, "Autoscale not enabled"),
        ("worker/pool/restart/{worker}", {}, "Pool restarts not enabled"),
    ],
)
def test_a_button_that_does_nothing_says_why(flower: Flower, button: str, words: dict[str, Any], why: str) -> None:
    answer = flower.post(f"/api/{button.format(worker=worker_of(flower, 'celery'))}", **words)
    assert answer.status == 403
    assert why in answer.text


def test_flower_exports_the_workers_and_their_tasks_as_metrics(flower: Flower, client: Client, queue: str) -> None:
    name = worker_of(flower, queue)
    client.task("add").apply_async((1, 2), queue=queue).get(timeout=WITHIN)

    def metrics() -> list[str]:
        return flower.get("/metrics").text.splitlines()

    wanted = [
        f'flower_worker_online{{worker="{name}"}} 1.0',
        f'flower_task_runtime_seconds_count{{task="demo.add",worker="{name}"}}',
        f'flower_events_total{{task="demo.add",type="task-started",worker="{name}"}}',
        f'flower_worker_number_of_currently_executing_tasks{{worker="{name}"}}',
    ]
    until("all are there", lambda: all(any(line.startswith(one) for line in metrics()) for one in wanted))
    ahead = f'flower_worker_prefetched_tasks{{task="demo.add",worker="{name}"}} '
    until("none is ahead", lambda: f"{ahead}0.0" in metrics())


@pytest.mark.celery("a pod that ends is started again: its tasks' processes are, and the worker stays")
def test_flower_stops_a_worker(own_redis: RedisServer, start_celery: Callable[..., CeleryWorker]) -> None:
    worker = start_celery("--concurrency", "1")
    with start_flower(own_redis.folder / "flower", own_redis.url) as flower:
        assert flower.post(f"/api/worker/shutdown/{worker_of(flower, 'celery')}").status == 200
        assert worker.process.wait(WITHIN) == 0


@pytest.mark.petiole("a worker that ends is gone")
def test_flower_starts_a_worker_s_processes_anew_once_its_task_has_ended(
    own_redis: RedisServer, own_client: Client, start_petiole: Callable[..., PetioleDev], gate: Gate
) -> None:
    dev = start_petiole(pools.queue("celery", own_redis.url), pools.exec_pool("exec", ["celery"], concurrency=1))
    [before] = dev.replicas()
    running = own_client.task("gate").apply_async(gate.args("x"), queue="celery")
    until("it runs", lambda: gate.started() == ["x"])
    with start_flower(own_redis.folder / "flower", own_redis.url) as flower:
        assert flower.post(f"/api/worker/shutdown/{worker_of(flower, 'celery')}").status == 200
        until("it stops", lambda: "draining" in dev.process.output())
        waiting = own_client.task("add").apply_async((1, 2), queue="celery")
        assert dev.replicas()[0].runner == before.runner
        gate.open()
        assert running.get(timeout=WITHIN) == "x"
        assert waiting.get(timeout=WITHIN) == 3
        assert dev.replicas()[0].runner != before.runner
