"""The sets of values that the charts are rendered with."""

import pytest
from rendering import render

VARIANTS = {
    "defaults": [],
    "redis": ["--set=redis.enabled=true"],
    "namespaces": ["--set=watchNamespaces={mail,photos}", "--set=secretNames={broker}"],
    "cluster": ["--set=clusterWide=true", "--set=networkPolicy.enabled=false"],
    "external": ["--set=externalMetrics.enabled=true"],
    "everything": [
        "--set=externalMetrics.enabled=true",
        "--set=redis.enabled=true",
        "--set=metrics.serviceMonitor.enabled=true",
        "--set=metrics.serviceMonitor.labels.release=prometheus",
        "--set=priorityClassName=high",
        "--set=imagePullSecrets[0].name=registry",
        "--set=nodeSelector.disk=ssd",
        "--set=tolerations[0].operator=Exists",
        "--set=podAnnotations.note=here",
        "--set=podLabels.team=mail",
        "--set=serviceAccount.annotations.role=none",
        "--set=networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
    ],
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def objects(request):
    """Everything that is installed, with each set of values in turn."""
    return render(*request.param)
