use petiole_contract::pool::Pool;
use serde_json::json;

use super::*;
use crate::fixtures::{by_name, celery_pool, pool, pool_with, queue, queue_with};
use crate::pool::validate::validate;

fn owner() -> OwnerReference {
    OwnerReference { kind: "WorkerPool".to_owned(), name: "resizer".to_owned(), ..OwnerReference::default() }
}

fn built(pool: &petiole_api::WorkerPool, queue: petiole_api::TaskQueue) -> Desired {
    let images = Images { worker: "petiole/worker:7".to_owned(), pull_policy: "Always".to_owned() };
    build(&validate(pool, &by_name([queue])).unwrap(), &owner(), &images)
}

fn plain() -> Desired {
    built(&pool(), queue("thumbnails"))
}

fn pod(desired: &Desired) -> &Value {
    &desired.deployment.body["spec"]["template"]["spec"]
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|item| item["name"] == name).unwrap()
}

/// What its workers read.
fn file(desired: &Desired) -> Pool {
    let map = &desired.config_map.as_ref().unwrap().body;
    serde_json::from_str(map["data"]["pool.json"].as_str().unwrap()).unwrap()
}

fn secured() -> petiole_api::TaskQueue {
    let key = |key: &str| json!({ "secretKeyRef": { "name": "redis", "key": key } });
    queue_with(
        "thumbnails",
        json!({
            "broker": { "url": "rediss://a", "usernameFrom": key("user"), "passwordFrom": key("password"),
                "tls": { "caFrom": key("ca.crt"), "certificateFrom": key("tls.crt"), "keyFrom": key("tls.key") } },
            "results": { "urlFrom": key("url"), "expires": "0" },
        }),
    )
}

#[test]
fn the_selector_is_the_pools_name_alone() {
    let desired = plain();
    let selector = json!({ "matchLabels": { "petiole.dev/pool": "resizer" } });
    assert_eq!(desired.deployment.body["spec"]["selector"], selector);
    assert_eq!(desired.budget.body["spec"]["selector"], selector);
    assert_eq!(
        desired.deployment.body["spec"]["template"]["metadata"]["labels"]["petiole.dev/pool"],
        "resizer"
    );
}

#[test]
fn our_containers_are_pulled_as_the_operator_is_told_and_the_users_as_the_template_says() {
    let desired = plain();
    let pod = pod(&desired);
    for (list, name, policy) in [
        ("initContainers", "install-runner", json!("Always")),
        ("initContainers", "worker", json!("Always")),
        ("containers", "task", Value::Null),
    ] {
        assert_eq!(named(&pod[list], name)["imagePullPolicy"], policy, "{name}");
    }
}

#[test]
fn every_object_belongs_to_the_pool() {
    let Desired { service_account, config_map, budget, deployment, autoscaler } = plain();
    assert_eq!(autoscaler, None);
    for object in [service_account.unwrap(), config_map.unwrap(), budget, deployment] {
        assert_eq!(object.body["metadata"]["ownerReferences"][0]["kind"], "WorkerPool");
        assert_eq!(object.body["metadata"]["namespace"], "photos");
        assert_eq!(object.body["metadata"]["labels"]["petiole.dev/pool"], "resizer");
        assert_eq!(object.body["metadata"]["name"], object.name.as_str());
    }
}

#[test]
fn a_changed_file_has_a_new_name_and_rolls_the_pods() {
    let (one, same, other) =
        (plain(), plain(), built(&pool_with(json!({ "concurrency": 2 })), queue("thumbnails")));
    assert_eq!(one, same);
    assert_ne!(one.deployment, other.deployment);
    let map = one.config_map.clone().unwrap();
    assert_ne!(map.name, other.config_map.unwrap().name);
    assert!(map.name.starts_with("resizer-"));
    assert_eq!(map.body["immutable"], true);
    assert_eq!(named(&pod(&one)["volumes"], "petiole-pool")["configMap"]["name"], map.name.as_str());
}

#[test]
fn only_the_number_of_pods_changes_when_a_pool_is_scaled() {
    let one = plain();
    for spec in
        [json!({ "replicas": 10 }), json!({ "scaling": { "maxReplicas": 10, "messagesPerReplica": 1 } })]
    {
        assert_eq!(built(&pool_with(spec), queue("thumbnails")), one);
    }
    let mut ten = one.clone();
    crate::pool::scale::scale(&mut ten, 10);
    assert_eq!(pod(&one), pod(&ten));
    assert_eq!(ten.deployment.body["spec"]["replicas"], 10);
}

#[test]
fn the_worker_reads_the_file_that_it_is_given() {
    let desired = built(&pool(), secured());
    let file = file(&desired);
    assert_eq!(file.namespace, "photos");
    let text = serde_json::to_value(&file.broker).unwrap();
    assert_eq!(
        text,
        json!({
            "url": { "value": "rediss://a" },
            "username": { "file": "/etc/petiole/secrets/redis/user" },
            "password": "/etc/petiole/secrets/redis/password",
            "ca": "/etc/petiole/secrets/redis/ca.crt",
            "identity": {
                "certificate": "/etc/petiole/secrets/redis/tls.crt",
                "key": "/etc/petiole/secrets/redis/tls.key",
            },
            "keyPrefix": "",
        })
    );
    let results = file.results.unwrap();
    assert_eq!(
        serde_json::to_value(&results.store.url).unwrap(),
        json!({ "file": "/etc/petiole/secrets/redis/url" })
    );
    assert_eq!(results.expires, 0);
}

#[test]
fn the_worker_alone_sees_the_named_keys_and_no_others() {
    let desired = built(&pool(), secured());
    let sources = &named(&pod(&desired)["volumes"], "petiole-secrets")["projected"]["sources"];
    let keys: Vec<&str> = sources
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source["secret"]["items"][0]["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["ca.crt", "password", "tls.crt", "tls.key", "url", "user"]);
    let mounts = |container: &Value| container["volumeMounts"].to_string().contains("petiole-secrets");
    assert!(mounts(named(&pod(&desired)["initContainers"], "worker")));
    assert!(!mounts(named(&pod(&desired)["initContainers"], "install-runner")));
    assert!(!mounts(named(&pod(&desired)["containers"], "task")));
    assert!(!pod(&plain())["volumes"].to_string().contains("petiole-secrets"));
}

#[test]
fn the_worker_alone_sees_the_certificates_of_those_who_may_sign() {
    let from = json!({ "secretRef": { "name": "signers" } });
    let signed = json!({ "content": ["auth"], "certificatesFrom": from, "digest": "sha384" });
    let signed = pool_with(json!({ "accept": signed }));
    let desired = built(&signed, queue("thumbnails"));
    let file = file(&desired);
    assert_eq!(file.accept.certificates.unwrap().to_str(), Some("/etc/petiole/certificates"));
    assert_eq!(file.accept.digest.as_deref(), Some("sha384"));
    let volume = named(&pod(&desired)["volumes"], "petiole-certificates");
    assert_eq!(volume["secret"], json!({ "secretName": "signers" }));
    let mount = |container: &Value| {
        let mounts = container["volumeMounts"].as_array().unwrap().clone();
        mounts.into_iter().find(|mount| mount["name"] == "petiole-certificates")
    };
    let of_worker = mount(named(&pod(&desired)["initContainers"], "worker")).unwrap();
    assert_eq!(
        (&of_worker["mountPath"], &of_worker["readOnly"]),
        (&json!("/etc/petiole/certificates"), &json!(true))
    );
    assert_eq!(mount(named(&pod(&desired)["containers"], "task")), None);
    assert!(!pod(&plain())["volumes"].to_string().contains("petiole-certificates"));
}

#[test]
fn the_key_that_signs_is_a_file_of_the_worker_alone() {
    let from = |key: &str| json!({ "secretKeyRef": { "name": "signer", "key": key } });
    let signing =
        json!({ "keyFrom": from("tls.key"), "certificateFrom": from("tls.crt"), "digest": "sha512" });
    let desired = built(&pool_with(json!({ "signing": signing })), queue("thumbnails"));
    let file = file(&desired);
    let signing = file.signing.unwrap();
    assert_eq!(signing.key.to_str(), Some("/etc/petiole/secrets/signer/tls.key"));
    assert_eq!(signing.certificate.to_str(), Some("/etc/petiole/secrets/signer/tls.crt"));
    assert_eq!(signing.digest, "sha512");
    let sources = &named(&pod(&desired)["volumes"], "petiole-secrets")["projected"]["sources"];
    let source = |key: &str| {
        let items = json!([{ "key": key, "path": format!("signer/{key}") }]);
        json!({ "secret": { "name": "signer", "items": items } })
    };
    assert_eq!(*sources, json!([source("tls.crt"), source("tls.key")]));
    let mounts = |container: &Value| container["volumeMounts"].to_string().contains("petiole-secrets");
    assert!(mounts(named(&pod(&desired)["initContainers"], "worker")));
    assert!(!mounts(named(&pod(&desired)["initContainers"], "install-runner")));
    assert!(!mounts(named(&pod(&desired)["containers"], "task")));
}

#[test]
fn the_worker_is_told_what_the_resources_say_of_its_messages() {
    let queue = queue_with("thumbnails", json!({ "results": { "url": "redis://a/1", "extended": true } }));
    let pool = pool_with(json!({
        "queues": [{ "taskQueue": "thumbnails", "weight": 3 }],
        "queueOrder": "Weighted",
        "accept": { "content": ["json", "yaml"] },
        "routes": [{ "task": "mail.*", "queue": "mail" }],
        "events": true,
    }));
    let desired = built(&pool, queue);
    let map = desired.config_map.unwrap();
    let file = map.body["data"]["pool.json"].as_str().unwrap();
    let file: Value = serde_json::from_str(file).unwrap();
    assert_eq!(file["order"], "weighted");
    assert_eq!(file["queues"][0]["weight"], 3);
    assert_eq!(file["accept"], json!({ "content": ["json", "yaml"] }));
    assert_eq!(file["routes"], json!([{ "task": "mail.*", "queue": "mail" }]));
    assert_eq!((&file["results"]["extended"], &file["events"]), (&json!(true), &json!(true)));
}

#[test]
fn the_worker_is_a_sidecar_that_starts_before_the_tasks_container() {
    let desired = plain();
    let init = pod(&desired)["initContainers"].as_array().unwrap();
    assert_eq!(
        init.iter().map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["install-runner", "worker"]
    );
    assert_eq!(init[1]["restartPolicy"], "Always");
    // Readiness waits for the runner, which starts only when the worker has started.
    assert_eq!(init[1]["startupProbe"]["httpGet"]["path"], "/livez");
    assert_eq!(init[1]["readinessProbe"]["httpGet"]["path"], "/readyz");
}

#[test]
fn our_containers_meet_pod_security_restricted() {
    let desired = plain();
    for name in ["install-runner", "worker"] {
        let security = &named(&pod(&desired)["initContainers"], name)["securityContext"];
        assert_eq!(security["runAsNonRoot"], true);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    }
}

#[test]
fn the_tasks_container_runs_the_runner_as_the_images_user_with_nothing_to_gain() {
    let desired = plain();
    let task = named(&pod(&desired)["containers"], "task");
    assert_eq!(task["image"], "imagemagick:1");
    assert_eq!(task["command"], json!(["/petiole/bin/petiole-runner"]));
    assert_eq!(task["env"], json!([{ "name": "PETIOLE_SOCKET", "value": "/petiole/run/worker.sock" }]));
    assert_eq!(task["securityContext"]["runAsUser"], Value::Null);
    assert_eq!(task["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(pod(&desired)["automountServiceAccountToken"], false);
}

#[test]
fn what_the_template_says_wins_where_it_may() {
    let template = json!({
        "metadata": { "labels": { "team": "images", "app.kubernetes.io/name": "resizer" } },
        "spec": {
            "serviceAccountName": "reader",
            "automountServiceAccountToken": true,
            "nodeSelector": { "disk": "fast" },
            "volumes": [{ "name": "scratch", "emptyDir": {} }],
            "initContainers": [{ "name": "fetch", "image": "b" }],
            "containers": [
                { "name": "cache", "image": "c", "command": ["d"] },
                {
                    "name": "task", "image": "a", "env": [{ "name": "A", "value": "b" }],
                    "securityContext": { "runAsUser": 7, "capabilities": { "drop": ["NET_RAW"] } },
                    "aFieldOfTomorrow": 1,
                },
            ],
        },
    });
    let desired = built(&pool_with(json!({ "template": template })), queue("thumbnails"));
    assert_eq!(desired.service_account, None);
    let labels = &desired.deployment.body["spec"]["template"]["metadata"]["labels"];
    assert_eq!((&labels["team"], &labels["app.kubernetes.io/name"]), (&json!("images"), &json!("resizer")));
    let pod = pod(&desired);
    assert_eq!(pod["serviceAccountName"], "reader");
    assert_eq!(pod["automountServiceAccountToken"], true);
    assert_eq!(pod["nodeSelector"]["disk"], "fast");
    assert_eq!(pod["initContainers"][0]["name"], "fetch");
    assert_eq!(
        named(&pod["containers"], "cache"),
        &json!({ "name": "cache", "image": "c", "command": ["d"] })
    );
    let task = named(&pod["containers"], "task");
    assert_eq!(task["aFieldOfTomorrow"], 1);
    assert_eq!(task["env"][0]["name"], "A");
    assert_eq!(task["securityContext"]["runAsUser"], 7);
    assert_eq!(task["securityContext"]["capabilities"]["drop"], json!(["NET_RAW"]));
    assert_eq!(task["securityContext"]["allowPrivilegeEscalation"], false);
    named(&pod["volumes"], "scratch");
}

/// What is typed by hand here is read by the types of the oldest Kubernetes that we run on.
#[test]
fn every_object_is_what_its_kind_says() {
    use k8s_openapi::api::{apps::v1::Deployment, core::v1, policy::v1::PodDisruptionBudget};

    fn reads_back<T: serde::de::DeserializeOwned + serde::Serialize>(body: &Value) {
        let typed: T = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(&serde_json::to_value(typed).unwrap(), body);
    }
    let Desired { service_account, config_map, budget, deployment, autoscaler: _ } =
        built(&pool(), secured());
    reads_back::<v1::ServiceAccount>(&service_account.unwrap().body);
    reads_back::<v1::ConfigMap>(&config_map.unwrap().body);
    reads_back::<PodDisruptionBudget>(&budget.body);
    reads_back::<Deployment>(&deployment.body);
}

#[test]
fn the_image_s_own_worker_is_started_with_what_petiole_knows() {
    let celery =
        json!({ "app": "shop.celery:app", "command": ["python", "-m", "celery"], "options": ["-l", "INFO"] });
    let pool = celery_pool(json!({
        "celery": celery, "concurrency": 3, "timeLimit": "90s", "softTimeLimit": "1500ms", "events": true,
    }));
    let desired = built(&pool, queue_with("thumbnails", json!({ "queue": "celery" })));
    let pod = pod(&desired);
    let task = named(&pod["containers"], "task");
    let command = [
        "python",
        "-m",
        "celery",
        "-A",
        "shop.celery:app",
        "worker",
        "-l",
        "INFO",
        "--hostname=celery@$(POD_NAME)",
        "--queues=celery",
        "--concurrency=3",
        "--without-gossip",
        "--time-limit=90",
        "--soft-time-limit=1.5",
        "--task-events",
    ];
    assert_eq!(task["command"], json!(command));
    assert_eq!(task["env"][0]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name");
    assert_eq!(task["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(pod["terminationGracePeriodSeconds"], 120);
    assert_eq!(pod["readinessGates"], json!([{ "conditionType": "petiole.dev/TakesTasks" }]));
    assert_eq!(pod["automountServiceAccountToken"], false);
    // Nothing of ours is in the pod: no worker, no runner, no file, no Secret.
    assert_eq!((&pod["initContainers"], &pod["volumes"]), (&Value::Null, &Value::Null));
    assert_eq!(desired.config_map, None);
    let annotations = &desired.deployment.body["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["petiole.dev/task-queue"], "thumbnails");
    assert_eq!(annotations["petiole.dev/config"], Value::Null);
}

#[test]
fn a_worker_without_a_limit_is_told_of_none() {
    let pool = celery_pool(json!({ "timeLimit": "none", "drain": { "gracePeriod": "10s" } }));
    let desired = built(&pool, queue("thumbnails"));
    let command = named(&pod(&desired)["containers"], "task")["command"].to_string();
    assert!(!command.contains("limit"), "{command}");
    assert_eq!(pod(&desired)["terminationGracePeriodSeconds"], 10);
}
