"""Writes what one release of Celery's worker says when it continues a canvas: a line for each task that it runs.

Run by capture.sh with the Python of each release; the lines go to standard output. `--core` leaves out the cases that
no release treats in its own way. See README.md for what the lines hold.

The worker gets one message at a time: a message is taken from where a client or the worker put it, and goes into the
worker's own list; what is new in Redis once it is done, is what the worker made of it.
"""

import datetime
import contextlib
import io
import json
import os
import re
import sys

import capture
from capture import Raw, emit, redis_server, wait_for, worker

# The worker's list. Nobody sends to it.
WORK = "work"
# Cases that `--core` keeps: one of each kind of canvas, since releases differ in what they make of any of them.
CORE = {
    "chain", "chain ends in a group", "several callbacks", "errbacks", "chord", "chord in a chain",
    "chain in a chord", "chord in a chord", "group in a chord", "chord fails", "stamped chain",
}


def decoded(text):
    """An envelope with its body as it was before base64."""
    import base64

    envelope = json.loads(text)
    body = base64.b64decode(envelope.pop("body")).decode()
    del envelope["properties"]["body_encoding"]
    return Raw("{" + f'"body": {body}, ' + json.dumps(envelope)[1:])


def queues(client):
    """What waits in any queue but the worker's, the oldest first."""
    found = []
    for key in sorted(client.keys()):
        if client.type(key) == b"list" and key.decode() != WORK and not key.endswith(b".j"):
            found += [(key, item) for item in reversed(client.lrange(key, 0, -1))]
    return found


def texts(client, pattern):
    return {key.decode(): client.get(key).decode() for key in client.keys(pattern) if client.type(key) == b"string"}


def results(client):
    """What is stored: documents of tasks, and what there is of groups and chords."""
    prefix = len("celery-task-meta-")
    documents = {key[prefix:]: Raw(text) for key, text in texts(client, "celery-task-meta-*").items()}
    prefix = len("celery-taskset-meta-")
    groups = {key[prefix:]: Raw(text) for key, text in texts(client, "celery-taskset-meta-*").items() if key[-2:] != ".c"}
    for key in client.keys("celery-taskset-meta-*.j"):
        members = client.zrange(key, 0, -1, withscores=True)
        groups[key.decode()[prefix:]] = [[Raw(member.decode()), score] for member, score in members]
    return documents, groups


def new(after, before):
    return {name: value for name, value in after.items() if value != before.get(name)}


def obj(members):
    return Raw("{" + ", ".join(f"{json.dumps(name)}: {capture.text(value)}" for name, value in members.items()) + "}")


def step(client, key, item):
    """Lets the worker run one message. Returns what that made."""
    task = json.loads(item)["headers"]["id"]
    client.lrem(key, -1, item)
    waiting = queues(client)
    documents, groups = results(client)
    client.lpush(WORK, item)

    def done():
        document = client.get(f"celery-task-meta-{task}")
        ready = document and json.loads(document)["status"] in ("SUCCESS", "FAILURE", "REVOKED")
        # A task that replaces itself leaves no document.
        return (ready or len(queues(client)) > len(waiting)) and not client.exists(WORK, "unacked")

    wait_for(done, f"the worker to run {json.loads(item)['headers']['task']}")
    sent = [text.decode() for found, text in queues(client) if (found, text) not in waiting]
    later_documents, later_groups = results(client)
    return task, sent, new(later_documents, documents), new(later_groups, groups)


@contextlib.contextmanager
def counted_ids():
    """Numbers the ids in what is printed, in the order in which they come."""
    ids = {}
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        yield
    number = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
    print(number.sub(lambda found: ids.setdefault(found[0], f"id-{len(ids) + 1}"), text.getvalue()), end="")


def run(client, case, publish, steps):
    """Publishes a canvas, and lets the worker run it to its end, or only its first tasks."""
    publish()
    _, published = results(client)
    ran = 0
    while ran < steps and (waiting := queues(client)):
        key, item = waiting[0]
        task, sent, documents, groups = step(client, key, item)
        ran += 1
        # A task that ends a branch makes nothing, and is left out.
        if not sent and not documents.keys() - {task} and not groups:
            continue
        emit(
            kind="canvas", case=case, published=obj(published), ran=decoded(item), document=documents.pop(task, None),
            sent=[decoded(text) for text in sent], documents=obj(documents), groups=obj(groups),
        )
        published = {}
    for key in client.keys():
        if not key.startswith(b"_kombu"):
            client.delete(key)


def canvases(tasks, version):
    """The cases: a name, what to publish, and how many tasks of it are run."""
    from celery import chain, chord, group, signature

    add, echo, total, fail, told = tasks.add, tasks.echo, tasks.total, tasks.fail, tasks.told
    eta = datetime.datetime(2031, 2, 3, 4, 5, 6, 789012, tzinfo=datetime.timezone.utc)
    elsewhere = signature("elsewhere.told", app=tasks.app)
    cases = {}

    def case(name, sig, steps=99, **options):
        cases[name] = (lambda: sig.apply_async(**options), steps)

    case("chain", chain(add.s(1, 2), add.s(3), add.s(4)))
    case("chain with an immutable step", chain(add.s(1, 2), add.si(4, 4), add.s(1)))
    case("chain with keyword arguments", chain(echo.s(a=1), echo.s(b=2), echo.s()))
    case("chain that fails", chain(fail.s("bad", 3), add.s(1), add.s(2)))
    case("chain that fails in the middle", chain(add.s(1, 2), fail.s(), add.s(2)).on_error(told.s()))
    case("chain ends in a group", chain(add.s(1, 2), group(add.s(1), add.s(2), add.si(5, 5))))
    case("chain ends in nested groups",
         chain(add.s(1, 2), group(add.s(1), group(add.s(2), add.s(3)), add.s(4) | add.s(5))))
    case("chain ends in a group of chords",
         chain(add.s(1, 2), group(chord([add.s(1), add.s(2)], total.s()), add.s(3) | add.s(4))), steps=3)
    case("chain ends in a group that ends in a group",
         chain(add.s(1, 2), group(add.s(1) | group(add.s(2), add.s(3)), add.s(9))))
    case("chain of one that ends in a group", chain(add.s(1, 2), group([add.s(1) | group(add.s(2), add.s(3))])), steps=2)
    case("chain of values that stay text", chain(echo.s([1.0, "\u00e9", 10**30, float("nan")]), echo.s({"b": 1, "a": 2})))
    case("group", group(add.s(1, 2), add.s(3, 4)))
    case("callback", add.s(1, 2), link=add.s(3))
    case("immutable callback", add.s(1, 2), link=add.si(3, 4))
    case("callback that is a group", add.s(1, 2), link=group(add.s(1), add.s(2)))
    case("callback that is a chain", add.s(1, 2), link=add.s(1) | add.s(2) | add.s(3))
    case("callback that is a chain of one", add.s(1, 2), link=signature(
        {"task": "celery.chain", "args": [], "kwargs": {"tasks": [add.s(1)]}, "options": {}, "subtask_type": "chain",
         "immutable": False}))
    case("callback that is a chord", add.s(1, 2), link=chord([add.s(1), add.s(2)], total.s()))
    case("callback that is a chain with a chord", add.s(1, 2),
         link=chain(add.s(1), chord([add.s(1), add.s(2)], total.s()), add.s(7)))
    case("callback that is a group and a task, not upgraded", add.s(1, 2), link=signature(
        {"task": "celery.chain", "args": [], "kwargs": {"tasks": [group(add.s(1), add.s(2)), total.s()]}, "options": {},
         "subtask_type": "chain", "immutable": False}))
    case("several callbacks", add.s(1, 2), link=[add.s(3), add.si(4, 4), group(add.s(1), add.s(2)), add.s(5) | add.s(6)])
    case("callbacks and a chain", chain(add.s(1, 2).on_error(told.s()), add.s(3)), link=[add.s(8)])
    case("callback of a callback", add.s(1, 2), link=add.s(3).set(link=add.s(4), link_error=told.s()))
    case("errback", fail.s("bad"), link_error=told.s())
    case("errbacks", fail.s("bad"), link_error=[told.s(), told.si("instead"), elsewhere.clone()], steps=1)
    if version >= (5, 7):
        case("errback that is a chain", fail.s("bad"), link_error=[told.s(), told.s() | echo.s()], steps=1)
    case("errback that is a group", fail.s("bad"), link_error=group(told.s(), told.s()))
    case("chord", chord([add.s(1, 2), add.s(3, 4)], total.s()))
    case("chord of one", chord([add.s(1, 2)], total.s()))
    case("chord and callbacks", chord([add.s(1, 2), add.s(3, 4)], total.s().set(link=add.s(5))))
    case("chord with an immutable body", chord([add.s(1, 2), add.s(3, 4)], add.si(5, 5)))
    case("chord with a group for a body", chord([add.s(1, 2), add.s(3, 4)], group(echo.s(), total.s())))
    case("chord with a chain for a body", chord([add.s(1, 2), add.s(3, 4)], total.s() | add.s(1) | add.s(2)))
    case("chord with a chain of a group for a body", chord([add.s(1, 2), add.s(3, 4)], total.s() | group(add.s(1), add.s(2))))
    case("chord with a chord for a body",
         chord([add.s(1, 2), add.s(3, 4)], chord([total.s(), echo.s()], echo.s())))
    case("chord in a chain", chain(add.s(1, 2), chord([add.s(1), add.s(2)], total.s())))
    case("chord in a chain, then more", chain(add.s(1, 2), chord([add.s(1), add.s(2)], total.s()), add.s(10), add.s(11)))
    case("group in a chain", chain(add.s(1, 2), group(add.s(1), add.s(2)), total.s(), add.s(3)))
    case("chords in a chain",
         chain(add.s(1, 2), group(add.s(1), add.s(2)), total.s(), group(add.s(3), add.s(4)), total.s()))
    case("groups in a chain", chain(add.s(1, 2), group(add.s(1), add.s(2)), group(total.s(), echo.s()), echo.s()))
    case("chord with an empty header in a chain", chain(add.s(1, 2), chord([], total.s())))
    case("chord with an empty header in a chain, then more", chain(add.s(1, 2), chord([], total.s()), add.s(5)))
    case("chain in a chord", chord([add.s(1, 2) | add.s(3), add.s(5, 5)], total.s()))
    case("chain in a chord in a chain", chain(add.s(1, 2), chord([add.s(2) | add.s(3) | add.s(4), add.s(5)], total.s()), add.s(1)))
    case("chord in a chord", chord([chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(1, 2)], total.s()))
    case("chord in a chord in a chain",
         chain(add.s(1, 2), chord([chord([add.s(1), add.s(2)], total.s()), add.s(3)], total.s()), add.s(4)))
    case("chain with a chord in a chord",
         chord([chain(add.s(1, 1), group(add.s(2), add.s(3)), total.s()), add.s(4, 4)], total.s()))
    case("group in a chord", chord([add.s(1, 1), group(add.s(2, 2), add.s(3, 3)), add.s(4, 4)], echo.s()))
    case("group in a chord in a chain", chain(add.s(1, 1), chord([add.s(1), group(add.s(2), add.s(3)), add.s(4)], echo.s())))
    case("complex chord", chord([add.s(1, 1) | group(add.s(1), add.s(2)), add.s(4, 4)], echo.s()))
    case("complex chord in a chain",
         chain(add.s(1, 1), chord([add.s(1) | group(add.s(1), add.s(2)), add.s(4)], echo.s()), echo.s()))
    case("chord fails", chord([add.s(1, 2), fail.s("bad", 3)], total.s()))
    case("chord fails first", chord([fail.s("bad"), add.s(1, 2)], total.s()))
    case("chord fails and says so", chord([fail.s("bad"), add.s(1, 2)], total.s().on_error(told.s())))
    case("chord fails before more", chain(chord([fail.s("bad")], total.s().on_error(told.s())), add.s(1), add.s(2)))
    case("chord fails with a chain for a body", chord([fail.s("bad"), add.s(1, 2)], (total.s() | add.s(1)).on_error(told.s())))
    case("chord fails with a group for a body", chord([fail.s("bad"), add.s(1, 2)], group(echo.s(), total.s().on_error(told.s()))))
    case("chord fails with a chord for a body", chord([fail.s("bad"), add.s(1, 2)], chord([total.s(), echo.s()], echo.s())))
    case("complex chord fails", chord([fail.s("bad") | group(add.s(1), add.s(2)), add.s(4, 4)], echo.s()))
    case("complex chord fails late", chord([add.s(1, 2) | group(fail.s(1), add.s(2)), add.s(4, 4)], echo.s()))
    case("chain fails in a chord", chord([fail.s("bad") | add.s(3) | add.s(4), add.s(5, 5)], total.s()))
    case("chord fails in a chord", chord([chord([fail.s("bad")], total.s().on_error(told.s())), add.s(1, 2)], total.s().on_error(told.s())))
    case("chord fails after a chain", chain(add.s(1, 2), chord([fail.s("bad"), add.s(1)], total.s()), add.s(5)))
    case("chain before a chord fails", chain(fail.s("bad"), chord([add.s(1), add.s(2)], total.s()), add.s(5)))
    case("chord with a task that expired", chord([add.s(1, 2), add.s(1, 2).set(expires=eta.replace(year=2001))], total.s()))
    case("step with options", chain(add.s(1, 2), add.s(3).set(
        queue="other", countdown=60, expires=120, priority=4, headers={"x-a": {"b": 1}}, shadow="shown", time_limit=10,
        soft_time_limit=5, ignore_result=True, x_unknown="kept", reply_to="my-replies", task_id="mine", retries=1)), steps=1)
    case("step with an eta", chain(add.s(1, 2), add.s(3).set(eta=eta.isoformat(), expires=eta.isoformat())), steps=1)
    case("step with times of Python's own type", chain(add.s(1, 2), add.s(3).set(eta=eta, expires=eta)), steps=1)
    case("group with options", chain(add.s(1, 2), group(add.s(1), add.s(2)).set(queue="other", priority=3)), steps=1)
    case("chord with options", chain(add.s(1, 2), chord([add.s(1), add.s(2)], total.s()).set(queue="other", countdown=60)), steps=1)
    case("chain with options in a group", chain(add.s(1, 2), group(
        chain(add.s(1), add.s(2)).set(queue="other", priority=3), add.s(4))), steps=1)
    case("map", chain(echo.s(1), echo.map([1, 2])), steps=2)
    case("starmap", add.starmap([(1, 2), (3, 4)]))
    case("chunks", add.chunks([(1, 2), (3, 4), (5, 6)], 2))
    case("accumulate", chain(echo.s(1), signature("celery.accumulate", app=tasks.app), signature(
        "celery.accumulate", kwargs={"index": 0}, app=tasks.app)))
    case("chunks as a task", signature(
        "celery.chunks", kwargs={"task": add.s(), "it": [[1, 2], [3, 4], [5, 6]], "n": 2}, app=tasks.app), steps=1)
    case("group as a task", signature("celery.group", kwargs={
        "tasks": [add.s(1), add.s(2)], "result": [["the-group", None], []], "group_id": "the-group", "partial_args": [5],
    }, app=tasks.app), steps=1)
    case("chord as a task", signature("celery.chord", kwargs={
        "header": [add.s(1), add.s(2)], "body": total.s(), "partial_args": [5]}, app=tasks.app), steps=1)
    case("chain as a task", signature("celery.chain", app=tasks.app), steps=1)
    if version >= (5, 3):
        def stamped(sig, **stamps):
            sig.stamp(**stamps)
            return sig
        case("stamped chain", stamped(chain(add.s(1, 2), add.s(3), group(add.s(1), add.s(2))), tenant="t1", labels=["a", "b"]))
        case("stamped chord in a chain", stamped(chain(add.s(1, 2), chord([add.s(1), add.s(2)], total.s())), tenant="t1"))
        case("callback without its parent's stamp", stamped(add.s(1, 2), tenant="t1"), link=add.s(3))
        case("errback with a stamp of its own", stamped(fail.s("bad"), tenant="t1"), link_error=stamped(told.s(), tenant="t2"))
    case("replaced by a chain", chain(tasks.replaced.s([1, 2]), add.s(5)))
    case("replaced by a group in a chord", chord([tasks.replaced.s([1, 2], True), add.s(3, 4)], echo.s()))
    # The signature that replaces the task is its argument. The first task is all that is looked at.
    by = tasks.replaced_by.si
    linked = {"link": told.s(), "link_error": told.s(), "steps": 1}
    several, sums = group(add.s(1, 1), add.s(2, 2)), chord([add.s(1, 1), add.s(2, 2)], total.s())
    case("replaced by a task", by(add.s(1, 2)), **linked)
    case("replaced by a task with links", by(add.s(1, 2).on_error(told.s("own"))), **linked)
    case("replaced by a group", by(several), **linked)
    case("replaced by a nested group", by(group(several, add.s(3, 3) | add.s(4))), **linked)
    case("replaced by a chain with links", by(chain(add.s(1, 2), add.s(3)).on_error(told.s("own"))), **linked)
    case("replaced by a chain that ends in a group", by(chain(add.s(1, 2), group(add.s(1), add.s(2)))), **linked)
    case("replaced by a chord", by(sums), **linked)
    case("replaced by a task in a chain", chain(by(add.s(1, 2)), group(add.s(1), add.s(2)), total.s(), echo.s()), steps=1)
    case("replaced by a group in a chain", chain(by(several), total.s(), group(echo.s(), echo.s())), steps=1)
    case("replaced by a chain in a chain", chain(by(chain(add.s(1, 2), several, total.s())), echo.s(), echo.s()), steps=1)
    case("replaced by a chord in a chain", chain(by(sums), echo.s(), chord([echo.s()], echo.s()), echo.s()), steps=1)
    case("replaced by a chord that a group follows", chain(by(sums), group(echo.s(), echo.s())), steps=1)
    case("replaced by a chain that a group follows", chain(by(chain(echo.s(), sums)), group(echo.s(), echo.s())), steps=1)
    case("replaced by a task in a header", chord([by(add.s(1, 2)), add.s(3, 4)], echo.s()), steps=1)
    case("replaced by a chain in a header", chord([by(add.s(1, 2) | add.s(5)), add.s(3, 4)], echo.s()), steps=1)
    case("replaced by a chord in a header", chord([by(sums), add.s(3, 4)], echo.s()), steps=1)
    case("replaced in a chain in a header", chord([by(add.s(1, 2)) | add.s(5), add.s(3, 4)], echo.s()), steps=1)
    case("replaced in a group", group(by(add.s(1, 2)), add.s(3, 4)), steps=1)
    return cases


def main():
    import celery
    from celery.result import AsyncResult, ResultSet

    del AsyncResult.__del__
    del ResultSet
    version = tuple(int(part) for part in celery.__version__.split(".")[:2])
    only = [name for name in sys.argv[1:] if not name.startswith("-")]
    emit(kind="release", celery=celery.__version__)
    with redis_server() as url:
        os.environ["GOLDEN_BROKER"] = os.environ["GOLDEN_RESULTS"] = f"{url}/0"
        os.environ["GOLDEN_LATE"] = "1"
        import redis
        import tasks

        client = redis.Redis.from_url(f"{url}/0")
        with worker("solo", "-Q", WORK):
            for case, (publish, steps) in canvases(tasks, version).items():
                if only and case not in only or "--core" in sys.argv and case not in CORE:
                    continue
                with counted_ids():
                    run(client, case, publish, steps)


if __name__ == "__main__":
    main()
