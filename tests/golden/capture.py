"""Writes what one release of Celery says on Redis: its messages, its restores, its result documents, its keys.

Run by capture.sh with the Python of each release; the lines go to standard output. `--core` leaves out the cases
that no release treats in its own way. Needs `redis-server` in the PATH, and starts one of its own on a free port.
See README.md for what the lines hold.
"""

import contextlib
import datetime
import decimal
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

HOST = socket.gethostname()
socket.gethostname = lambda: "client"
HERE = pathlib.Path(__file__).resolve().parent
SITE_PACKAGES = os.path.dirname(os.path.dirname(__import__("celery").__file__))
STDLIB = os.path.dirname(os.__file__)
SEP = "\x06\x16"
# Cases that `--core` keeps: fields that came or changed from one release to another.
CORE = {
    "plain", "values of Python's own types", "eta", "expires in seconds", "headers of a user", "root, parent, group",
    "callbacks", "chain", "stamps", "protocol 1, eta and expires", "retry",
    "compression zstd", "serializer yaml", "serializer msgpack", "serializer pickle", "protocol 1 in yaml",
    "yaml, every kind of value", "msgpack, every kind of value", "signed", "signed, protocol 1",
    "success in a group", "failure", "unknown task", "expired", "hard time limit", "worker lost",
}


def ids():
    number = 0
    while True:
        number += 1
        yield f"00000000-0000-4000-8000-{number:012d}"


IDS = ids()


def neutral(text):
    """Takes this machine out of a line: paths in tracebacks, and its name where a worker is the sender."""
    places = ((SITE_PACKAGES, "site-packages"), (str(HERE), "app"), (STDLIB, "lib"), (f"@{HOST}\"", "@client\""))
    for here, anywhere in places:
        text = text.replace(here, anywhere)
    return text


class Raw(str):
    """JSON text that goes into a line as it is."""


def text(value):
    if isinstance(value, list):
        return "[" + ", ".join(map(text, value)) + "]"
    return value if isinstance(value, Raw) else json.dumps(value)


def emit(**line):
    members = (f"{json.dumps(name)}: {text(value)}" for name, value in line.items())
    print("{" + neutral(", ".join(members)) + "}")


@contextlib.contextmanager
def redis_server():
    folder = tempfile.mkdtemp()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
        stdout=subprocess.DEVNULL,
    )
    try:
        client = __import__("redis").Redis(port=port)
        wait_for(lambda: answers(client), "redis-server to answer")
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def answers(client):
    try:
        return client.ping()
    except Exception:
        return False


def wait_for(condition, what):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise SystemExit(f"waited 60 s for {what}")


def lists(client):
    """Everything that waits in a queue, as (list, envelope); the queues are emptied."""
    found = []
    for key in sorted(client.keys()):
        if client.type(key) == b"list":
            items = client.lrange(key, 0, -1)
            client.delete(key)
            found += [(key.decode(), item.decode()) for item in reversed(items)]
    return found


def understood(app, text, accept=("application/json",)):
    """What Celery's own worker reads in a message; what is null, 0 or empty is left out."""
    from celery.utils.time import maybe_iso8601, maybe_make_aware
    from celery.worker.strategy import hybrid_to_proto2, proto1_to_proto2
    from kombu.utils.json import dumps

    with app.connection() as connection:
        message = connection.default_channel.Message(json.loads(text), channel=connection.default_channel)
        message.accept = set(accept)
        try:
            body = message.decode()
        except Exception as error:
            task_id = message.headers.get("id") or message.properties["correlation_id"]
            return {"error": type(error).__name__, "id": task_id, "task": message.headers.get("task")}
    headers = message.headers
    # As the worker's strategy chooses: what has arguments in an object is a hybrid, also where the headers are empty.
    if "args" in body:
        body, headers, _, _ = hybrid_to_proto2(message, body)
    elif "task" not in headers:
        body, headers, _, _ = proto1_to_proto2(message, body)
    args, kwargs, embed = body

    def instant(value):
        return value and maybe_make_aware(maybe_iso8601(value)).astimezone(datetime.timezone.utc).isoformat()

    hard, soft = headers.get("timelimit") or (None, None)
    names = "id task shadow root_id parent_id group group_index origin ignore_result retries stamped_headers stamps"
    read = {
        **{name: headers.get(name) for name in names.split()},
        "eta": instant(headers.get("eta")),
        "expires": instant(headers.get("expires")),
        "hard": hard,
        "soft": soft,
        "reply_to": message.properties["reply_to"],
        "priority": message.properties["priority"],
        **message.delivery_info,
        "args": args,
        "kwargs": kwargs,
        **embed,
    }
    return Raw(dumps({name: value for name, value in read.items() if value or value is False}))


def wanted(case):
    return "--core" not in sys.argv or case in CORE


# The content types that `accepted` is read with.
ACCEPTED = [f"application/{kind}" for kind in ("json", "x-yaml", "x-msgpack", "x-python-serialize")]


class Messages:
    """Captures what each call writes."""

    def __init__(self, app, client):
        self.app, self.client = app, client
        self.first = {}

    def __call__(self, case, publish):
        publish()
        for key, text in lists(self.client):
            self.first.setdefault(case, text)
            if not wanted(case):
                continue
            line = {"envelope": Raw(text), "want": understood(self.app, text)}
            if not isinstance(line["want"], Raw):
                line["accepted"] = understood(self.app, text, ACCEPTED)
            emit(kind="message", case=case, list=key, **line)


def plain(signature):
    """A signature as the dictionary that it is: PyYAML does not write a class that it does not know."""
    return json.loads(json.dumps(signature))


def publish_all(say, tasks, version):
    from celery import chain, chord, group

    add, echo, total, fail = tasks.add, tasks.echo, tasks.total, tasks.fail
    eta = datetime.datetime(2031, 2, 3, 4, 5, 6, 789012, tzinfo=datetime.timezone.utc)
    berlin = datetime.timezone(datetime.timedelta(hours=1))

    def call(case, task=add, args=(1, 2), kwargs=None, **options):
        say(case, lambda: task.apply_async(args, kwargs, task_id=next(IDS), **options))

    call("plain")
    call("keyword arguments", kwargs={"y": 2}, args=(1,))
    kinds = [None, True, False, 0, -1, 1.5, 1e300, -2.5e-7, "", "text", [], [[], {}], {"a": {"b": [1]}}]
    call("every kind of value", task=echo, args=kinds, kwargs={"": "", "a b": 1})
    call("unicode", task=echo, args=["é☃🦀\u2028\x00\x7f\"\\/\b\f\n\r\t"], kwargs={"ключ": "値"})
    call("large integers", task=echo, args=[2**53 + 1, 2**64, -(10**60)])
    call("numbers that strict JSON lacks", task=echo, args=[float("nan"), float("inf"), float("-inf")])
    call("half a surrogate pair", task=echo, args=["\ud800", "\udd80\ud83e"])
    special = [eta, eta.replace(tzinfo=None), eta.date(), eta.time(), decimal.Decimal("1.50"), uuid.UUID(int=5)]
    call("values of Python's own types", task=echo, args=special)
    if version >= (5, 3):
        call("bytes", task=echo, args=[b"text", b"\xff\x00"])
    call("eta", eta=eta)
    call("eta with an offset", eta=eta.astimezone(berlin))
    call("eta without an offset", eta=eta.replace(tzinfo=None))
    call("countdown", countdown=60)
    call("expires at a time", expires=eta)
    call("expires in seconds", expires=30)
    for priority in (1, 3, 4, 5, 9):
        call(f"priority {priority}", priority=priority)
    call("time limits", time_limit=10, soft_time_limit=5.5)
    call("ignored result", ignore_result=True)
    call("task that ignores its result", task=tasks.silent, args=())
    call("headers of a user", headers={"x-a": "b", "tenant": {"id": 5}, "none": None})
    call("shadow", shadow="shown as this")
    call("root, parent, group", root_id="root", parent_id="parent", group_id="group", group_index=3)
    call("another queue", queue="other")
    call("reply queue", reply_to="my-replies")
    call("unknown option", unknown="kept")
    call("transient", delivery_mode=1)
    call("callbacks", link=[add.s(3), echo.s()], link_error=echo.si("e"))
    say("by name only", lambda: tasks.app.send_task("elsewhere.task", (1,), task_id=next(IDS)))
    say("chain", lambda: chain(add.s(1, 2), add.s(3), add.si(4, 4)).apply_async(task_id=next(IDS)))
    say("group", lambda: group(add.s(1, 2), add.s(3, 4)).apply_async())
    say("chord", lambda: chord([add.s(1, 2), fail.s("bad")], total.s().on_error(echo.si("e"))).apply_async())
    say("chain that ends in a group", lambda: (add.s(1, 2) | group(add.s(1), add.s(2)) | total.s()).apply_async())
    say("starmap", lambda: add.starmap([(1, 2), (3, 4)]).apply_async(task_id=next(IDS)))
    if version >= (5, 3):
        stamped = add.s(1, 2).set(task_id=next(IDS))
        stamped.stamp(tenant="t1", labels=["a", "b"])
        say("stamps", stamped.apply_async)
    for name in ("zlib", "bzip2", "lzma", "zstd", "brotli"):
        call(f"compression {name}", compression=name, args=[7] * 2)
        call(f"compression {name}, a long body", task=echo, compression=name, args=[list(range(100, 300)), "é" * 200])
    for name in ("yaml", "msgpack", "pickle"):
        call(f"serializer {name}", serializer=name)
        call(f"serializer {name}, callbacks", serializer=name, link=[plain(add.s(3)), plain(echo.s())])
        call(f"serializer {name}, compressed", serializer=name, compression="bzip2", kwargs={"y": 2}, args=(1,))
    texts = [
        "yes", "No", "on", "~", "null", "", "1", "01", "0x1f", "1_000", "1:30", "1:30.5", "1.5", "1e3", "1.0e+3", ".inf",
        "-.INF", ".nan", "<<", "=", "2024-01-02", "2024-01-02 03:04:05", " before", "after ", "two\nlines\n", "\n", "tab\t",
        "'", '"', "#", "a: b", "a #b", "- a", "? a", "&a", "*a", "!a", "%a", "@a", "`a", "[a", "{a", "a,b", "|", ">", "---",
        "...", "long " * 40, "x" * 200, "é☃🦀\u2028\x00\x7f\x85\ufeff\\", "true", "0o17", "1,000", "0b11", "+1", "-0", "a:",
    ]
    kinds += [2**31, 2**63, -(2**63), 2**64 - 1, 127, 128, -32, -33, -129, -32769, 65535, 65536, 1e16, 1e17, 0.1, 1 / 3]
    kinds += [texts, list(range(20)), {f"name {number}": number for number in range(20)}, {"b": 1, "a": 2}, float("inf")]
    shared = [1, {"a": 2}]
    times = [eta, eta.replace(tzinfo=None), eta.astimezone(berlin).replace(microsecond=0), eta.date()]
    binary = [b"text", b"\xff\x00", b"", b"long " * 40]
    if version < (5, 3):
        # This kombu has no JSON for them in which the tests could say what was read.
        times = binary = []
    call(
        "yaml, every kind of value", task=echo, serializer="yaml", kwargs={"key: ": shared, "two\nlines": {1: 2, None: 3}},
        args=kinds + times + binary + [shared, shared, 10**30, -(10**30)],
    )
    call("msgpack, every kind of value", task=echo, serializer="msgpack", args=kinds + binary, kwargs={"": {"": []}})

    tasks.app.conf.task_protocol = 1
    tasks.app.amqp.__dict__.pop("create_task_message", None)
    call("protocol 1")
    for name in ("yaml", "msgpack", "pickle"):
        call(f"protocol 1 in {name}", serializer=name, eta=eta, link=plain(add.s(3)))
    call("protocol 1, compressed", compression="zlib")
    call("protocol 1, eta and expires", eta=eta, expires=eta, args=(1,), kwargs={"y": 2})
    call("protocol 1, countdown", countdown=60)
    call("protocol 1, group and limits", group_id="group", time_limit=10, soft_time_limit=5, retries=2)
    call("protocol 1, callbacks and headers", link=add.s(3), link_error=echo.s(), headers={"x-a": "b", "id": "mine"})
    call("protocol 1, chord", chord=total.s(), group_id="group")
    tasks.app.conf.task_protocol = 2
    tasks.app.amqp.__dict__.pop("create_task_message", None)


def publish_local_time(say, tasks):
    """A client that is set to local time."""
    local = tasks.app.__class__("golden", broker=tasks.app.conf.broker_url, backend=tasks.app.conf.result_backend)
    local.conf.update(enable_utc=False, timezone="Europe/Berlin")
    eta = datetime.datetime(2031, 2, 3, 4, 5, 6, 789012)
    for protocol in (2, 1):
        local.conf.task_protocol = protocol
        local.amqp.__dict__.pop("create_task_message", None)
        for case, options in (("eta", {"eta": eta}), ("countdown", {"countdown": 60}), ("expires", {"expires": 30})):
            say(
                f"local time, protocol {protocol}, {case}",
                lambda options=options: local.send_task("tasks.add", (1, 2), task_id=next(IDS), **options),
            )


def publish_signed(say, tasks):
    """Messages of the `auth` serializer, with certificates that are made here; their private keys are not kept."""
    from celery.security.serialization import register_auth
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID
    from kombu.serialization import registry

    names = {
        "signed": [(NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Pétiole"), (NameOID.COMMON_NAME, "golden")],
        "signed by a longer key": [(NameOID.COMMON_NAME, "golden")],
    }
    since = datetime.datetime(2020, 1, 1)
    for (case, name), (bits, digest) in zip(names.items(), ((2048, "sha256"), (3073, "sha512"))):
        key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        name = x509.Name([x509.NameAttribute(oid, value) for oid, value in name])
        certificate = x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), since, since.replace(year=2120)
        ).sign(key, hashes.SHA256())
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "signer.pem").write_text(pem)
            register_auth(key=key, cert=pem, store=folder, digest=digest)
        if wanted(case):
            emit(kind="certificate", case=case, pem=pem, digest=digest)

        def call(case, **options):
            say(case, lambda: tasks.add.apply_async((1, 2), task_id=next(IDS), serializer="auth", **options))

        call(case)
        if case != "signed":
            continue
        call("signed, compressed", compression="zlib", link=tasks.add.s(3))
        tasks.app.conf.task_protocol = 1
        tasks.app.amqp.__dict__.pop("create_task_message", None)
        call("signed, protocol 1", link=tasks.add.s(3))
        tasks.app.conf.task_protocol = 2
        tasks.app.amqp.__dict__.pop("create_task_message", None)
    registry.unregister("auth")


def yaml_scalars():
    """What PyYAML takes a plain scalar for."""
    import yaml
    from kombu.utils.json import dumps

    texts = (
        "~ null Null NULL nULL yes Yes YES yEs no on ON off y n true TRUE tRUE False 0 00 -0 +0 07 -07 08 0o7 0_ 0_7 1_000 _1 "
        "1_ +12 - + -- 0x1F 0X1F -0xff 0x 0b101 0b2 1:30 1:60 -1:30 1:2:3 0:30 01:30 190:20:30 1. .5 . -.5 +.5 1.5 -1.5 1.5e3 "
        "1.5e+3 1.5E-3 1e3 1.e+3 1_0.5_0 1:30.5 0:30.5 -1:30. .inf .Inf .INF .iNF +.inf -.inf .nan .NaN .NAN -.nan NaN inf "
        "<< = 2024-01-02 2024-1-2 2024-01-02T03:04:05Z 2024-1-2t3:04:05 2024-01-02T03:04:05.678901234+05:30 "
        "2024-01-02T03:04:05.5-3 2024-01-02T03:04 2024-01-02T03:04:05. 2024-13-02 2024-02-30 2024-01-02T25:04:05 a 1a 1,0 "
        "123456789012345678901234567890 -0.0 1.0e+400 1e400 1.7976931348623157e+308 4.9e-324 5.e-324 12345678.9 0x_f 0b_1 "
        "123456789012345680.0 0.0001 0.00001 1.0e+16 1.0e+15"
    ).split() + ["2024-01-02 03:04:05", "2024-01-02 03:04:05 +05", "yes no", "1 2"]
    for text in texts:
        try:
            want = Raw(dumps(yaml.safe_load(text)))
        except Exception:
            want = "error"
        emit(kind="yaml", case=text, want=want)


def publish_routed(say, tasks):
    from kombu import Exchange, Queue

    app = tasks.app.__class__("golden", broker=tasks.app.conf.broker_url, backend=tasks.app.conf.result_backend)
    exchange = Exchange("posts", type="direct")
    with app.connection() as connection:
        Queue("bound", exchange, routing_key="mail.in", channel=connection.default_channel).declare()
    say(
        "by exchange and routing key",
        lambda: app.send_task("tasks.add", (1, 2), task_id=next(IDS), exchange="posts", routing_key="mail.in"),
    )


def restore(say, app, client):
    """What kombu makes of a message that it gives back: rejected, and restored by the next consumer."""
    cases = ["headers of a user", "plain", "unicode", "priority 5", "protocol 1", "by exchange and routing key"]
    for case in filter(wanted, cases):
        before = say.first[case]
        after = restored(app, client, before, lambda qos, tag: qos.reject(tag, requeue=True))
        emit(kind="restored", case=case, before=Raw(before), after=Raw(after))
    again = restored(app, client, after, lambda qos, tag: qos.restore_by_tag(tag))
    emit(kind="restored", case=f"{case}, again", before=Raw(after), after=Raw(again))


def restored(app, client, text, give_back):
    with app.connection() as connection:
        channel = connection.default_channel
        message = channel.Message(json.loads(text), channel=channel)
        channel.qos.append(message, message.delivery_tag)
        give_back(channel.qos, message.delivery_tag)
        [(_, after)] = lists(client)
        return after


def held_keys(app, client, prefix, queue):
    """Which keys there are while a message is held, and another one waits."""
    client.flushall()
    for priority in (0, 4):
        app.send_task("tasks.add", (1, 2), queue=queue, priority=priority)
    with app.connection() as connection:
        channel = connection.default_channel
        channel.queue_declare(queue)
        message = channel.basic_get(queue)
        app.backend.store_result("some-id", 3, "SUCCESS")
        emit(
            kind="keys",
            case=f"keys with prefix {prefix!r}",
            prefix=prefix,
            queue=queue,
            tag=message.delivery_tag,
            bindings=sorted(
                member.decode() for member in client.smembers(f"{prefix}_kombu.binding.{queue}")
            ),
            keys=sorted(key.decode() for key in client.keys()),
        )
        channel.basic_reject(message.delivery_tag, requeue=False)
    client.flushall()


@contextlib.contextmanager
def worker(pool, *options, **env):
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-P", pool, "-c", "1", "-n", "worker@host"]
    log = tempfile.TemporaryFile()
    process = subprocess.Popen(
        [*command, *options, "--without-mingle", "--without-gossip", "--without-heartbeat"],
        cwd=HERE, env={**os.environ, **env, "PYTHONDONTWRITEBYTECODE": "1"}, stdout=log, stderr=log,
        start_new_session=True,
    )
    try:
        yield
    except BaseException:
        log.seek(0)
        sys.stderr.write(log.read().decode())
        raise
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            # A prefork pool whose child was killed does not always end by itself.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def documents(app, client, pool, calls, env=None, ready=("SUCCESS", "FAILURE", "REVOKED")):
    """Sends tasks, captures their messages, then lets a worker run them and captures what it announces."""
    sent = {}
    for case, publish in calls:
        if not wanted(case):
            continue
        publish()
        [(_, text)] = lists(client)
        sent[case] = text
    pubsub = client.pubsub()
    pubsub.psubscribe("celery-task-meta-*")
    for case, text in sent.items():
        task_id = json.loads(text)["properties"]["correlation_id"]
        client.lpush("celery", text)
        announced = []

        def hear(timeout):
            event = pubsub.get_message(ignore_subscribe_messages=True, timeout=timeout)
            if event and event["channel"].decode() == f"celery-task-meta-{task_id}":
                announced.append(event["data"].decode())
            return event

        def finished():
            hear(1)
            return announced and json.loads(announced[-1])["status"] in ready

        with worker(pool, **(env or {})):
            if case == "ignored":
                wait_for(lambda: not client.exists("celery", "unacked"), case)
            else:
                wait_for(finished, case)
            if pool == "prefork" and "soft" not in case:
                # The failure is announced before the child is killed; a worker that stops in between spares it.
                child = json.loads(announced[0])["result"]["pid"]
                wait_for(lambda: not os.path.exists(f"/proc/{child}"), f"the child of {case}")
        while hear(0.1):
            pass
        stored = client.get(f"celery-task-meta-{task_id}")
        if announced and stored.decode() != announced[-1]:
            raise SystemExit(f"{case}: what is stored is not what was announced: {stored} {announced}")
        emit(kind="documents", case=case, envelope=Raw(text), documents=[Raw(text) for text in announced])
        client.flushdb()


def run(app, client, tasks, version):
    def call(case, task, args=(), **options):
        return case, lambda: task.apply_async(args, task_id=next(IDS), **options)

    kinds = [None, True, 1.5, "é☃", 10**30, float("nan"), {"a": []}]
    past = datetime.datetime(2001, 2, 3, 4, 5, 6, 789012, tzinfo=datetime.timezone.utc)
    calls = [
        call("success", tasks.add, (1, 2)),
        call("success with every kind of value", tasks.echo, [kinds]),
        call("success in a group", tasks.add, (1, 2), group_id="group", parent_id="parent", root_id="root"),
        call("failure", tasks.fail, ("bad",)),
        call("failure with several arguments", tasks.fail, ("bad", 3, ["é"])),
        ("unknown task", lambda: app.send_task("no.such.task", task_id=next(IDS), parent_id="parent")),
        call("expired", tasks.add, (1, 2), expires=past),
        call("expired in a group", tasks.add, (1, 2), expires=past, group_id="group"),
        call("unserializable", tasks.unserializable),
        call("ignored", tasks.silent),
    ]
    documents(app, client, "solo", calls)
    extended = [
        call("extended success", tasks.add, (1, 2)),
        call("extended failure", tasks.fail, ("bad",), retries=1),
    ]
    if version >= (5, 3):
        def stamped():
            signature = tasks.add.s(1, 2).set(task_id=next(IDS))
            signature.stamp(tenant="t1", labels=["a", "b"])
            signature.apply_async()
        extended.append(("extended with stamps", stamped))
    extended.append(call("extended, expired", tasks.add, (1, 2), expires=past, group_id="group", parent_id="parent"))
    documents(app, client, "solo", extended, env={"GOLDEN_EXTENDED": "1"})
    retried = [call("extended, retried", tasks.flaky)]
    documents(app, client, "solo", retried, env={"GOLDEN_EXTENDED": "1"}, ready=("RETRY",))
    limits = [
        call("hard time limit", tasks.sleep, (30,), time_limit=1),
        call("hard time limit in fractions", tasks.sleep, (30,), time_limit=1.5),
        call("soft time limit exceeded", tasks.sleep, (30,), soft_time_limit=1),
        call("worker lost", tasks.die),
    ]
    documents(app, client, "prefork", limits)
    retry(app, client, tasks)


def retry(app, client, tasks):
    """The message that a worker sends to try a task again, from among those that it holds."""
    tasks.flaky.apply_async(task_id=next(IDS), headers={"x-a": "b"}, shadow="shown", priority=4)

    def retried():
        for held in client.hvals("unacked"):
            envelope, _, _ = json.loads(held)
            if envelope["headers"]["retries"] == 1:
                return json.dumps(envelope)
        return None

    with worker("solo"):
        text = wait_for(retried, "a retry")
    lists(client)
    emit(kind="message", case="retry", list=f"celery{SEP}3", envelope=Raw(text), want=understood(app, text))


def main():
    import celery
    import kombu
    from celery.result import AsyncResult

    # Results unsubscribe when they are collected, which can be when the server has gone.
    del AsyncResult.__del__
    version = tuple(int(part) for part in celery.__version__.split(".")[:2])
    emit(kind="release", celery=celery.__version__, kombu=kombu.__version__)
    with redis_server() as url:
        os.environ["GOLDEN_BROKER"], os.environ["GOLDEN_RESULTS"] = f"{url}/0", f"{url}/1"
        sys.path.insert(0, str(HERE))
        import redis
        import tasks

        client = redis.Redis.from_url(f"{url}/0")
        say = Messages(tasks.app, client)
        publish_all(say, tasks, version)
        publish_local_time(say, tasks)
        publish_routed(say, tasks)
        if version != (5, 4):
            # 5.4 cannot open a store of certificates: it compares times that have a zone with times that have none.
            publish_signed(say, tasks)
        if "--core" not in sys.argv:
            yaml_scalars()
        restore(say, tasks.app, client)
        for prefix in ("", "app", "{app}:"):
            app = celery.Celery("golden", broker=f"{url}/0", backend=f"{url}/0")
            app.conf.broker_transport_options = {"global_keyprefix": prefix} if prefix else {}
            app.conf.result_backend_transport_options = {"global_keyprefix": prefix} if prefix else {}
            held_keys(app, client, prefix, "mail")
        tasks.app.conf.result_backend = os.environ["GOLDEN_RESULTS"] = f"{url}/0"
        run(tasks.app, client, tasks, version)


if __name__ == "__main__":
    main()
