"""A Celery program that signs what it sends, and takes only what is signed by those that it knows.

Celery turns signing on for all apps of a process, so this one is a process of its own: a worker (`celery -A signed
worker`), or a client (`python signed.py QUEUE WHAT ARGUMENT`), which prints what came of it.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import tasks
from celery import Signature, group
from celery.result import AsyncResult

#: A folder with key.pem and cert.pem of this program, and store/ with the certificates of those that it knows.
signer = Path(os.environ["INTEROP_SIGNER"])
app = tasks.make_app(
    os.environ["INTEROP_BROKER"],
    task_serializer="auth",
    accept_content=["auth"],
    result_accept_content=["json"],
    security_key=str(signer / "key.pem"),
    security_certificate=str(signer / "cert.pem"),
    security_cert_store=str(signer / "store" / "*.pem"),
    worker_prefetch_multiplier=1,
)
# `security_digest` among the settings does not count: this argument's default does.
app.setup_security(allowed_serializers=["json"], digest=os.environ.get("INTEROP_DIGEST", "sha256"))


def call(name: str, *args: Any, **options: Any) -> Signature:
    """A call of the task `demo.<name>` on the queue that this client was given."""
    return tasks.task(app, name).signature(args, queue=queue, **options)


def ask(what: str, argument: str) -> AsyncResult:
    """Sends a task, or what a worker has to go on with by itself."""
    match what:
        case "echo":
            return call("echo", argument).apply_async()
        case "chain":
            return (call("one", argument) | call("one") | call("echo")).apply_async()
        case "chord":
            header = group(call("add", 1), call("add", 2))
            return (call("one", 3) | header | call("total")).apply_async()
        case "errback":
            return call("boom", argument).apply_async(link_error=call("keep", kwargs={"path": argument}))
        case "retry":
            return call("again", 2).apply_async()
        case "other arguments":
            return call("again_with", kwargs={"then": [["done"], {"then": None}]}).apply_async()
    raise ValueError(f"nothing is called {what}")


if __name__ == "__main__":
    queue, what, argument = sys.argv[1:]
    if what == "nodes":
        print(json.dumps(app.control.ping(timeout=1.0)))
        sys.exit()
    result = ask(what, argument)
    print(result.id, flush=True)
    try:
        print(json.dumps(result.get(timeout=20)))
    except Exception as error:
        print(json.dumps({"raised": type(error).__name__}))
