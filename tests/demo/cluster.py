"""What the demo's client asks of kubectl, which finds the cluster in KUBECONFIG."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def forwarded(namespace: str, target: str, port: int) -> Iterator[str]:
    """The address on this machine at which a port of the cluster is, while this runs."""
    command = ["kubectl", "--namespace", namespace, "port-forward", "--address", "127.0.0.1", target, f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as kubectl:
        try:
            # "Forwarding from 127.0.0.1:40000 -> 6379"
            found = re.search(r"127\.0\.0\.1:\d+", kubectl.stdout.readline())
            if not found:
                sys.exit(f"kubectl does not forward port {port} of {target} in namespace {namespace}")
            yield found.group()
        finally:
            kubectl.terminate()


def show(namespace: str) -> None:
    """Prints what `kubectl get tq,wp,pods` shows. The operator writes figures into a status every 15 s at most."""
    print(f"\n$ kubectl --namespace {namespace} get tq,wp,pods", flush=True)
    subprocess.run(["kubectl", "--namespace", namespace, "get", "tq,wp,pods"], check=True)
    print("(A TaskQueue's figures are up to 15 s old here; the operator's metrics have them by the second.)\n", flush=True)
