"""Writes what one release of Celery says beside its tasks: remote control, and events.

Run by capture.sh with the Python of each release; the lines go to standard output. A worker of that release runs on a
redis-server of the script's own; each case calls Celery's public API. See README.md for what the lines hold.
"""

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time

from capture import HERE, IDS, Raw, emit, neutral, redis_server, wait_for

NODE = "worker@host"
# No reply comes where a case says so; this long is waited for one.
SILENCE = 1.5
# This long, elsewhere: within the timeout of redis-py.
PATIENCE = 4


def body(text):
    return json.loads(base64.b64decode(json.loads(text)["body"]))


class Wire:
    """What passes on Redis beside the queues: published messages, and replies of the worker."""

    def __init__(self, app, client):
        from kombu.pidbox import Mailbox

        self.app, self.client = app, client
        self.pubsub = client.pubsub()
        self.pubsub.psubscribe("/0.*")
        wait_for(lambda: self.pubsub.get_message(timeout=1), "the subscription")
        self.replies, self.bindings, self.silence = [], [], PATIENCE
        wire = self

        def collect(mailbox, ticket, **_):
            wire.bindings = sorted(m.decode() for m in client.smembers("_kombu.binding.reply.celery.pidbox"))
            popped = client.brpop(mailbox.reply_queue.name, timeout=wire.silence)
            if popped is None:
                return []
            wire.replies.append((popped[0].decode(), popped[1].decode()))
            return [body(popped[1])]

        Mailbox._collect = collect

    def heard(self, timeout=0.0):
        """The next published message: (channel, text)."""
        message = self.pubsub.get_message(ignore_subscribe_messages=True, timeout=timeout)
        return message and (message["channel"].decode(), message["data"].decode())

    def quiet(self):
        while self.heard(0.05):
            pass

    def control(self, case, call, silent=False):
        """A request, and its reply where there is one."""
        self.quiet()
        self.replies.clear()
        self.silence = SILENCE if silent else PATIENCE
        call()
        request = wait_for(lambda: self.request(), f"the request of {case}")
        line = {"kind": "control", "case": case, "channel": request[0], "request": Raw(request[1])}
        if self.replies:
            [(key, reply)] = self.replies
            line |= {"list": key, "reply": Raw(plain(reply))}
            if case == "ping":
                line["bindings"] = self.bindings
        elif not silent and body(request[1]).get("reply_to"):
            raise SystemExit(f"{case}: no reply")
        emit(**line)

    def request(self):
        heard = self.heard(1)
        return heard if heard and heard[0].endswith(".pidbox") else None

    def events(self, case, call, until, keep=("task",)):
        """The events of a call, up to one of this type."""
        self.quiet()
        call()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            heard = self.heard(1)
            if not heard or ".celeryev/" not in heard[0]:
                continue
            events = body(heard[1])
            types = [event["type"] for event in (events if isinstance(events, list) else [events])]
            if types[0].split("-")[0] in keep:
                emit(kind="event", case=case, channel=heard[0], envelope=Raw(plain(heard[1])))
            if until in types:
                return
        raise SystemExit(f"{case}: waited 60 s for {until}")


def plain(text):
    """Takes this machine out of a body, as out of a line."""
    envelope = json.loads(text)
    before = base64.b64decode(envelope["body"]).decode()
    after = re.sub(r"kernel version:\S+", "kernel version:0.0.0", neutral(before))
    if after == before:
        return text
    envelope["body"] = base64.b64encode(after.encode()).decode()
    return json.dumps(envelope)


@contextlib.contextmanager
def worker(*options, **env):
    command = [sys.executable, "-m", "celery", "-A", "control_tasks", "worker", "-P", "prefork", "-c", "2", "-n", NODE]
    log = tempfile.TemporaryFile()
    process = subprocess.Popen(
        [*command, "-E", "--without-gossip", *options],
        cwd=HERE, env={**os.environ, **env, "PYTHONDONTWRITEBYTECODE": "1"}, stdout=log, stderr=log,
        start_new_session=True,
    )
    try:
        yield process
    except BaseException:
        log.seek(0)
        sys.stderr.write(log.read().decode())
        raise
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def ready(app):
    """The worker consumes tasks, and answers."""
    wait_for(app.control.ping, "the worker")


def task_events(wire, tasks):
    def send(task, *args, **options):
        return lambda: task.apply_async(args, task_id=next(IDS), **options)

    wire.events("success", send(tasks.add, 1, 2), "task-succeeded")
    kinds = {"text": "it's", "é": [None, True, 1.5], "bytes": "x" * 2000}
    wire.events("long arguments", send(tasks.echo, kinds, kwargs={"a": 1}), "task-succeeded")
    wire.events("failure", send(tasks.fail, "it's", 3), "task-failed")
    wire.events("unknown task", lambda: tasks.app.send_task("no.such.task", task_id=next(IDS)), "task-failed")
    wire.events("retry", send(tasks.flaky), "task-failed")
    wire.events("rejected", send(tasks.reject), "task-rejected")
    wire.events("expired", send(tasks.add, 1, 2, expires=-5), "task-revoked")
    wire.events("eta, expires, shadow, group, parent", send(
        tasks.add, 1, 2, countdown=0.1, expires=3600, shadow="shown", group_id="group", parent_id="parent", root_id="root",
    ), "task-succeeded")
    wire.events("hard limit", send(tasks.sleep, 60, time_limit=1), "task-failed")

    def revoked():
        task_id = next(IDS)
        tasks.app.control.revoke(task_id)
        time.sleep(0.3)
        tasks.add.apply_async((1, 2), task_id=task_id)

    wire.events("revoked", revoked, "task-revoked")

    def terminated():
        task_id = next(IDS)
        tasks.sleep.apply_async((60,), task_id=task_id)
        wait_for(lambda: task_id in str(wire.client.get(f"celery-task-meta-{task_id}")), "the start")
        tasks.app.control.revoke(task_id, terminate=True)

    wire.events("terminated", terminated, "task-revoked")

    def sent():
        tasks.app.conf.task_send_sent_event = True
        tasks.app.amqp.__dict__.pop("send_task_message", None)
        tasks.add.apply_async((1, 2), task_id=next(IDS), countdown=0.1)
        tasks.app.conf.task_send_sent_event = False
        tasks.app.amqp.__dict__.pop("send_task_message", None)

    wire.events("sent", sent, "task-succeeded")

    def many():
        for _ in range(60):
            tasks.add.apply_async((1, 2), task_id=next(IDS))

    wire.events("many", many, "task-succeeded")


def inspect(wire, tasks):
    inspect = tasks.app.control.inspect(timeout=1)
    case = wire.control
    case("ping", lambda: inspect.ping())
    case("ping by destination", lambda: tasks.app.control.inspect([NODE]).ping())
    case("ping of another", lambda: tasks.app.control.inspect(["other@host"]).ping(), silent=True)
    for matcher, pattern in [("glob", "work*"), ("glob", "w[!a]?ker@*"), ("pcre", "w.*@h"), ("pcre", r"\w+@(host|other)$")]:
        case(f"ping by {matcher} {pattern}", lambda: tasks.app.control.inspect(pattern=pattern, matcher=matcher).ping())
    for matcher, pattern in [("glob", "work"), ("pcre", "orker")]:
        case(f"not by {matcher} {pattern}",
             lambda: tasks.app.control.inspect(pattern=pattern, matcher=matcher).ping(), silent=True)
    case("active, none", lambda: inspect.active())
    case("revoked, none", lambda: inspect.revoked())
    case("scheduled, none", lambda: inspect.scheduled())
    running, waiting, parked = [[next(IDS) for _ in range(2)] for _ in range(3)]
    for task_id in running + waiting:
        tasks.sleep.apply_async((60,), {"unit": "it's", "é": None}, task_id=task_id, priority=3)
    for task_id in parked:
        tasks.add.apply_async((1, [2.5, True]), task_id=task_id, countdown=3600)
    wait_for(lambda: len((inspect.active() or {}).get(NODE, [])) == 2, "running tasks")
    wait_for(lambda: len((inspect.scheduled() or {}).get(NODE, [])) == 2, "parked tasks")
    case("active", lambda: inspect.active())
    case("active, safe", lambda: inspect.active(safe=True))
    case("reserved", lambda: inspect.reserved())
    case("scheduled", lambda: inspect.scheduled())
    case("query_task", lambda: inspect.query_task(running[0], waiting[0], parked[0], "unknown"))
    case("query_task, one text", lambda: tasks.app.control.broadcast("query_task", {"ids": running[1]}, reply=True))
    case("stats", lambda: inspect.stats())
    case("registered", lambda: inspect.registered())
    case("registered with items", lambda: inspect.registered("max_retries", "rate_limit", "nothing", "_app"))
    case("registered with builtins",
         lambda: tasks.app.control.broadcast("registered", {"builtins": True}, reply=True))
    case("active_queues", lambda: inspect.active_queues())
    case("conf", lambda: inspect.conf())
    case("clock", lambda: inspect.clock())
    case("report", lambda: inspect.report())
    case("memsample", lambda: inspect.memsample())
    case("memdump", lambda: inspect.memdump(5))
    case("objgraph", lambda: inspect.objgraph())
    case("hello", lambda: inspect.hello("other@host", ["ffff", "eeee"]))
    case("hello of old", lambda: inspect.hello("other@host", {"dddd": [1.5, "dddd"]}))
    case("hello to itself", lambda: inspect.hello(NODE))
    case("revoked", lambda: inspect.revoked())
    # The names of old.
    for alias in ["active", "reserved", "revoked", "schedule", "tasks", "conf"]:
        case(f"dump_{alias}", lambda: tasks.app.control.broadcast(f"dump_{alias}", reply=True))
    return running, waiting


def control(wire, tasks, version, running, waiting):
    case, control = wire.control, tasks.app.control

    def call(method, silent=False, **arguments):
        said = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        case(f"{method} {said}".strip(), lambda: control.broadcast(method, arguments, reply=True), silent)

    case("control ping", lambda: control.ping())
    case("revoke", lambda: control.revoke(waiting[0], reply=True))
    case("revoke without a reply", lambda: control.revoke("aaaa"))
    case("revoke two", lambda: control.revoke([waiting[1], "it's"], reply=True))
    call("revoke", task_id=[])
    call("revoke", task_id=None)
    call("revoke")
    case("revoke and terminate", lambda: control.revoke(running[0], terminate=True, reply=True))
    case("terminate", lambda: control.terminate(running[1], signal="SIGKILL", reply=True))
    case("terminate unknown", lambda: control.terminate("unknown", reply=True))
    call("terminate", task_id=["unknown"])
    call("revoke", task_id=["unknown"], terminate=True, signal="KILL")
    call("revoke", task_id=["unknown"], terminate=True, signal="SIGNONE")
    call("revoke", task_id=["unknown"], terminate=True, signal="term")
    call("revoke", task_id=["unknown"], terminate=True, signal=9)
    if version >= (5, 3):
        case("revoke_by_stamped_headers",
             lambda: control.revoke_by_stamped_headers({"tenant": ["t2"]}, reply=True))
        case("revoke_by_stamped_headers, one text",
             lambda: control.revoke_by_stamped_headers({"tenant": "t3", "it's": ["a", "b"]}, reply=True))
        call("revoke_by_stamped_headers", headers=["tenant=t4", "color=red=dark"])
        call("revoke_by_stamped_headers", headers={"tenant": ["t5"]}, terminate=True)
        call("revoke_by_stamped_headers", headers=["tenant"])
        call("revoke_by_stamped_headers")

        signature = tasks.sleep.s(60).set(task_id=next(IDS))
        signature.stamp(tenant="t6")
        signature.apply_async()
        wait_for(lambda: control.inspect().active()[NODE], "the stamped task")
        call("revoke_by_stamped_headers", headers={"tenant": ["t6", "t7"]}, terminate=True)
    name = "control_tasks.add"
    for rate in ["10/m", "5/h", "2.5", "1e2/s", 7, 0.5, 0, None, "", "xx", "5/d", "1/2", "-1", " 3 /m", "nan"]:
        call("rate_limit", task_name=name, rate_limit=rate)
    call("rate_limit", task_name="no.such", rate_limit="1/s")
    call("rate_limit", task_name="no.such", rate_limit="xx")
    call("rate_limit", task_name=name)
    call("rate_limit")
    case("time_limit", lambda: control.time_limit(name, soft=1, hard=2.5, reply=True))
    call("time_limit", task_name=name)
    call("time_limit", task_name="no.such", soft=1)
    call("time_limit")
    case("add_consumer", lambda: control.add_consumer("extra", reply=True))
    wait_for(lambda: len(control.inspect().active_queues()[NODE]) == 2, "the queue")
    case("active_queues, two", lambda: control.inspect().active_queues())
    case("add_consumer with an exchange", lambda: control.add_consumer(
        "extra2", exchange="ex", exchange_type="topic", routing_key="a.#", options={"queue_arguments": {"x-max-priority": 5}}, reply=True))
    wait_for(lambda: len(control.inspect().active_queues()[NODE]) == 3, "the queue")
    case("active_queues, three", lambda: control.inspect().active_queues())
    case("cancel_consumer", lambda: control.cancel_consumer("extra", reply=True))
    call("cancel_consumer", queue="nobody's")
    call("cancel_consumer")
    call("add_consumer")
    case("pool_grow", lambda: control.pool_grow(reply=True))
    case("pool_shrink", lambda: control.pool_shrink(n=1, reply=True))
    call("pool_shrink", n=5)
    call("pool_grow", n="x")
    case("autoscale, off", lambda: control.autoscale(5, 2, reply=True))
    case("pool_restart, off", lambda: control.pool_restart(reply=True))
    for on in ["enable", "disable", "disable", "enable", "enable"]:
        call(f"{on}_events")
    call("enable_events", anything=1)
    case("heartbeat", lambda: control.heartbeat(reply=True))
    call("heartbeat", x=1)
    call("election", id="one", topic="t", action=None)
    call("election", id="one")
    call("nonexistent")
    call("it's")
    call("ping", ignored=1)
    call("report", x=1)
    call("active_queues", x=1, y=2)
    call("autoscale", x=1)
    call("hello")
    call("query_task")
    call("shutdown", silent=True)


def main():
    import celery
    import kombu
    from celery.result import AsyncResult

    del AsyncResult.__del__
    version = tuple(int(part) for part in celery.__version__.split(".")[:2])
    emit(kind="release", celery=celery.__version__, kombu=kombu.__version__)
    with redis_server() as url:
        os.environ["GOLDEN_BROKER"], os.environ["GOLDEN_RESULTS"] = f"{url}/0", f"{url}/0"
        sys.path.insert(0, str(HERE))
        import control_tasks as tasks
        import redis

        client = redis.Redis.from_url(f"{url}/0")
        wire = Wire(tasks.app, client)
        with contextlib.ExitStack() as stack:
            wire.events("start", lambda: stack.enter_context(worker()), "worker-heartbeat", keep=("worker",))
            ready(tasks.app)
            bindings = sorted(m.decode() for m in client.smembers("_kombu.binding.celery.pidbox"))
            emit(kind="bindings", case="celery.pidbox", members=bindings)
            task_events(wire, tasks)
            wire.events("heartbeat, asked for", lambda: tasks.app.control.heartbeat(), "worker-heartbeat", keep=("worker",))
            held = inspect(wire, tasks)
            control(wire, tasks, version, *held)
        with worker("--autoscale=3,1", GOLDEN_RESTARTS="1") as process:
            ready(tasks.app)
            case, control_ = wire.control, tasks.app.control
            case("stats with autoscale", lambda: control_.inspect().stats())
            case("autoscale", lambda: control_.autoscale(5, 2, reply=True))
            case("autoscale, the least", lambda: control_.broadcast("autoscale", {"max": 4}, reply=True))
            case("pool_grow with autoscale", lambda: control_.pool_grow(reply=True))
            case("pool_shrink with autoscale", lambda: control_.pool_shrink(reply=True))
            case("pool_restart", lambda: control_.pool_restart(reply=True))
            wire.events("stop", process.terminate, "worker-offline", keep=("worker",))


if __name__ == "__main__":
    main()
