"""What the tests stand on: one Redis and one set of workers for most, and the means to start more.

`--against=celery` runs the tests that make sense with a stock Celery worker in Petiole's place: what they expect is
then Celery's own behaviour, not our idea of it.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import celery
import pytest

HERE = Path(__file__).parent
#: Where a Celery worker finds the tests' app.
PLACES = [HERE, HERE.parent]
sys.path.insert(0, str(HERE))

import pools
import tasks
from client import Client, Gate
from rig import processes
from rig.celery_worker import CeleryWorker
from rig.dev import PetioleDev
from rig.redis_server import RedisServer

Workers = Sequence[PetioleDev | CeleryWorker]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--against`."""
    parser.addoption("--against", choices=["petiole", "celery"], default="petiole", help="who runs the tasks")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the markers."""
    config.addinivalue_line("markers", "petiole(reason): Celery does this otherwise, or has nothing like it")
    config.addinivalue_line("markers", "celery(reason): Petiole does this otherwise, or has nothing like it")
    config.addinivalue_line("markers", "newer(reason): clients of Celery 5.2 do this otherwise, or have nothing like it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what the one that runs the tasks does otherwise, and what this client cannot ask for."""
    other = "petiole" if config.getoption("--against") == "celery" else "celery"
    for item in items:
        if marker := item.get_closest_marker(other):
            item.add_marker(pytest.mark.skip(reason=f"only {other.capitalize()}: {marker.args[0]}"))
        if celery.VERSION < (5, 3) and (marker := item.get_closest_marker("newer")):
            item.add_marker(pytest.mark.skip(reason=f"not Celery {celery.__version__}: {marker.args[0]}"))


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fails the last test when a process is left behind, and ends it. Each process that runs tests looks below itself."""
    processes.adopt_orphans()
    yield
    left = processes.end_leftovers()
    assert not left, "left behind:\n  " + "\n  ".join(left)


@pytest.fixture(scope="session")
def against(request: pytest.FixtureRequest) -> str:
    """Who runs the tasks: `petiole` or `celery`."""
    return request.config.getoption("--against")


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder for the session's servers. Not pytest's own, whose names are too long for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="petiole-") as folder:
        yield Path(folder)


def start_workers(against: str, folder: Path, url: str) -> Workers:
    """The workers that most tests share."""
    if against == "petiole":
        return [PetioleDev(folder / "dev", pools.shared(url))]
    env = {"INTEROP_BROKER": url}
    options: dict[str, Any] = {"env": env, "path": PLACES, "ready": False}
    workers = [
        CeleryWorker(folder, "tasks", "--concurrency", "4", name="many", queues=["celery", "serve"], **options),
        CeleryWorker(folder, "tasks", "--concurrency", "1", name="one", queues=["single"], **options),
    ]
    for worker in workers:
        worker.wait_ready()
    return workers


@pytest.fixture(scope="session")
def redis_server(scratch: Path) -> Iterator[RedisServer]:
    """The Redis that most tests share."""
    with RedisServer(scratch / "redis") as server:
        yield server


@pytest.fixture(scope="session")
def workers(against: str, scratch: Path, redis_server: RedisServer) -> Iterator[Workers]:
    """The workers that most tests share, with all their queues."""
    started = start_workers(against, scratch / "workers", redis_server.url)
    yield started
    for worker in started:
        worker.process.kill()


@pytest.fixture(scope="session")
def client(redis_server: RedisServer, workers: Workers) -> Iterator[Client]:
    """A client of the shared workers."""
    with Client(tasks.make_app(redis_server.url)) as client:
        yield client


@pytest.fixture(params=["celery", "serve"], ids=["exec", "serve"])
def queue(request: pytest.FixtureRequest) -> str:
    """A queue of each mode; both are the same to Celery."""
    return request.param


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that is open at the latest when the test ends, so that no task is stuck behind it."""
    gate = Gate(tmp_path)
    yield gate
    gate.open()


@pytest.fixture
def own_redis(scratch: Path) -> Iterator[RedisServer]:
    """A Redis that no other test uses."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder, RedisServer(Path(folder)) as server:
        yield server


@pytest.fixture
def own_client(own_redis: RedisServer) -> Iterator[Client]:
    """A client of it."""
    with Client(tasks.make_app(own_redis.url)) as client:
        yield client


@pytest.fixture
def start_petiole(own_redis: RedisServer) -> Iterator[Callable[..., PetioleDev]]:
    """Starts `petiole dev` on the test's own Redis."""
    started: list[PetioleDev] = []

    def start(*resources: dict[str, Any]) -> PetioleDev:
        dev = PetioleDev(own_redis.folder / f"dev{len(started)}", resources)
        started.append(dev)
        return dev

    yield start
    for dev in started:
        dev.process.kill()


@pytest.fixture
def start_celery(own_redis: RedisServer) -> Iterator[Callable[..., CeleryWorker]]:
    """Starts a stock Celery worker on the test's own Redis."""
    started: list[CeleryWorker] = []

    def start(*options: str, visibility_timeout: int = 3600, **more: Any) -> CeleryWorker:
        env = {"INTEROP_BROKER": own_redis.url, "INTEROP_VISIBILITY_TIMEOUT": str(visibility_timeout)}
        worker = CeleryWorker(
            own_redis.folder, "tasks", *options, name=f"stock{len(started)}", env=env, path=PLACES, **more
        )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.kill()
