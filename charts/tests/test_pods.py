"""What runs, and who may talk to it."""

import yaml
from rendering import CHARTS, named, of_kind, render


def pods(objects):
    return [item["spec"]["template"] for item in of_kind(objects, "Deployment")]


def container(objects, name):
    (found,) = [item for pod in pods(objects) for item in pod["spec"]["containers"] if item["name"] == name]
    return found


def flags(operator):
    return dict(flag.partition("=")[::2] for flag in operator["args"])


def matches(selector, pod):
    return selector["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_every_pod_meets_pod_security_restricted(objects):
    for pod in pods(objects):
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert all("hostPath" not in volume for volume in spec.get("volumes", []))
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for item in spec["containers"] + spec.get("initContainers", []):
            security = item["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["readOnlyRootFilesystem"] is True
            assert not {"privileged", "runAsUser", "runAsNonRoot", "seccompProfile"} & security.keys()
            assert all("hostPort" not in port for port in item.get("ports", []))


def test_every_container_says_what_it_needs(objects):
    for pod in pods(objects):
        for item in pod["spec"]["containers"]:
            assert item["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in item["resources"]["limits"]
            assert item["readinessProbe"]


def test_only_the_operator_has_a_token(objects):
    tokens = {pod["spec"]["containers"][0]["name"]: pod["spec"]["automountServiceAccountToken"] for pod in pods(objects)}
    assert tokens.pop("operator") is True
    assert not any(tokens.values())


def test_two_operators_run_apart_and_one_of_them_stays():
    objects = render()
    operator = named(objects, "Deployment", "petiole-operator")["spec"]
    assert operator["replicas"] == 2
    spread = {rule["topologyKey"] for rule in operator["template"]["spec"]["topologySpreadConstraints"]}
    assert spread == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    (budget,) = of_kind(objects, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert matches(budget["spec"]["selector"], operator["template"])


def test_our_images_have_the_charts_version_unless_they_are_given_another():
    version = yaml.safe_load((CHARTS / "petiole/Chart.yaml").read_text())["appVersion"]

    def images(*arguments):
        operator = container(render(*arguments), "operator")
        return operator["image"], flags(operator)["--worker-image"]

    assert images() == (f"localhost/petiole-operator:{version}", f"localhost/petiole-worker:{version}")
    chosen = ["image.repository=registry:5000/a/op,image.tag=1", "worker.image.repository=w,worker.image.tag=2"]
    assert images(*[f"--set-string={values}" for values in chosen]) == ("registry:5000/a/op:1", "w:2")
    digest = "sha256:" + "0" * 64
    assert images(f"--set=image.digest={digest},worker.image.digest={digest}") == (
        f"localhost/petiole-operator@{digest}",
        f"localhost/petiole-worker@{digest}",
    )


def test_the_workers_image_is_pulled_as_values_say():
    def policy(*arguments):
        return flags(container(render(*arguments), "operator"))["--worker-image-pull-policy"]

    assert policy() == "IfNotPresent"
    assert policy("--set=worker.image.pullPolicy=Always") == "Always"


def test_the_operator_looks_where_it_has_rights():
    def scope(*arguments):
        return flags(container(render(*arguments), "operator"))

    assert scope()["--namespaces"] == "home"
    assert scope("--set=watchNamespaces={mail,photos}")["--namespaces"] == "mail,photos"
    everywhere = scope("--set=clusterWide=true")
    assert "--all-namespaces" in everywhere and "--namespaces" not in everywhere


def test_the_operator_leads_by_the_lease_that_it_may_write(objects):
    lease = flags(container(objects, "operator"))["--lease"]
    rules = [rule for role in of_kind(objects, "Role") for rule in role["rules"] if "leases" in rule["resources"]]
    assert [rule.get("resourceNames") for rule in rules] == [[lease], None]
    assert rules[1]["verbs"] == ["create"]


def test_the_applications_version_is_the_workspaces():
    cargo = (CHARTS / "../Cargo.toml").read_text()
    for chart in ("petiole", "petiole-crds"):
        assert f'version = "{yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())["appVersion"]}"' in cargo


def test_external_metrics_are_served_where_the_api_server_is_led_to():
    objects = render("--set=externalMetrics.enabled=true")
    (api,) = of_kind(objects, "APIService")
    name = api["spec"]["service"]["name"]
    (port,) = named(objects, "Service", name)["spec"]["ports"]
    assert port["port"] == api["spec"]["service"]["port"]
    operator = container(objects, "operator")
    (served,) = [item["containerPort"] for item in operator["ports"] if item["name"] == port["targetPort"]]
    assert flags(operator)["--external-metrics"] == f"0.0.0.0:{served}"
    assert flags(operator)["--external-metrics-service"] == name
    assert "data" not in named(objects, "Secret", name)
    policy = named(objects, "NetworkPolicy", "petiole-operator")
    assert port["targetPort"] in [item["port"] for rule in policy["spec"]["ingress"] for item in rule["ports"]]
    # Trusted is whom the operator names, and nobody before.
    assert not {"insecureSkipTLSVerify", "caBundle"} & api["spec"].keys()
    assert not any(item["kind"] == "APIService" for item in render())


def test_selectors_find_the_pods_that_they_are_for(objects):
    by_name = {item["metadata"]["name"]: item["spec"]["template"] for item in of_kind(objects, "Deployment")}
    found = of_kind(objects, "Service", "PodDisruptionBudget", "NetworkPolicy")
    assert found
    for item in found:
        spec = item["spec"]
        selector = spec.get("podSelector") or spec.get("selector")
        selector = selector if "matchLabels" in selector else {"matchLabels": selector}
        matched = [name for name, pod in by_name.items() if matches(selector, pod)]
        # The operators have a second Service, which has a name of its own.
        expected = item["metadata"]["name"].replace("petiole-external", "petiole-operator")
        assert matched == [expected], item


def test_ports_are_named_as_containers_name_them(objects):
    ports = {port["name"] for pod in pods(objects) for item in pod["spec"]["containers"] for port in item["ports"]}
    for service in of_kind(objects, "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for policy in of_kind(objects, "NetworkPolicy"):
        for rule in policy["spec"]["ingress"] + policy["spec"]["egress"]:
            assert {port["port"] for port in rule["ports"] if isinstance(port["port"], str)} <= ports


def test_policies_hold_in_both_directions(objects):
    for policy in of_kind(objects, "NetworkPolicy"):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_brokers_are_reached_where_values_say():
    broker = '[{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"protocol": "TCP", "port": 7000}]}]'
    (policy,) = of_kind(render(f"--set-json=networkPolicy.brokers={broker}"), "NetworkPolicy")
    *others, last = policy["spec"]["egress"]
    assert last == {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"protocol": "TCP", "port": 7000}]}
    assert all(port["port"] != 6379 for rule in others for port in rule["ports"])


def test_the_embedded_redis_is_reached_from_the_namespaces_that_are_looked_after():
    def allowed(*arguments):
        policy = named(render("--set=redis.enabled=true", *arguments), "NetworkPolicy", "petiole-redis")
        (rule,) = policy["spec"]["ingress"]
        return rule["from"]

    assert allowed() == [{"podSelector": {}}]
    assert allowed("--set=clusterWide=true") == [{"namespaceSelector": {}}]
    own, others = allowed("--set=watchNamespaces={mail}")
    assert own == {"podSelector": {}}
    assert others["namespaceSelector"]["matchExpressions"][0]["values"] == ["mail"]


def test_the_embedded_redis_keeps_nothing_and_drops_nothing():
    assert not any(item["metadata"]["name"] == "petiole-redis" for item in render())
    redis = container(render("--set=redis.enabled=true"), "redis")
    settings = dict(zip(redis["args"][::2], redis["args"][1::2]))
    assert settings["--save"] == "" and settings["--appendonly"] == "no"
    assert settings["--maxmemory-policy"] == "noeviction"
