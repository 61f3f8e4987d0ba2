"""The ledger's tasks as an ordinary Celery program, for stock workers beside ours."""

import os

from book import Book
from celery import Celery
from journals import open_journal

app = Celery("stock", broker=os.environ["LEDGER_BROKER"], backend=os.environ["LEDGER_BROKER"])
app.conf.update(
    task_acks_late=os.environ["LEDGER_ACKS"] == "late",
    worker_prefetch_multiplier=1,
    broker_transport_options={
        "visibility_timeout": int(os.environ["LEDGER_VISIBILITY_TIMEOUT"]),
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
)
app.task(Book(open_journal(os.environ["LEDGER_JOURNAL"])).work, name="ledger.work")
