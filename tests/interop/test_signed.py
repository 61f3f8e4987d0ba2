"""Messages that are signed: Celery's `auth` serializer, and the certificates of those who may sign."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import own
import pools
import pytest
import tasks
import wire
from client import Client
from rig.celery_worker import CeleryWorker
from rig.redis_server import RedisServer
from rig.waiting import until

WITHIN = 20


def make_signer(folder: Path, name: str) -> Path:
    """A key of this name, and its certificate in a store of its own."""
    place = folder / name
    (place / "store").mkdir(parents=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", f"/O=Petiole/CN={name}"]
        + ["-keyout", place / "key.pem", "-out", place / "cert.pem"],
        check=True,
        capture_output=True,
    )
    (place / "store" / f"{name}.pem").write_text((place / "cert.pem").read_text())
    return place


@dataclass
class Signing:
    """Workers that take only what `known` has signed."""

    redis: RedisServer
    known: Path
    stranger: Path

    def call(
        self, signer: Path, queue: str, argument: str, digest: str = "sha256", what: str = "echo"
    ) -> tuple[str, Any]:
        """Sends a task signed by this one: its id, and what came of it."""
        task_id, value = self.say(signer, queue, what, argument, digest).splitlines()
        return task_id, json.loads(value)

    def nodes(self, signer: Path) -> list[str]:
        """The names of those that answer a ping of this one."""
        return [name for pong in json.loads(self.say(signer, "", "nodes", "")) for name in pong]

    def say(self, signer: Path, queue: str, what: str, argument: str, digest: str = "sha256") -> str:
        """What the program prints."""
        env = {**os.environ, "INTEROP_BROKER": self.redis.url, "INTEROP_SIGNER": str(signer), "INTEROP_DIGEST": digest}
        command = [sys.executable, own.HERE / "signed.py", queue, what, argument]
        env["PYTHONPATH"] = os.pathsep.join([str(own.HERE.parent), env.get("PYTHONPATH", "")])
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def secret(name: str, *files: Path) -> dict:
    """A Secret with these files."""
    keys = {file.name: file.read_text() for file in files}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": keys}


@pytest.fixture(scope="module")
def signing(against: str, scratch: Path) -> Iterator[Signing]:
    """Workers that take only signed messages."""
    with own.redis(scratch, "signed") as redis:
        known, stranger, worker = (make_signer(redis.folder, name) for name in ("known", "stranger", "worker"))
        # Who asks by remote control trusts who answers.
        shutil.copy(worker / "store" / "worker.pem", known / "store")
        signing = Signing(redis, known, stranger)
        if against == "celery":
            env = {"INTEROP_BROKER": redis.url, "INTEROP_SIGNER": str(known)}
            places = [own.HERE, own.HERE.parent]
            options = {"queues": ["celery", "serve"], "env": env, "path": places}
            with CeleryWorker(redis.folder, "signed", "--concurrency", "2", **options):
                yield signing
            return
        accept = {"content": ["auth"], "certificatesFrom": {"secretRef": {"name": "signers"}}}
        key, certificate = ({"secretKeyRef": {"name": "worker", "key": name}} for name in ("key.pem", "cert.pem"))
        sign = {"keyFrom": key, "certificateFrom": certificate}
        resources = [
            secret("signers", *(known / "store").iterdir()),
            secret("worker", worker / "key.pem", worker / "cert.pem"),
            *(pools.queue(name, redis.url) for name in ("celery", "serve", "both", "keyless")),
            pools.exec_pool("exec", ["celery"], concurrency=2, accept=accept, signing=sign),
            pools.serve_pool("serve", ["serve"], concurrency=2, accept=accept, signing=sign),
            pools.serve_pool("both", ["both"], accept={**accept, "content": ["json", "auth"], "digest": "sha512"}),
            pools.serve_pool("keyless", ["keyless"], accept=accept),
        ]
        with own.workers(against, redis, resources, {}):
            yield signing


@pytest.fixture
def plain(signing: Signing) -> Iterator[Client]:
    """A client that signs nothing."""
    with Client(tasks.make_app(signing.redis.url)) as client:
        yield client


def test_a_signed_message_is_run(signing: Signing, queue: str) -> None:
    _, value = signing.call(signing.known, queue, "signed")
    assert value == {"args": ["signed"], "kwargs": {}}


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("chain", {"args": ["x"], "kwargs": {}}),
        ("chord", 9),
        ("retry", 2),
        ("other arguments", {"args": ["done"], "kwargs": {}, "retries": 1}),
    ],
    ids=["chain", "chord", "retry", "retry with other arguments"],
)
def test_what_follows_a_signed_task_is_signed(signing: Signing, queue: str, what: str, value: Any) -> None:
    assert signing.call(signing.known, queue, "x", what=what)[1] == value


def test_an_errback_is_signed(signing: Signing, queue: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    task_id, value = signing.call(signing.known, queue, str(note), what="errback")
    assert value == {"raised": "ValueError"}
    until("it was called", lambda: note.exists() and task_id in note.read_text())


@pytest.mark.petiole("a Celery worker that demands signatures has a key")
def test_what_a_worker_without_a_key_sends_is_refused_where_signatures_are_demanded(signing: Signing) -> None:
    _, value = signing.call(signing.known, "keyless", "x", what="chain")
    assert value == {"raised": "SecurityError"}


@pytest.mark.newer("it finds the certificate of no answer that is signed")
def test_requests_of_remote_control_are_signed_too(signing: Signing, plain: Client) -> None:
    asked = signing.nodes(signing.known)
    assert asked
    assert set(asked).isdisjoint(name for pong in plain.app.control.ping(timeout=1.0) for name in pong)
    assert signing.nodes(signing.stranger) == []


@pytest.mark.petiole("Celery drops what it does not trust, and its client waits")
def test_a_message_that_a_stranger_has_signed_is_refused_and_kept(signing: Signing, queue: str) -> None:
    task_id, value = signing.call(signing.stranger, queue, "signed")
    assert value == {"raised": "SecurityError"}
    assert task_id in wire.waiting(signing.redis.client, pools.DEAD)


@pytest.mark.petiole("Celery drops what it does not trust, and its client waits")
def test_a_message_that_nobody_has_signed_is_refused_and_kept(signing: Signing, plain: Client, queue: str) -> None:
    result = plain.task("echo").apply_async((1,), queue=queue)
    with pytest.raises(Exception, match="signed|auth"):
        result.get(timeout=WITHIN)
    until("it is a dead letter", lambda: result.id in wire.waiting(signing.redis.client, pools.DEAD))


@pytest.mark.petiole("a Celery worker that verifies signatures takes nothing else")
def test_a_pool_may_take_both_and_another_digest(signing: Signing, plain: Client) -> None:
    _, value = signing.call(signing.known, "both", "signed", digest="sha512")
    assert value == {"args": ["signed"], "kwargs": {}}
    assert plain.task("add").apply_async((1, 2), queue="both").get(timeout=WITHIN) == 3
