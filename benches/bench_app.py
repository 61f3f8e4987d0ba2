"""The Celery program of the benches: their tasks, and the settings of the side that is measured."""

import os

from celery import Celery
from functions import FUNCTIONS

app = Celery("bench_app", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_RESULTS"])
app.conf.update(
    task_acks_late=os.environ.get("BENCH_ACKS") == "late",
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    # Celery's own advice for speed: no token bucket is asked for a task that has no rate limit.
    worker_disable_rate_limits=True,
)
for name, function in FUNCTIONS.items():
    app.task(function, name=name)
