"""An application as any other: it knows nothing of Petiole. Its broker and result store are Celery's own variables."""

import os
import time

import redis
from celery import Celery
from celery.worker.control import control_command

app = Celery("e2e")
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    # What a killed worker held is delivered again by the next one that starts.
    broker_transport_options={"visibility_timeout": int(os.environ.get("VISIBILITY_TIMEOUT", "3600"))},
)


@app.task(name="e2e.gate")
def gate(gate: str, name: str) -> str:
    """Notes in Redis that it has started and in which pod, and ends when the gate is open."""
    client = redis.Redis(os.environ["REDIS"], decode_responses=True)
    client.rpush(f"gate:{gate}:started", f"{name}@{os.environ['HOSTNAME']}")
    while not client.exists(f"gate:{gate}:open"):
        time.sleep(0.2)
    return name


@control_command()
def hang(_state: object) -> None:
    """Makes the worker's main process say and hear nothing more."""
    time.sleep(3600)
