"""KEDA as a peer: its operator and its metrics adapter, as processes of this machine beside the cluster.

They are KEDA's own programs with its own definitions, and talk to the API server as the cluster's administrator. The
API server reaches the adapter at the node's address, as it would reach its pod.
"""

import base64
import subprocess
from pathlib import Path
from typing import Any

from rig.kube import ENVIRONMENT, ROOT, Namespace, in_use, run
from rig.processes import Process
from rig.redis_server import free_port
from rig.waiting import until

BIN = ROOT / ".cluster/bin"
SERVICE = "keda-metrics-apiserver"
API = "v1beta1.external.metrics.k8s.io"
#: What the HPA's controller is allowed to read.
READER = "keda-external-metrics-reader"
PATIENCE = 60.0


class Keda:
    """KEDA at work for one namespace. Nothing of it is left in the cluster afterwards."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        if in_use() != "local":
            raise RuntimeError("KEDA runs on this machine, where the API server finds it only with CLUSTER=local")
        self.namespace, self.folder = namespace, folder
        self.processes: list[Process] = []

    def __enter__(self) -> "Keda":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # KEDA's finalizers are removed by KEDA: it has to live for that.
        if self.processes and all(process.alive() for process in self.processes):
            self.namespace.kubectl("delete", "scaledobjects.keda.sh", "--all", "--ignore-not-found", "--timeout", "60s")
        # A namespace cannot be deleted while an API does not answer.
        run("kubectl", "delete", "apiservice", API, "--ignore-not-found")
        for process in self.processes:
            process.stop()
        run("kubectl", "delete", "clusterrole,clusterrolebinding", READER, "--ignore-not-found")
        run("kubectl", "delete", "--filename", self.definitions, "--ignore-not-found", "--wait=false")

    def _start(self) -> None:
        self.definitions = build()
        run("kubectl", "apply", "--server-side", "--filename", self.definitions)
        run("kubectl", "wait", "--for=condition=Established", "--filename", self.definitions, "--timeout", "30s")
        address = node_address()
        certificate = self._certificate()
        metrics, secure = free_port(), free_port()
        kubeconfigs = ("lister-kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        self._run(
            "keda-operator",
            f"--metrics-service-bind-address=127.0.0.1:{metrics}",
            "--metrics-bind-address=0",
            "--health-probe-bind-address=0",
            f"--cert-dir={self.folder}",
            f"--ca-dir={self.folder}",
        )
        self._run(
            "keda-adapter",
            f"--metrics-service-address=127.0.0.1:{metrics}",
            f"--port={free_port()}",
            f"--bind-address={address}",
            f"--secure-port={secure}",
            f"--cert-dir={self.folder}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={self.folder}/tls.key",
            *(f"--{flag}={ENVIRONMENT['KUBECONFIG']}" for flag in kubeconfigs),
        )
        self.namespace.apply(*self._reached_at(address, secure, certificate))
        until("KEDA's adapter answers", self._answers, PATIENCE, every=0.5)

    def _run(self, program: str, *flags: str) -> None:
        namespaces = ("WATCH_NAMESPACE", "POD_NAMESPACE", "KEDA_CLUSTER_OBJECT_NAMESPACE")
        env = {**ENVIRONMENT, **dict.fromkeys(namespaces, self.namespace.name)}
        self.processes.append(Process([BIN / program, *flags], self.folder / f"{program}.log", env, self.folder))

    def _certificate(self) -> Path:
        """One for both, who only trust each other, and the API server them."""
        name = f"{SERVICE}.{self.namespace.name}.svc"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", "2", "-subj", "/CN=keda"]
        command += ["-keyout", self.folder / "tls.key", "-out", self.folder / "tls.crt"]
        command += ["-addext", f"subjectAltName=IP:127.0.0.1,DNS:{name}"]
        command += ["-addext", "extendedKeyUsage=serverAuth,clientAuth"]
        subprocess.run(command, check=True, capture_output=True)
        certificate = self.folder / "tls.crt"
        (self.folder / "ca.crt").write_bytes(certificate.read_bytes())
        return certificate

    def _reached_at(self, address: str, port: int, certificate: Path) -> list[dict[str, Any]]:
        here = {"name": SERVICE, "namespace": self.namespace.name}
        ports = [{"name": "https", "port": port}]
        rbac = "rbac.authorization.k8s.io"
        return [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": here,
                "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]},
            },
            {
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": here,
                "subsets": [{"addresses": [{"ip": address}], "ports": ports}],
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": API},
                "spec": {
                    "group": "external.metrics.k8s.io",
                    "version": "v1beta1",
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "service": here,
                    "caBundle": base64.b64encode(certificate.read_bytes()).decode(),
                },
            },
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "ClusterRole",
                "metadata": {"name": READER},
                "rules": [{"apiGroups": ["external.metrics.k8s.io"], "resources": ["*"], "verbs": ["*"]}],
            },
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": READER},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": READER},
                "subjects": [
                    {"kind": "ServiceAccount", "name": "horizontal-pod-autoscaler", "namespace": "kube-system"}
                ],
            },
        ]

    def _answers(self) -> bool:
        for process in self.processes:
            if not process.alive():
                raise RuntimeError(f"a part of KEDA has ended:\n{process.output()[-4000:]}")
        try:
            return bool(run("kubectl", "get", "--raw", "/apis/external.metrics.k8s.io/v1beta1"))
        except RuntimeError:
            return False


def build() -> str:
    """Builds KEDA, unless that is done; the folder of its definitions."""
    script = Path(__file__).parent / "keda/build.sh"
    done = subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def node_address() -> str:
    """Where the cluster's node is on this machine, which is also where the API server listens."""
    server = run("kubectl", "config", "view", "--minify", "--output", "jsonpath={.clusters[0].cluster.server}")
    return server.removeprefix("https://").rpartition(":")[0]


def scaled_object(name: str, deployment: str, redis: str, queue: str, behavior: dict[str, Any]) -> dict[str, Any]:
    """A ScaledObject at its fastest polling. It is as quick to forget as ours here, so that turns are short."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"name": deployment},
            "pollingInterval": 1,
            "cooldownPeriod": 1,
            "minReplicaCount": 0,
            "maxReplicaCount": 10,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
            "triggers": [{"type": "redis", "metadata": {"address": redis, "listName": queue, "listLength": "10"}}],
        },
    }
