"""Flower in a real browser: every page, and every tab of a worker's page, looked at after some tasks have run.

    run.py [--against=celery] [--shots FOLDER]

Each page must show what it is there for, leave no value out, and raise no error in the browser. `--shots` keeps a
picture of each, to be held beside those of a stock Celery worker.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent
INTEROP = HERE.parent / "interop"
sys.path[:0] = [str(INTEROP), str(HERE.parent)]

import pools
import tasks
from browser import Browser
from client import Client, Gate
from rig import processes
from rig.celery_worker import CeleryWorker
from rig.dev import PetioleDev
from rig.flower import Flower
from rig.redis_server import RedisServer
from rig.waiting import until

QUEUE = "serve"
#: As good as never.
MUCH_LATER = 3600.0
TABS = ("pool", "broker", "queues", "tasks", "limits", "config", "system", "other")


def start_workers(stack: ExitStack, against: str, folder: Path, url: str) -> None:
    """A worker that serves one queue, four tasks at a time."""
    if against == "petiole":
        resources = [pools.queue(QUEUE, url), pools.serve_pool(QUEUE, [QUEUE], concurrency=4)]
        stack.enter_context(PetioleDev(folder / "dev", resources))
    else:
        env = {"INTEROP_BROKER": url}
        options = ("--concurrency", "4")
        stack.enter_context(
            CeleryWorker(folder, "tasks", *options, name="many", queues=[QUEUE], env=env, path=[INTEROP, HERE.parent])
        )


def some_work(client: Client, flower: Flower, gate: Gate) -> dict[str, str]:
    """One task in each state that the pages show, all of them heard of by Flower."""

    def heard() -> bool:
        client.app.control.enable_events(reply=True, timeout=1.0)
        probe = client.send("demo.nothing", queue=QUEUE)
        probe.get(timeout=20)
        return flower.get(f"/api/task/info/{probe.id}").status == 200

    until("Flower hears of tasks", heard)
    work = {
        "SUCCESS": client.send("demo.add", 1, 2, queue=QUEUE).id,
        "FAILURE": client.send("demo.boom", "no", queue=QUEUE).id,
        "RETRY": client.send("demo.again", 1, queue=QUEUE, kwargs={"countdown": MUCH_LATER, "error": "not yet"}).id,
        "STARTED": client.send("demo.gate", *gate.args("x"), queue=QUEUE).id,
    }
    # For the tab of a worker's tasks; Flower hears of it only when its time has come.
    client.send("demo.add", 3, 4, queue=QUEUE, countdown=MUCH_LATER)

    def seen(state: str, task_id: str) -> bool:
        answer = flower.get(f"/api/task/info/{task_id}")
        return answer.status == 200 and answer.json()["state"] == state

    until("Flower knows of all", lambda: all(seen(*one) for one in work.items()))
    return work


def look(browser: Browser, worker: str, work: dict[str, str]) -> None:
    """Looks at each page."""
    browser.open("/workers", "workers")
    browser.wait_for(worker)
    browser.wait_for("Online")
    browser.keep("workers")
    browser.open(f"/worker/{worker}", "worker")
    for tab in TABS:
        browser.click(f"worker-tab-{tab}")
        browser.wait_for_tab(f"tab-{tab}")
        browser.keep(f"worker-{tab}")
    browser.open("/tasks", "tasks")
    browser.wait_for("demo.boom")
    browser.keep("tasks")
    for state, task_id in work.items():
        browser.open(f"/task/{task_id}", "task")
        browser.wait_for(state)
        browser.wait_for(worker)
        browser.keep(f"task-{state.lower()}")
    browser.open("/broker", "broker")
    browser.wait_for(QUEUE)
    browser.keep("broker")


def press(browser: Browser, flower: Flower, worker: str, work: dict[str, str]) -> None:
    """Presses the buttons of the pages as a user does."""
    browser.open(f"/task/{work['STARTED']}", "task")
    browser.click("task-terminate")
    browser.agree()

    def revoked() -> bool:
        return flower.get(f"/api/task/info/{work['STARTED']}").json()["state"] == "REVOKED"

    until("the task is terminated", revoked)
    browser.open(f"/worker/{worker}", "worker")
    browser.click("worker-pool-grow")
    browser.wait_for_notice()
    browser.keep("worker-grow")


def main() -> int:
    """Looks, and says what was missing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", choices=["petiole", "celery"], default="petiole")
    parser.add_argument("--shots", type=Path)
    asked = parser.parse_args()
    processes.adopt_orphans()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="petiole-flower-")))
        shots = asked.shots or folder / "shots"
        server = stack.enter_context(RedisServer(folder / "redis"))
        start_workers(stack, asked.against, folder / "workers", server.url)
        client = stack.enter_context(Client(tasks.make_app(server.url)))
        env = {"INTEROP_BROKER": server.url}
        flower = stack.enter_context(Flower(folder / "flower", "tasks", env, [INTEROP, HERE.parent]))
        gate = Gate(folder)
        stack.callback(gate.open)
        work = some_work(client, flower, gate)
        [worker] = flower.get("/api/workers", refresh=1).json()
        browser = stack.enter_context(Browser(flower.url, shots, folder / "browser"))
        look(browser, worker, work)
        press(browser, flower, worker, work)
        faults = browser.faults
    for fault in faults:
        print(fault)
    print(f"flower in a browser: pages={browser.pages} faults={len(faults)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
