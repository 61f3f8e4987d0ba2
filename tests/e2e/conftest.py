"""What the tests stand on: Petiole and a Redis, and pools of their own."""

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from celery import Celery
from celery.result import AsyncResult

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import objects
from rig.kube import Namespace, run
from rig.reach import reached
from rig.release import REDIS, installed
from rig.waiting import until

NAMESPACE = "petiole-e2e"
API_SERVICE = "v1beta1.external.metrics.k8s.io"


class Client:
    """A Celery client program, and the gate that keeps `e2e.gate` tasks waiting."""

    def __init__(self, namespace: Namespace, host: str, port: int) -> None:
        #: Where pods find it; this stays when Redis' pod does not.
        self.address = namespace.get("service", REDIS)["spec"]["clusterIP"]
        self.app = Celery("e2e", broker=f"redis://{host}:{port}/0", backend=f"redis://{host}:{port}/1")
        self.redis = redis_client.Redis(host, port, decode_responses=True)

    def send(self, queue: str, task: str, *args: Any) -> AsyncResult:
        """Sends a task of the tests' own."""
        return self.send_task(queue, f"e2e.{task}", *args)

    def send_task(self, queue: str, task: str, *args: Any) -> AsyncResult:
        """Sends any task."""
        return self.app.send_task(task, args, queue=queue)


class Gate:
    """Holds tasks until it is opened, and knows which have started where."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.id = uuid.uuid4().hex

    def send(self, queue: str, count: int) -> dict[str, AsyncResult]:
        """Sends tasks that wait here, by their names."""
        return {name: self.client.send(queue, "gate", self.id, name) for name in (f"task-{n}" for n in range(count))}

    def started(self) -> list[tuple[str, str]]:
        """Which task has started in which pod, in that order."""
        return [tuple(each.split("@")) for each in self.client.redis.lrange(f"gate:{self.id}:started", 0, -1)]

    def open(self) -> None:
        """Lets them end."""
        self.client.redis.set(f"gate:{self.id}:open", 1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Adds the state of the cluster to a failure, before anything is cleaned up."""
    report = yield
    if report.failed:
        report.sections.append(("the cluster", Namespace(NAMESPACE).dump()))
    return report


@pytest.fixture(scope="session")
def namespace() -> Iterator[Namespace]:
    """The namespace, with Petiole in it."""
    # A cluster has one provider of external metrics: in one of the user's it may be another.
    options = () if another_provider() else ("--set", "externalMetrics.enabled=true")
    with installed(NAMESPACE, *options) as namespace:
        yield namespace


def another_provider() -> str:
    """Whose Service external metrics are led to, where it is not ours."""
    service = "jsonpath={.spec.service.namespace}/{.spec.service.name}"
    found = run("kubectl", "get", "apiservice", API_SERVICE, "--ignore-not-found", "--output", service)
    return "" if found.startswith(f"{NAMESPACE}/") else found


@pytest.fixture(scope="session")
def client(namespace: Namespace) -> Iterator[Client]:
    """A client of the chart's Redis."""
    with reached(namespace, REDIS, 6379) as (host, port):
        yield Client(namespace, host, port)


@pytest.fixture
def gate(client: Client) -> Iterator[Gate]:
    """A gate that is open at the latest when the test ends, so that no task is stuck behind it."""
    gate = Gate(client)
    yield gate
    gate.open()


@pytest.fixture
def make_pool(namespace: Namespace, client: Client) -> Iterator[Callable[..., str]]:
    """Makes a queue and a pool of its own for a test, waits until it takes tasks, and removes both.

    `of` says of which kind: `objects.pool`, `objects.scaled_pool` or `objects.serve_pool`; `ready`, how many pods it has in
    the end, where its spec does not say.
    """
    made: list[str] = []

    def make(of: Callable[..., dict[str, Any]] = objects.pool, ready: int | None = None, **spec: Any) -> str:
        name = f"pool-{uuid.uuid4().hex[:8]}"
        made.append(name)
        namespace.apply(objects.queue(name), of(name, client.address, **spec))
        wait_ready(namespace, name, spec.get("replicas", 2) if ready is None else ready)
        return name

    yield make
    for name in made:
        namespace.kubectl("delete", "workerpool,taskqueue", name, "--ignore-not-found", "--wait=false")
        pods = ("pods", "--selector", f"petiole.dev/pool={name}")
        namespace.kubectl("delete", *pods, "--grace-period=0", "--force", "--wait=false")


def wait_ready(namespace: Namespace, pool: str, replicas: int) -> None:
    """Waits until a pool's pods, and no more than these, take tasks of the current spec."""

    def ready() -> bool:
        status = namespace.get("workerpool", pool).get("status", {})
        settled = namespace.condition("workerpool", pool, "Progressing")[0] == "False"
        return settled and status.get("readyReplicas", 0) == replicas and len(pods(namespace, pool)) == replicas

    until(f"{replicas} pods of {pool} are ready", ready, 60, every=0.3)


def pods(namespace: Namespace, pool: str) -> list[str]:
    """The names of a pool's pods, with those that end."""
    return [pod["metadata"]["name"] for pod in namespace.all("pods", f"petiole.dev/pool={pool}")]
