#!/usr/bin/env python3
"""A Petiole handler (mode Serve) with nothing but Python's standard library. See docs/task-contract.md."""
import json
import os
import queue
import signal
import socket
import struct
import sys
import threading
import time
import traceback


class SoftTimeLimitExceeded(Exception):
    """Raised inside a task when its soft time limit has passed: clean up, and end."""
    __module__ = "billiard.exceptions"  # where Celery's clients look for it


class NotRegistered(KeyError):
    __module__ = "celery.exceptions"


def add(x, y):
    return x + y


def nap(seconds):
    try:
        print("napping", file=sys.stderr, flush=True)  # the log of container task
        time.sleep(seconds)
        return "rested"
    except SoftTimeLimitExceeded:
        return "woken"


TASKS = {"demo.add": add, "demo.nap": nap}  # by the names that clients call
worker, runs = socket.socket(socket.AF_UNIX), queue.Queue()
current, cancelled = None, set()  # attempts


def send(header, payload=b""):
    header = json.dumps(header).encode()
    worker.sendall(struct.pack(">II", len(header), len(payload)) + header + payload)


def listen():
    """Hears the worker in a thread of its own, also while a task runs."""
    incoming = worker.makefile("rb")
    while True:
        prefix = incoming.read(8)
        if len(prefix) < 8:
            os._exit(1)  # The worker is gone, and with it what runs here: it is run again elsewhere.
        header, payload = (incoming.read(length) for length in struct.unpack(">II", prefix))
        ((kind, fields),) = json.loads(header).items()
        if kind == "cancel":
            cancelled.add(fields["attempt"])
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        elif kind == "refused":
            print("the worker refuses this handler:", fields["reason"], file=sys.stderr, flush=True)
            os._exit(1)
        elif kind in ("run", "drain"):
            runs.put((fields, payload) if kind == "run" else None)


def on_signal(*_):
    if current in cancelled:
        cancelled.clear()  # It is raised once.
        raise SoftTimeLimitExceeded


def run(fields, payload):
    """Runs a task. Returns its value, or what a Celery client is to raise."""
    global current
    try:
        try:
            current = fields["attempt"]
            on_signal()  # The limit may have passed already.
            args, kwargs = json.loads(payload)
            if fields["task"] not in TASKS:
                raise NotRegistered(fields["task"])
            return {}, json.dumps(TASKS[fields["task"]](*args, **kwargs)).encode()
        finally:
            current = None
    except Exception as raised:
        kind, args = type(raised), json.loads(json.dumps(raised.args, default=repr))
        error = {"type": kind.__name__, "module": kind.__module__, "args": args}
        return {"error": {**error, "traceback": traceback.format_exc()}}, b""


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, on_signal)
    worker.connect(os.environ["PETIOLE_SOCKET"])
    send({"hello": {"version": 1, "handler": os.environ["PETIOLE_HANDLER"]}})
    threading.Thread(target=listen, daemon=True).start()
    for fields, payload in iter(runs.get, None):
        send({"started": {"attempt": fields["attempt"]}})
        outcome, value = run(fields, payload)
        send({"result": {"attempt": fields["attempt"], **outcome}}, value)
