"""Sends tasks as a program does that calls `apply_async` over one connection. Argument: how many."""

import sys

from noop_app import app, noop

with app.producer_or_acquire() as producer:
    for _ in range(int(sys.argv[1])):
        noop.apply_async(producer=producer)
