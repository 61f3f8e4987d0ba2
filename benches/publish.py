"""Sends tasks by a Celery client, in kombu's batches so that it does not take all day. Argument: how many."""

import sys

from noop_app import app, noop

with app.producer_or_acquire() as producer, producer.batch():
    for _ in range(int(sys.argv[1])):
        noop.apply_async(producer=producer)
