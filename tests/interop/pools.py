"""The pools that stand for the Celery worker in these tests."""

import sys
from pathlib import Path
from typing import Any

import bodies
import tasks
from rig.manifests import task_queue, worker_pool

HANDLERS = Path(__file__).parent / "handlers"
#: Without the site packages Python starts in a third of the time, and no handler needs them.
PYTHON = [sys.executable, "-I", "-S"]
EXEC = [*PYTHON, str(HANDLERS / "exec.py")]
SERVE = [*PYTHON, str(HANDLERS / "serve.py")]
DEAD = "dead"
#: What the Celery app accepts.
ACCEPT = {"content": tasks.ACCEPT}

#: How `tasks.OPTIONS` is written in a pool.
SETTINGS: dict[str, dict[str, Any]] = {
    "demo.tracked": {"trackStarted": True},
    "demo.early": {"acks": "Early"},
    "demo.silent": {"ignoreResult": True},
    "demo.limited": {"timeLimit": "1s"},
    "demo.softly": {"softTimeLimit": "1s"},
}

#: Commands as a user writes them, for the forms of a result and the templates of mode Exec.
COMMANDS: list[dict[str, Any]] = [
    {"name": "exec.text", "command": ["printf", "%s and %s\n", "$(args[0])", "$(kwargs.other)"], "result": "text"},
    {"name": "exec.json", "command": ["printf", '{"given": %s}', "$(args[0])"]},
    {"name": "exec.empty", "command": ["true"]},
    {"name": "exec.none", "command": ["echo", "this is log"], "result": "none"},
    {
        "name": "exec.file",
        "command": ["sh", "-c", 'echo log; printf \'{"result": [1, "two"]}\' > "$PETIOLE_RESULT"'],
        "result": "file",
    },
    {"name": "exec.garbage", "command": ["echo", "this is no JSON"]},
    {
        "name": "exec.environment",
        "command": ["sh", "-c", 'echo "$PETIOLE_TASK_ID $PETIOLE_TASK_NAME"'],
        "result": "text",
    },
    {"name": "exec.exit", "command": ["sh", "-c", "echo it went wrong >&2; exit $0", "$(args[0])"]},
    {
        "name": "exec.progress",
        "command": [
            "sh",
            "-c",
            'echo \'{"state": "LOADING", "meta": [1]}\' > "$PETIOLE_PROGRESS"; until [ -e "$0/open" ]; do sleep 0.01; done',
            "$(args[0])",
        ],
    },
    {"name": "exec.stdin", "command": ["sh", "-c", "wc -c"]},
    {"name": "exec.absent", "command": ["/no/such/program"]},
    {"name": "exec.large", "command": ["head", "-c", "$(args[0])", "/dev/zero"], "result": "text"},
]


def queue(name: str, url: str, visibility_timeout: str = "1h") -> dict[str, Any]:
    """A queue whose results live as long as those of the Celery app."""
    return task_queue(
        name,
        url,
        broker={"url": url, "redis": {"visibilityTimeout": visibility_timeout}},
        results={"url": url, "expires": f"{tasks.RESULT_EXPIRES}s"},
        deadLetter={"queue": DEAD},
    )


def exec_pool(name: str, queues: list[str], **spec: Any) -> dict[str, Any]:
    """A process for each task."""
    entries = [{"name": task, "command": EXEC, **SETTINGS.get(task, {})} for task in bodies.BODIES]
    return worker_pool(name, queues, mode="Exec", tasks=entries + COMMANDS, **spec)


def serve_pool(name: str, queues: list[str], **spec: Any) -> dict[str, Any]:
    """Handlers that stay."""
    entries = [{"name": task, **settings} for task, settings in SETTINGS.items()]
    return worker_pool(name, queues, mode="Serve", serve={"command": SERVE}, tasks=entries, **spec)


def shared(url: str) -> list[dict[str, Any]]:
    """What most tests use: both modes, and a pool that does one thing at a time."""
    return [
        *(queue(name, url) for name in ("celery", "serve", "single")),
        exec_pool("exec", ["celery"], concurrency=4, accept=ACCEPT),
        serve_pool("serve", ["serve"], concurrency=4, accept=ACCEPT),
        exec_pool("single", ["single"], concurrency=1, accept=ACCEPT),
    ]
