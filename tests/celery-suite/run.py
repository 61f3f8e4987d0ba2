"""Runs Celery's own integration suite against `petiole dev`.

With `--against=celery` against a stock Celery worker in a process of its own. Other arguments go to pytest: a module, a
test, `-k`. A test may fail only where `known.toml` says why. One that is named there and passes is told, so that it can
be taken out.
"""

import os
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import suite
from rig import processes
from rig.celery_worker import CeleryWorker
from rig.dev import PetioleDev
from rig.manifests import task_queue, worker_pool
from rig.redis_server import RedisServer

POOL = "suite"
#: What is not our default for a task.
TASKS = [
    # `inspect active` has to say that its message is acknowledged.
    {"name": "t.integration.tasks.sleeping", "acks": "Early"},
]


@contextmanager
def worker(against: str, folder: Path, url: str, env: dict[str, str]) -> Iterator[str]:
    """The worker that serves the suite's tasks; gives its name."""
    if against == "celery":
        options = ["--concurrency", "1", "--hostname", "suite@stock"]
        with CeleryWorker(folder / "celery", "suite_app", *options, env=env, path=[HERE, Path(env["SUITE"])]):
            yield "suite@stock"
        return
    command = [sys.executable, str(HERE / "handler.py")]
    pool = worker_pool(POOL, ["celery"], mode="Serve", concurrency=1, serve={"command": command}, tasks=TASKS)
    with PetioleDev(folder / "dev", [task_queue("celery", url), pool]):
        yield f"celery@{POOL}-0"


def told(outcomes: list[suite.Outcome], always: dict[str, str], sometimes: dict[str, str]) -> bool:
    """Prints how it went; whether nothing is new."""
    known = always | sometimes
    failed = [outcome for outcome in outcomes if outcome.how == "failed"]
    new = [outcome for outcome in failed if outcome.test not in known]
    mended = [outcome.test for outcome in outcomes if outcome.how == "passed" and outcome.test in always]
    for outcome in failed:
        print(f"failed {outcome.test}\n    {known.get(outcome.test) or f'NEW: {outcome.why}'}")
    for outcome in outcomes:
        if outcome.how == "skipped":
            print(f"skipped {outcome.test}\n    {outcome.why}")
    for test in mended:
        print(f"passes, and known.toml says that it fails: {test}")
    counts = {how: sum(outcome.how == how for outcome in outcomes) for how in ("passed", "failed", "skipped")}
    print("celery-suite", *(f"{how}={count}" for how, count in counts.items()), f"new={len(new)}")
    return not new and bool(outcomes)


def main() -> int:
    """Runs it."""
    against = "celery" if "--against=celery" in sys.argv else "petiole"
    options = [option for option in sys.argv[1:] if not option.startswith("--against")]
    known = tomllib.loads((HERE / "known.toml").read_text())
    processes.adopt_orphans()
    with ExitStack() as stack:
        # Not under a long path: a unix socket's name is short.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="petiole-suite-")))
        copy = suite.fetch(folder)
        server = stack.enter_context(RedisServer(folder / "redis"))
        env = {
            **{"TEST_BROKER": server.url, "TEST_BACKEND": server.url},
            **{"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(server.port)},
            **{"SUITE": str(copy), "PYTHONPATH": f"{HERE}:{HERE.parent}:{copy}"},
        }
        os.environ.update(env)
        os.environ["SUITE_NODENAME"] = stack.enter_context(worker(against, folder, server.url, env))
        outcomes = suite.run(copy, folder / "report.xml", os.environ, options)
    always = known["both"] | (known["petiole"] if against == "petiole" else {})
    same = told(outcomes, always, known["sometimes"])
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
