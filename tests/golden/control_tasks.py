"""The tasks of control.py, for client and worker alike."""

import os
import time

from celery import Celery
from celery.exceptions import Reject

app = Celery("golden", broker=os.environ["GOLDEN_BROKER"], backend=os.environ["GOLDEN_RESULTS"])
app.conf.task_track_started = True
app.conf.worker_hijack_root_logger = False
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_pool_restarts = bool(os.environ.get("GOLDEN_RESTARTS"))
# A worker must not take more than it runs, or `reserved` is a matter of luck.
app.conf.worker_prefetch_multiplier = 2


@app.task
def add(x, y):
    return x + y


@app.task(rate_limit="100/s")
def echo(*args, **kwargs):
    return args[0] if args else kwargs


@app.task
def fail(*args):
    raise ValueError(*args)


@app.task(bind=True, max_retries=1)
def flaky(self):
    raise self.retry(exc=KeyError("it's later"), countdown=0)


@app.task(acks_late=True)
def reject():
    raise Reject("no", requeue=False)


@app.task
def sleep(seconds, **_):
    time.sleep(seconds)
