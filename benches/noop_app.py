"""The Celery program of the benches: one task that does nothing, and the settings of the side that is measured."""

import os

from celery import Celery

# Who only sends has no result store, which changes nothing in a message: it saves a subscription for each.
app = Celery("noop_app", broker=os.environ["BENCH_BROKER"], backend=os.environ.get("BENCH_RESULTS"))
app.conf.update(
    task_acks_late=os.environ.get("BENCH_ACKS") == "late",
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    # Celery's own advice for speed: no token bucket is asked for a task that has no rate limit.
    worker_disable_rate_limits=True,
)


@app.task(name="bench.noop")
def noop() -> None:
    """Does nothing; its result is stored."""
