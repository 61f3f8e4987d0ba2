"""What stands in Redis, read past every client: queues, deliveries that are not settled yet, records.

A message of protocol 1 has its id in its body, and counts here as one without.
"""

import base64
import json
from typing import Any

import redis

SEPARATOR = "\x06\x16"
STEPS = (0, 3, 6, 9)


def messages(server: redis.Redis, queue: str) -> list[dict[str, Any]]:
    """The messages in a queue, the next first."""
    keys = [queue if step == 0 else f"{queue}{SEPARATOR}{step}" for step in STEPS]
    return [json.loads(message) for key in keys for message in reversed(server.lrange(key, 0, -1))]


def waiting(server: redis.Redis, queue: str) -> list[str]:
    """The ids of the tasks in a queue, the next first."""
    return [message["headers"].get("id") for message in messages(server, queue)]


def body(message: dict[str, Any]) -> list[Any]:
    """What a message holds: arguments, keyword arguments, and what is to be called afterwards."""
    return json.loads(base64.b64decode(message["body"]))


def held(server: redis.Redis) -> list[str]:
    """The ids of the tasks that some worker has taken and not settled."""
    entries = [json.loads(entry) for entry in server.hvals("unacked")]
    return [envelope["headers"].get("id") for envelope, _exchange, _key in entries]


def record(server: redis.Redis, task_id: str) -> dict[str, Any] | None:
    """The result's record."""
    stored = server.get(f"celery-task-meta-{task_id}")
    return json.loads(stored) if stored else None


def before_death(letter: bytes) -> bytes:
    """The message that became this dead letter: it is kept as it was, and an object gets a header that says why."""
    envelope = json.loads(letter)
    why = envelope["headers"].pop("petiole-dead-letter")
    assert why["reason"] and why["queue"]
    if envelope.get("content-type") == "application/octet-stream":
        return base64.b64decode(envelope["body"])
    # The header may be the only one there is.
    return json.dumps({name: value for name, value in envelope.items() if value != {} or name != "headers"}).encode()


def time_to_live(server: redis.Redis, task_id: str) -> int:
    """For how many seconds the record stays."""
    return server.ttl(f"celery-task-meta-{task_id}")
