"""Where the journal is: a file on this machine, or a list in a Redis, which tasks in pods reach."""

import os
import socket
from collections.abc import Callable

#: The list's key.
KEY = "journal"


def open_journal(where: str) -> Callable[[str], None]:
    """What appends a line to the journal at a path, or at `HOST:PORT/DB`."""
    return RedisList(where).append if ":" in where else File(where).append


class File:
    """A plain file."""

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def append(self, line: str) -> None:
        """Appends a line. One write of this length is never mixed with another's."""
        os.write(self.file, f"{line}\n".encode())


class RedisList:
    """A list. The task waits for Redis' answer, so that nothing is done that is not entered."""

    def __init__(self, address: str) -> None:
        server, _, database = address.partition("/")
        host, _, port = server.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.answers = self.socket.makefile("rb")
        self.ask("SELECT", database)

    def append(self, line: str) -> None:
        """Appends a line."""
        self.ask("RPUSH", KEY, line)

    def ask(self, *words: str) -> None:
        """Sends a command, and takes its answer, which is one line for those above."""
        parts = [word.encode() for word in words]
        command = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self.socket.sendall(command)
        answer = self.answers.readline()
        if answer[:1] not in (b"+", b":"):
            raise OSError(f"the journal does not take {words}: {answer!r}")
