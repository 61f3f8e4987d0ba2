"""The program `celery`: every command of `inspect` and `control`, and `status`; what it prints, and its exit code.

Each is asked of one node. What a reply has to look like is written once, for Celery's worker and for ours.
docs/compatibility.md says where the two mean different things by it.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import celery
import pytest
from celery.worker.control import Panel
from client import Client, Gate
from conftest import PLACES
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20
#: As good as never.
MUCH_LATER = 600.0
#: Celery's exit code when nobody has answered (`EX_UNAVAILABLE`), and click's when a command is used wrongly.
UNAVAILABLE, USAGE = 69, 2
NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Text:
    """A text that this pattern matches in some place."""

    pattern: str = ""


@dataclass(frozen=True)
class Each:
    """An object of any names, or a list, whose values look so."""

    value: Any


@dataclass(frozen=True)
class OneOf:
    """Looks like one of these."""

    forms: tuple[Any, ...]


@dataclass(frozen=True)
class AtLeast:
    """An object that has these names, and maybe others."""

    names: dict[str, Any]


NUMBER = object()
ANYTHING = object()


def looks_like(value: Any, form: Any) -> bool:
    """Whether a reply has this form; a form that is a plain value is that value."""
    if form is ANYTHING:
        return True
    if form is NUMBER:
        return isinstance(value, int | float) and not isinstance(value, bool)
    match form:
        case Text(pattern):
            return isinstance(value, str) and re.search(pattern, value) is not None
        case Each(each):
            values = value.values() if isinstance(value, dict) else value
            return isinstance(value, dict | list) and all(looks_like(one, each) for one in values)
        case OneOf(forms):
            return any(looks_like(value, one) for one in forms)
        case AtLeast(names):
            there = isinstance(value, dict) and value.keys() >= names.keys()
            return there and all(looks_like(value[name], form) for name, form in names.items())
        case dict():
            return isinstance(value, dict) and value.keys() == form.keys() and looks_like(value, AtLeast(form))
        case _:
            return type(value) is type(form) and value == form


def ok(pattern: str) -> dict[str, Text]:
    """A command that was taken."""
    return {"ok": Text(pattern)}


def error(pattern: str) -> dict[str, Text]:
    """One that was refused."""
    return {"error": Text(pattern)}


def done_or_advised(pattern: str) -> OneOf:
    """Done as Celery does it; or refused, and the refusal names the field of the resource to change."""
    return OneOf((ok(pattern), error("WorkerPool")))


TASK = {
    **{"id": Text("."), "name": Text(r"^demo\."), "type": Text(r"^demo\."), "hostname": Text("@")},
    **{"args": ANYTHING, "kwargs": ANYTHING, "acknowledged": OneOf((True, False))},
    "time_start": OneOf((NUMBER, None)),
    "worker_pid": OneOf((NUMBER, None)),
    "delivery_info": {
        **{"exchange": "", "routing_key": Text("."), "priority": NUMBER},
        "redelivered": OneOf((True, False, None)),
    },
}
QUEUE = {
    "name": Text("."),
    "exchange": {
        **{"name": Text("."), "type": "direct", "arguments": None, "durable": True, "passive": False},
        **{"auto_delete": False, "delivery_mode": None, "no_declare": False},
    },
    **{"routing_key": Text("."), "durable": True, "exclusive": False, "auto_delete": False, "no_ack": False},
    **dict.fromkeys(("queue_arguments", "binding_arguments", "consumer_arguments", "alias", "no_declare", "expires")),
    **dict.fromkeys(("message_ttl", "max_length", "max_length_bytes", "max_priority")),
    "bindings": [],
}
STATS = {
    **{"total": Each(NUMBER), "pid": NUMBER, "clock": Text(r"^\d+$"), "uptime": NUMBER, "prefetch_count": NUMBER},
    "pool": AtLeast(
        {
            **{"implementation": Text(":"), "max-concurrency": NUMBER, "processes": Each(NUMBER)},
            **{"max-tasks-per-child": "N/A", "put-guarded-by-semaphore": False, "timeouts": Each(NUMBER)},
            "writes": {
                **{"total": NUMBER, "avg": Text(), "all": Text(), "raw": Text(), "strategy": Text()},
                "inqueues": {"total": NUMBER, "active": NUMBER},
            },
        }
    ),
    "broker": {
        **{"hostname": "127.0.0.1", "userid": None, "virtual_host": "0", "port": NUMBER, "insist": False, "ssl": False},
        **{"transport": "redis", "connect_timeout": NUMBER},
        "transport_options": AtLeast({"visibility_timeout": NUMBER}),
        **{"login_method": None, "uri_prefix": None, "heartbeat": ANYTHING, "failover_strategy": "round-robin"},
        **{"alternates": [], "credential_provider": None},
    },
    "rusage": {
        **dict.fromkeys(("utime", "stime", "maxrss", "ixrss", "idrss", "isrss", "minflt", "majflt"), NUMBER),
        **dict.fromkeys(("nswap", "inblock", "oublock", "msgsnd", "msgrcv", "nsignals", "nvcsw", "nivcsw"), NUMBER),
    },
}
CONF = AtLeast(
    {
        **{"broker_url": Text("^redis://"), "result_backend": Text("^redis://"), "result_expires": NUMBER},
        **{"accept_content": Each(Text()), "task_acks_late": True},
    }
)

#: What is asked, and what the reply looks like.
QUESTIONS: list[tuple[str, Any]] = [
    ("inspect ping", {"ok": "pong"}),
    ("inspect active", Each(TASK)),
    ("inspect reserved", Each(TASK)),
    ("inspect scheduled", Each({"eta": Text(r"^20\d\d-\d\d-\d\dT"), "priority": NUMBER, "request": TASK})),
    ("inspect revoked", Each(Text())),
    ("inspect registered", Each(Text(r"^\S+( \[.+\])?$"))),
    ("inspect registered name serializer", Each(Text(r"^\S+ \[name=\S+ serializer=json\]$"))),
    ("inspect active_queues", Each(QUEUE)),
    ("inspect stats", STATS),
    ("inspect conf", CONF),
    ("inspect conf true", CONF),
    ("inspect clock", {"clock": NUMBER}),
    ("inspect report", ok("transport:redis")),
    (f"inspect query_task {NOBODY}", {}),
    ("inspect memsample", Text(r"^[\d.]+MB$")),
    ("inspect memdump", OneOf((Text(), None))),
    ("inspect objgraph", error(r"^ImportError\(")),
    (f"control revoke {NOBODY}", ok(rf"^tasks \{{'{NOBODY}'\}} flagged as revoked$")),
    (f"control terminate SIGTERM {NOBODY}", ok("^terminate: tasks unknown$")),
    # Celery 5.2 has no stamps.
    *[("control revoke_by_stamped_headers nobody=has-it", ok(r"^headers .*nobody.*revoked"))][celery.VERSION < (5, 3) :],
    ("control rate_limit demo.silent 100/s", done_or_advised("^new rate limit set successfully$")),
    ("control rate_limit demo.silent 0", ok("^new rate limit set successfully$")),
    ("control rate_limit demo.silent often", error("^Invalid rate limit string: ValueError")),
    ("control rate_limit demo.unknown 1/s", error("^unknown task$")),
    ("control time_limit demo.silent 30 60", ok("^time limits set successfully$")),
    ("control time_limit demo.unknown 30 60", error("^unknown task$")),
    ("control add_consumer flowers", done_or_advised("^add consumer flowers$")),
    ("control cancel_consumer flowers", done_or_advised("^no longer consuming from flowers$")),
    ("control pool_grow 1", done_or_advised("^pool will grow$")),
    ("control pool_shrink 1", done_or_advised("^pool will shrink$")),
    ("control autoscale 3 1", error(r"^ValueError\('Autoscale not enabled'\)$")),
    ("control pool_restart", error(r"^ValueError\('Pool restarts not enabled'\)$")),
    ("control enable_events", ok("^task events (already )?enabled$")),
    ("control disable_events", ok("^task events (already )?disabled$")),
    ("control heartbeat", None),
    ("control election", error("^TypeError")),
]


@dataclass(frozen=True)
class Said:
    """What the program has printed, and its exit code."""

    code: int
    out: str
    err: str


class Program:
    """`celery -A tasks`."""

    def __init__(self, url: str) -> None:
        path = ":".join(str(place) for place in PLACES)
        self.env = {**os.environ, "PYTHONPATH": path, "INTEROP_BROKER": url, "NO_COLOR": "1"}

    def __call__(self, *words: str) -> Said:
        command = [sys.executable, "-m", "celery", "-A", "tasks", "--no-color", *words]
        ended = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=False)
        return Said(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="session")
def celery(redis_server: RedisServer, client: Client) -> Program:
    """The program, for the shared workers."""
    return Program(redis_server.url)


@pytest.fixture(scope="session")
def node(client: Client) -> str:
    """The node that serves the queue `celery`."""
    queues = client.app.control.inspect(timeout=2.0).active_queues()
    return next(name for name, served in queues.items() if [queue["name"] for queue in served][0] == "celery")


@pytest.fixture(autouse=True)
def as_it_was(client: Client) -> Iterator[None]:
    """No other test shall find events of tasks turned off that it has turned on."""
    yield
    client.app.control.disable_events()


def test_every_command_of_celery_is_asked_here() -> None:
    asked = {tuple(words.split()[:2]) for words, _ in QUESTIONS} | {("control", "shutdown")}
    assert asked == {(meta.type, name) for name, meta in Panel.meta.items() if meta.visible}


@pytest.mark.parametrize(("words", "form"), QUESTIONS, ids=[words for words, _ in QUESTIONS])
def test_a_command_is_answered_as_by_celerys_worker(celery: Program, node: str, words: str, form: Any) -> None:
    kind, *asked = words.split()
    said = celery(kind, "--json", "--destination", node, *asked)
    assert said.code == 0, said
    # `inspect` says below it how many nodes have answered, `control` has a list of answers.
    answer = json.loads(said.out.splitlines()[0])
    [(name, reply)] = (answer[0] if kind == "control" else answer).items()
    assert name == node
    assert looks_like(reply, form), reply


def test_what_a_command_prints_for_people_is_the_same(celery: Program, node: str) -> None:
    said = celery("inspect", "--destination", node, "ping")
    assert (said.code, said.out) == (0, f"->  {node}: OK\n        pong\n\n1 node online.\n")
    said = celery("inspect", "--destination", node, "clock")
    clock = r'OK\n    \{\n        "clock": \d+\n    \}\n\n1 node online\.\n'
    assert re.fullmatch(rf"->  {re.escape(node)}: {clock}", said.out)
    said = celery("control", "--destination", node, "autoscale", "3", "1")
    assert (said.code, said.out) == (0, f"->  {node}: ERROR\n        ValueError('Autoscale not enabled')\n")
    said = celery("inspect", "--destination", node, "active_queues")
    assert f"->  {node}: OK\n    * {{" in said.out


def test_status_lists_the_nodes(celery: Program, client: Client) -> None:
    alive = sorted(name for pong in client.app.control.ping(timeout=1.0) for name in pong)
    said = celery("status")
    lines = [line for line in said.out.splitlines() if line]
    assert said.code == 0
    assert sorted(lines[:-1]) == [f"->  {name}: OK" for name in alive]
    assert lines[-1] == f"{len(alive)} nodes online."
    said = celery("status", "--json")
    assert json.loads(said.out.splitlines()[0]) == dict.fromkeys(alive, {"ok": "pong"})


@pytest.mark.parametrize("words", ["status", "inspect ping", "control enable_events"])
def test_nobody_of_this_name_is_online(celery: Program, words: str) -> None:
    kind, *asked = words.split()
    said = celery(kind, "--destination", "nobody@nowhere", "--timeout", "0.3", *asked)
    assert said.code == UNAVAILABLE
    assert "No nodes replied within time constraint" in said.err


def test_a_command_that_does_not_exist_is_not_sent(celery: Program) -> None:
    assert celery("inspect", "weather").code == USAGE
    assert celery("control", "weather").code == USAGE


def test_a_task_that_runs_is_found_by_its_id(celery: Program, node: str, client: Client, gate: Gate) -> None:
    running = client.task("gate").apply_async(gate.args("x"), queue="celery")
    until("it runs", lambda: gate.started() == ["x"])
    later = client.task("add").apply_async((1, 2), queue="celery", countdown=MUCH_LATER)

    def found() -> Any:
        said = celery("inspect", "--json", "--destination", node, "query_task", running.id, later.id)
        known = json.loads(said.out.splitlines()[0])[node]
        return known if known.keys() == {running.id, later.id} else None

    known = until("both are known", found)
    (state, info), (later_state, _) = known[running.id], known[later.id]
    assert (state, later_state) == ("active", "scheduled")
    assert looks_like(info, TASK)
    assert info["time_start"] > 0
    later.revoke()
    gate.open()
    running.get(timeout=WITHIN)
