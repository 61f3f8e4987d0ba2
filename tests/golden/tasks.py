"""The tasks that the captures call, for client and worker alike."""

import os
import time

from celery import Celery

app = Celery("golden", broker=os.environ["GOLDEN_BROKER"], backend=os.environ["GOLDEN_RESULTS"])
app.conf.task_track_started = True
app.conf.result_extended = bool(os.environ.get("GOLDEN_EXTENDED"))
app.conf.worker_hijack_root_logger = False
app.conf.broker_connection_retry_on_startup = True


@app.task
def add(x, y):
    return x + y


@app.task
def echo(*args, **kwargs):
    return args[0] if args else kwargs


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def fail(*args):
    raise ValueError(*args)


@app.task
def unserializable():
    return {1, 2}


@app.task(ignore_result=True)
def silent():
    return 7


@app.task(bind=True, max_retries=2)
def flaky(self):
    raise self.retry(exc=KeyError("later"), countdown=3600)


@app.task
def sleep(seconds):
    time.sleep(seconds)


@app.task
def die():
    os.kill(os.getpid(), 9)


@app.task
def told(task_id):
    return task_id


@app.task(bind=True)
def replaced(self, numbers, by_group=False):
    from celery import group

    if by_group:
        raise self.replace(group(add.s(number, 1) for number in numbers))
    raise self.replace(add.s(*numbers) | add.s(100))


@app.task(bind=True)
def replaced_by(self, sig):
    from celery import signature

    raise self.replace(signature(sig, app=app))


# Last, so that the lines of the tasks stay where the captured tracebacks have them.
app.conf.task_acks_late = bool(os.environ.get("GOLDEN_LATE"))
