"""Petiole and a Redis of its own, installed by Helm into a namespace that takes only "restricted" pods."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rig.kube import ROOT, Namespace, in_use, run

#: Where the nodes find images: where they were loaded as such, or in the registry that they were pushed to.
REGISTRY = os.environ.get("REGISTRY") or "localhost"
#: Of the images of worker and operator; the chart's own when there is none.
TAG = os.environ.get("TAG", "")

#: The Service of the chart's Redis.
REDIS = "petiole-redis"


def image(name: str) -> str:
    """The full name of an image that is made here for tests and for the demo."""
    return f"{REGISTRY}/petiole-{name}:1"


@contextmanager
def installed(name: str, *options: str) -> Iterator[Namespace]:
    """A namespace with Petiole in it, by Helm with these options. It is gone afterwards, with all that is in it."""
    namespace = Namespace(name)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    # What an earlier run, which was killed, has left.
    remove(namespace)
    try:
        namespace.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        helm(name, "petiole-crds", *definitions())
        upgrade(namespace, *options)
        yield namespace
    finally:
        remove(namespace)


def upgrade(namespace: Namespace, *options: str) -> None:
    """Installs Petiole's chart in a namespace, or brings it up to date with other options."""
    values = [f"image.repository={REGISTRY}/petiole-operator", f"worker.image.repository={REGISTRY}/petiole-worker"]
    values += [f"image.tag={TAG}", f"worker.image.tag={TAG}"]
    redis, tag = image("demo-redis").rsplit(":", 1)
    values += [f"redis.image.repository={redis}", f"redis.image.tag={tag}"]
    try:
        helm(namespace.name, "petiole", "--set", "redis.enabled=true", "--set-string", ",".join(values), *options)
    except RuntimeError as error:
        # Helm says that something is not ready, and not why.
        raise RuntimeError(f"{error}\n{namespace.dump()}") from None


def remove(namespace: Namespace) -> None:
    """Deletes a namespace without waiting for tasks that run in it, and whose results nobody waits for.

    What the release has outside of it goes by Helm: a cluster leads external metrics to one Service.
    """
    run("helm", "uninstall", "petiole", "--namespace", namespace.name, "--ignore-not-found")
    run("kubectl", "delete", "namespace", namespace.name, "--ignore-not-found", "--wait=false")
    namespace.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
    run("kubectl", "wait", "--for=delete", f"namespace/{namespace.name}", "--timeout", "120s")


def definitions() -> tuple[str, ...]:
    """How Helm installs the definitions.

    They are the whole cluster's: another release, the demo's, may have brought them. They stay at the end. In a cluster
    of the user's they are not taken from whom they belong to.
    """
    return () if in_use().startswith("context:") else ("--take-ownership",)


def helm(namespace: str, chart: str, *options: str) -> None:
    """Installs a chart as the release of its name, or brings it up to date."""
    where = ("--install", "--namespace", namespace, "--wait", "--timeout", "2m")
    run("helm", "upgrade", chart, ROOT / "charts" / chart, *where, *options)
