"""What becomes of a pool's pods when its objects change."""

import uuid
from collections.abc import Callable

import objects
from conftest import Client, Gate, pods, wait_ready
from rig.kube import Namespace
from rig.waiting import until

WITHIN = 60


def test_a_changed_spec_rolls_out_while_tasks_run_and_loses_nothing(
    namespace: Namespace, client: Client, make_pool: Callable[..., str], gate: Gate
) -> None:
    pool = make_pool()
    before = pods(namespace, pool)
    sent = gate.send(pool, 8)
    until("four tasks run", lambda: len(gate.started()) == 4, WITHIN)
    namespace.apply(objects.pool(pool, client.address, version="2"))
    until("new pods run tasks", lambda: any(pod not in before for _, pod in gate.started()), WITHIN)
    gate.open()
    assert {name: result.get(timeout=WITHIN) for name, result in sent.items()} == {name: name for name in sent}
    wait_ready(namespace, pool, 2)
    assert not set(before) & set(pods(namespace, pool))
    # Each ran once: a roll-out waits for what runs.
    assert sorted(name for name, _ in gate.started()) == sorted(sent)


def test_kubectl_scale_brings_pods_and_takes_them_away(namespace: Namespace, make_pool: Callable[..., str]) -> None:
    pool = make_pool(replicas=1)
    namespace.kubectl("scale", "wp", pool, "--replicas", "3")
    wait_ready(namespace, pool, 3)
    namespace.kubectl("scale", "wp", pool, "--replicas", "1")
    wait_ready(namespace, pool, 1)


def test_a_refused_spec_says_why_and_leaves_the_workers_as_they_are(
    namespace: Namespace, client: Client, make_pool: Callable[..., str]
) -> None:
    pool = make_pool(replicas=1)
    before = pods(namespace, pool)
    bad = [{"name": "e2e.echo", "command": ["echo", "$(args[0)"]}]
    namespace.apply(objects.pool(pool, client.address, replicas=1, tasks=bad))
    until("it is refused", lambda: namespace.condition("wp", pool, "Degraded")[1] == "TaskRefused", WITHIN)
    assert "e2e.echo" in namespace.condition("wp", pool, "Degraded")[2]
    assert pods(namespace, pool) == before
    assert client.send(pool, "echo", "still").get(timeout=WITHIN) == "still"


def test_a_broker_that_cannot_be_reached_is_a_condition_and_an_event(namespace: Namespace) -> None:
    name = f"nowhere-{uuid.uuid4().hex[:8]}"
    namespace.apply(objects.queue(name, "127.0.0.1:1"))
    until("it says so", lambda: namespace.condition("tq", name, "BrokerReachable")[0] == "False", WITHIN)

    def events() -> list[str]:
        return [each["reason"] for each in namespace.all("events") if each["involvedObject"]["name"] == name]

    assert "Unreachable" in until("there is an event", events, WITHIN)
    namespace.kubectl("delete", "taskqueue", name)


def test_a_deleted_pool_and_queue_leave_nothing_behind(namespace: Namespace, make_pool: Callable[..., str]) -> None:
    pool = make_pool(replicas=1)
    kinds = "deployments,replicasets,pods,configmaps,serviceaccounts,poddisruptionbudgets"
    found = namespace.all(kinds, f"petiole.dev/pool={pool}")
    assert {"Deployment", "Pod", "ConfigMap", "ServiceAccount", "PodDisruptionBudget"} <= {one["kind"] for one in found}
    namespace.kubectl("delete", "workerpool,taskqueue", pool)

    def left() -> list[str]:
        return [one["metadata"]["name"] for one in namespace.all(kinds) if pool in one["metadata"]["name"]]

    until("nothing is left", lambda: not left(), WITHIN, every=0.3)


def test_a_password_stands_in_its_secret_and_nowhere_else(namespace: Namespace, client: Client) -> None:
    name, password = f"guarded-{uuid.uuid4().hex[:8]}", f"hidden{uuid.uuid4().hex}"
    client.redis.acl_setuser(name, enabled=True, passwords=[f"+{password}"], keys="*", channels="*", commands=["+@all"])
    secret = {"username": name, "password": password}
    namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": secret})
    # kubectl keeps what it was given as an annotation of the Secret; the Secret itself is not looked at below.
    keys = {f"{key}From": {"secretKeyRef": {"name": name, "key": key}} for key in secret}
    namespace.apply(objects.queue(name, **keys), objects.pool(name, client.address, replicas=1))
    wait_ready(namespace, name, 1)
    assert client.send(name, "echo", "let in").get(timeout=WITHIN) == "let in"
    kinds = namespace.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    told = namespace.kubectl("get", ",".join(kind for kind in kinds if kind != "secrets"), "--output", "yaml")
    told += namespace.kubectl("logs", "--selector", f"petiole.dev/pool={name}", "--all-containers", "--tail=-1")
    told += namespace.kubectl("logs", "--selector", "app.kubernetes.io/component=operator", "--tail=-1")
    assert name in told
    assert password not in told
    namespace.kubectl("delete", "workerpool,taskqueue,secret", name)
