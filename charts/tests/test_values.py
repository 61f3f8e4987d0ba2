"""What values are taken, and what is said of others."""

import json
import re

import pytest
import yaml
from rendering import CHARTS, Refused, helm, of_kind, render, values

SCHEMA = json.loads((CHARTS / "petiole/values.schema.json").read_text())

REFUSED = [
    ("--set=replica=3", "additional properties 'replica' not allowed"),
    ("--set=image.repo=x", "additional properties 'repo' not allowed"),
    ("--set=image.repository=registry/petiole:1", "/image/repository"),
    ("--set=image.pullPolicy=Sometimes", "'IfNotPresent', 'Always', 'Never'"),
    ("--set=worker.image.pullPolicy=Sometimes", "'IfNotPresent', 'Always', 'Never'"),
    ("--set=image.digest=sha256:1", "/image/digest"),
    ("--set=replicas=two", "want integer"),
    ("--set=watchNamespaces=mail", "want array"),
    ("--set=watchNamespaces={mail,mail}", "are equal"),
    ("--set=watchNamespaces={*}", "/watchNamespaces/0"),
    ("--set=watchNamespaces={mail},clusterWide=true", "leave watchNamespaces empty, or clusterWide false"),
    ("--set=serviceAccount.create=false", "serviceAccount.name"),
    ("--set=log.format=xml", "'json', 'text'"),
    ("--set=resources.limit.cpu=1", "additional properties 'limit' not allowed"),
    ("--set=networkPolicy.apiServerPorts={70000}", "/networkPolicy/apiServerPorts/0"),
    ("--set=redis.maxMemory=lots", "/redis/maxMemory"),
    ("--set=redis.persistence=true", "additional properties 'persistence' not allowed"),
]


@pytest.mark.parametrize("argument, reason", REFUSED)
def test_a_wrong_value_is_refused_with_its_place(argument, reason):
    with pytest.raises(Refused) as refused:
        render(argument)
    assert reason in str(refused.value)


def test_the_charts_pass_helms_linter():
    for chart in ("petiole", "petiole-crds"):
        assert "0 chart(s) failed" in helm("lint", "--strict", chart)


def leaves(tree, path=()):
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def test_every_value_is_in_the_schema_and_every_object_of_it_is_closed():
    def known(path, schema):
        for key in path:
            schema = schema["properties"][key] if key in schema.get("properties", {}) else schema.get("additionalProperties")
            if schema is None or schema is False:
                return False
            while isinstance(schema, dict) and "$ref" in schema:
                schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]
        return True

    default = yaml.safe_load(values().read_text())
    assert [path for path in leaves(default) if not known(path, SCHEMA)] == []

    def open_objects(schema, path="$"):
        if isinstance(schema, dict):
            if "properties" in schema and schema.get("additionalProperties") is not False:
                yield path
            for key, value in schema.items():
                yield from open_objects(value, f"{path}.{key}")

    assert list(open_objects(SCHEMA)) == []


def test_every_value_has_a_comment():
    lines = values().read_text().splitlines()
    # The fields of lists and of resources are Kubernetes' own.
    foreign = {"requests", "limits", "cpu", "memory", "ports"}
    plain_groups = re.compile(r"^\s*[a-zA-Z]+:$")
    uncommented = [
        line
        for before, line in zip([""] + lines, lines)
        if (key := re.match(r"\s*([a-zA-Z]+):", line))
        and not line.lstrip().startswith("#")
        and not before.lstrip().startswith("#")
        and key[1] not in foreign
        and not plain_groups.match(line)
    ]
    assert uncommented == []


def test_names_fit_however_long_the_release_is_called():
    objects = render("--set=redis.enabled=true,clusterWide=true", release="a" * 53)
    # Names of roles may be longer; those of Services may not.
    for item in of_kind(objects, "Deployment", "Service", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget"):
        assert len(item["metadata"]["name"]) <= 63
    for item in of_kind(objects, "Deployment"):
        assert max(map(len, item["spec"]["template"]["metadata"]["labels"].values())) <= 63


def test_the_users_labels_do_not_take_the_place_of_ours():
    (operator,) = of_kind(render("--set-string=podLabels.app\\.kubernetes\\.io/component=other"), "Deployment")
    assert operator["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == "operator"
