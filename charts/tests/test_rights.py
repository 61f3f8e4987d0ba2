"""What the operator may do: no more than it needs, where it was told to."""

import itertools

from rendering import of_kind, render

ROLES = ("Role", "ClusterRole")


def rules(objects):
    return [rule for role in of_kind(objects, *ROLES) for rule in role["rules"]]


def rules_on(objects, resource):
    return [rule for rule in rules(objects) if resource in rule["resources"]]


def test_no_rule_has_a_wildcard(objects):
    for rule in rules(objects):
        for words in rule.values():
            assert not any("*" in word for word in words), rule


def test_no_rule_lets_the_operator_give_itself_more(objects):
    resources = {resource for rule in rules(objects) for resource in rule["resources"]}
    verbs = {verb for rule in rules(objects) for verb in rule["verbs"]}
    assert not resources & {"roles", "rolebindings", "clusterroles", "clusterrolebindings", "pods/exec", "pods/attach"}
    assert not verbs & {"escalate", "bind", "impersonate"}


def test_of_our_own_resources_only_what_is_the_operators_to_write_is_written(objects):
    ours = [rule for rule in rules(objects) if rule["apiGroups"] == ["petiole.dev"]]
    writes = {(resource, verb) for rule in ours for resource in rule["resources"] for verb in rule["verbs"]}
    reads = {(resource, verb) for resource in ("taskqueues", "workerpools") for verb in ("list", "watch")}
    statuses = {(f"{resource}/status", "patch") for resource in ("taskqueues", "workerpools")}
    # The first pod and the last one of a pool that an autoscaler of Kubernetes scales.
    scale = {("workerpools/scale", "patch")} if of_kind(objects, "APIService") else set()
    # A finalizer is a part of the object: there is no right to it alone.
    assert writes - reads - statuses == {("taskqueues", "patch")} | scale


def test_pods_are_not_made_and_of_their_status_conditions_are_written(objects):
    # One is deleted where its Celery worker answers no more: a kubelet's probe would import the app each time.
    pods = {verb for rule in rules_on(objects, "pods") for verb in rule["verbs"]}
    assert pods == {"list", "watch", "patch", "delete"}
    assert {verb for rule in rules_on(objects, "pods/status") for verb in rule["verbs"]} == {"patch"}


def test_secrets_are_read_by_name_only(objects):
    # Of all of them one is written: the operators' own certificate.
    theirs = [rule for rule in rules_on(objects, "secrets") if rule.get("resourceNames") != ["petiole-external"]]
    assert theirs
    assert all(rule["verbs"] == ["get"] for rule in theirs)


def test_named_secrets_are_the_only_ones():
    (rule,) = rules_on(render("--set=secretNames={broker,results}"), "secrets")
    assert rule["resourceNames"] == ["broker", "results"]


def test_by_default_the_rights_end_at_the_namespace():
    objects = render()
    assert not of_kind(objects, "ClusterRole", "ClusterRoleBinding")
    assert {item["metadata"]["namespace"] for item in objects} == {"home"}


def test_each_watched_namespace_has_a_role_and_no_other_has():
    objects = render("--set=watchNamespaces={mail,photos}")
    assert not of_kind(objects, "ClusterRole", "ClusterRoleBinding")
    watching = [role for role in of_kind(objects, "Role") if rules_on([role], "workerpools")]
    assert [role["metadata"]["namespace"] for role in watching] == ["mail", "photos"]


def test_every_namespace_only_when_it_is_asked_for():
    objects = render("--set=clusterWide=true")
    (role,) = of_kind(objects, "ClusterRole")
    assert rules_on([role], "workerpools")
    # What is left in the namespace is the election.
    (leader,) = of_kind(objects, "Role")
    assert {resource for rule in leader["rules"] for resource in rule["resources"]} == {"leases"}


def test_each_role_is_bound_to_the_operator_and_to_nobody_else(objects):
    (account,) = of_kind(objects, "ServiceAccount")
    operator = {"kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": "home"}

    def key(item):
        return item["kind"].removesuffix("Binding"), item["metadata"].get("namespace"), item["metadata"]["name"]

    bindings = [item for item in of_kind(objects, "RoleBinding", "ClusterRoleBinding") if not is_clusters_own(item)]
    assert sorted(map(key, bindings), key=str) == sorted(map(key, of_kind(objects, *ROLES)), key=str)
    for binding in bindings:
        assert binding["subjects"] == [operator]
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (key(binding)[0], key(binding)[2])


def is_clusters_own(binding):
    """Whether it binds to the Role that each cluster has for whoever serves a part of its API."""
    return (binding["metadata"].get("namespace"), binding["roleRef"]["name"]) == (
        "kube-system",
        "extension-apiserver-authentication-reader",
    )


def test_external_metrics_take_these_rights_in_the_cluster_and_no_others():
    objects = render("--set=externalMetrics.enabled=true")
    (role,) = of_kind(objects, "ClusterRole")
    assert role["rules"] == [
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
        {
            "apiGroups": ["apiregistration.k8s.io"],
            "resources": ["apiservices"],
            "resourceNames": ["v1beta1.external.metrics.k8s.io"],
            "verbs": ["get", "patch"],
        },
    ]
    (outside,) = [item for item in of_kind(objects, "RoleBinding") if item["metadata"]["namespace"] != "home"]
    assert is_clusters_own(outside)
    (account,) = of_kind(objects, "ServiceAccount")
    assert outside["subjects"] == [{"kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": "home"}]


def test_autoscalers_are_made_only_where_they_are_told_something():
    def verbs(*arguments):
        return {verb for rule in rules_on(render(*arguments), "horizontalpodautoscalers") for verb in rule["verbs"]}

    assert verbs() == {"list", "watch"}
    assert verbs("--set=externalMetrics.enabled=true") == {"list", "watch", "get", "create", "patch", "delete"}


def test_two_releases_do_not_share_a_cluster_role():
    names = [
        item["metadata"]["name"]
        for release in ("one", "two")
        for item in of_kind(render("--set=clusterWide=true", release=release), "ClusterRole")
    ]
    assert len(set(names)) == 2


def test_an_account_of_ones_own_is_bound():
    objects = render("--set=serviceAccount.create=false", "--set=serviceAccount.name=mine")
    assert not of_kind(objects, "ServiceAccount")
    subjects = itertools.chain.from_iterable(binding["subjects"] for binding in of_kind(objects, "RoleBinding"))
    assert {subject["name"] for subject in subjects} == {"mine"}
    (operator,) = of_kind(objects, "Deployment")
    assert operator["spec"]["template"]["spec"]["serviceAccountName"] == "mine"
