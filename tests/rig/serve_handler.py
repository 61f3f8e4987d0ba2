"""A handler of mode Serve: one task at a time, ended by an exception at its soft time limit.

Only Python's own library: a handler starts without site packages.
"""

import io
import json
import os
import pickle
import queue
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

from rig import word

#: What tasks do, by their names.
Bodies = Mapping[str, Callable[..., Any]]


def failure(kind: str, message: str, module: str) -> dict[str, str]:
    """What went wrong, with the traceback of the exception that is being handled."""
    return {"type": kind, "message": message, "module": module, "traceback": traceback.format_exc()}


def raised(error: Exception) -> dict[str, str]:
    """The same of an exception as it is."""
    return failure(type(error).__name__, str(error), type(error).__module__)


class Unpickler(pickle.Unpickler):
    """Reads the pickle of a message without Celery: its signatures become the dictionaries that they are."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names."""
        if module.startswith("celery."):
            return lambda signature, *_: dict(signature)
        return super().find_class(module, name)


def unpickled(body: bytes) -> tuple[tuple[Any, Any], bytes]:
    """The arguments of a pickled message, and what follows its task, as JSON."""
    args, kwargs, embed = Unpickler(io.BytesIO(body)).load()
    return (args, kwargs), json.dumps(embed).encode()


class Connection:
    """Frames: two lengths, a header that is a JSON object of one member, a payload."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.reader: BinaryIO = self.socket.makefile("rb")

    def send(self, kind: str, fields: dict[str, Any], payload: bytes = b"") -> None:
        """Sends one."""
        header = json.dumps({kind: fields}).encode()
        self.socket.sendall(struct.pack(">II", len(header), len(payload)) + header + payload)

    def receive(self) -> tuple[str, dict[str, Any], bytes] | None:
        """Takes one; nothing when the worker is gone."""
        prefix = self.reader.read(8)
        if len(prefix) < 8:
            return None
        header, payload = struct.unpack(">II", prefix)
        [(kind, fields)] = json.loads(self.reader.read(header)).items()
        return kind, fields, self.reader.read(payload)


class Handler:
    """The main thread runs tasks, a second one listens, so that a task can be ended while it runs."""

    def __init__(self, bodies: Bodies, accept: Sequence[str] = ()) -> None:
        self.bodies = bodies
        self.accept = accept
        self.connection = Connection(os.environ["PETIOLE_SOCKET"])
        self.runs: queue.Queue[tuple[dict[str, Any], bytes] | None] = queue.Queue()
        self.current: int | None = None
        self.turn = threading.Lock()

    def listen(self) -> None:
        """Sorts what the worker says."""
        while frame := self.connection.receive():
            kind, fields, payload = frame
            if kind == "run":
                self.runs.put((fields, payload))
            elif kind == "cancel":
                with self.turn:
                    if self.current == fields["attempt"]:
                        # A real signal, which also ends a system call that waits.
                        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            elif kind == "refused":
                print("the worker refuses this handler:", fields["reason"], file=sys.stderr, flush=True)
                break
            elif kind == "drain":
                break
        self.runs.put(None)

    def work(self) -> None:
        """Runs one task after another until no more come."""
        hello = {"version": 1, "handler": os.environ["PETIOLE_HANDLER"], "accept": list(self.accept)}
        self.connection.send("hello", hello)
        threading.Thread(target=self.listen, daemon=True).start()
        while run := self.runs.get():
            fields, payload = run
            attempt = fields["attempt"]
            if fields.get("content") == "pickle":
                payload, embed = unpickled(payload)
                self.connection.send("started", {"attempt": attempt}, embed)
            else:
                self.connection.send("started", {"attempt": attempt})
            members, value = self.run(fields, payload)
            self.connection.send("result", {"attempt": attempt, **members}, json.dumps(value).encode())

    def run(self, fields: dict[str, Any], payload: Any) -> tuple[dict[str, Any], Any]:
        """Runs one task: what its `result` says beside the value, and the value."""
        try:
            if fields["task"] not in self.bodies:
                unknown = {"type": "NotRegistered", "message": fields["task"], "module": "celery.exceptions"}
                return {"error": unknown}, None
            args, kwargs = json.loads(payload) if isinstance(payload, bytes) else payload
            with self.turn:
                self.current = fields["attempt"]
            try:
                return {}, word.call(self.bodies[fields["task"]], self.task(fields), args, kwargs)
            finally:
                with self.turn:
                    self.current = None
        except KeyboardInterrupt:
            return {"error": failure("SoftTimeLimitExceeded", "", "billiard.exceptions")}, None
        except word.Word as said:
            members, payload = word.framed(said.members)
            return {**members, **({"error": raised(said.error)} if said.error else {})}, payload
        except Exception as error:
            return {"error": raised(error)}, None

    def task(self, fields: dict[str, Any]) -> word.Task:
        """What a body sees of its task."""

        def report(state: str, meta: Any) -> None:
            progress = {"attempt": fields["attempt"], "state": state}
            self.connection.send("progress", progress, json.dumps(meta).encode())

        def add(signature: Mapping[str, Any]) -> None:
            self.connection.send("add_to_chord", {"attempt": fields["attempt"]}, json.dumps(signature).encode())

        return word.Task(fields, report, add)
