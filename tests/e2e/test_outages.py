"""The operator and Redis go away, and come back."""

from collections.abc import Callable

from conftest import Client, pods, wait_ready
from redis import RedisError
from rig.kube import Namespace
from rig.waiting import until

WITHIN = 60
LEASE = "petiole-operator"


def test_another_operator_takes_over_from_a_deleted_leader(namespace: Namespace, make_pool: Callable[..., str]) -> None:
    pool = make_pool(replicas=1)

    def leader() -> str:
        return namespace.get("lease", LEASE)["spec"].get("holderIdentity") or ""

    operators = [pod["metadata"]["name"] for pod in namespace.all("pods", "app.kubernetes.io/component=operator")]
    (leading,) = [name for name in operators if name in leader()]
    namespace.kubectl("delete", "pod", leading, "--wait=false")
    until("another one leads", lambda: leader() and leading not in leader(), WITHIN)
    namespace.kubectl("scale", "wp", pool, "--replicas", "2")
    wait_ready(namespace, pool, 2)


def test_workers_stay_ready_and_connect_again_when_redis_is_replaced(
    namespace: Namespace, client: Client, make_pool: Callable[..., str]
) -> None:
    pool = make_pool(replicas=2)
    before = pods(namespace, pool)
    selector = "app.kubernetes.io/component=redis"
    (old,) = [pod["metadata"]["name"] for pod in namespace.all("pods", selector)]
    namespace.kubectl("delete", "pod", old, "--grace-period=0", "--force")
    namespace.kubectl("rollout", "status", "deployment/petiole-redis", "--timeout=60s")
    until("Redis answers", lambda: answers(client), WITHIN)
    assert client.send(pool, "echo", "back").get(timeout=WITHIN) == "back"
    for pod in namespace.all("pods", f"petiole.dev/pool={pool}"):
        assert pod["metadata"]["name"] in before
        statuses = pod["status"]["containerStatuses"] + pod["status"]["initContainerStatuses"]
        assert [each["restartCount"] for each in statuses] == [0] * len(statuses)
        assert all(each["ready"] for each in pod["status"]["containerStatuses"])


def answers(client: Client) -> bool:
    """Whether Redis can be talked to."""
    try:
        return bool(client.redis.ping())
    except RedisError:
        return False
