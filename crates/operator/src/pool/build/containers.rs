//! The two containers that are ours, and what the user's gets.

use petiole_api::names;
use petiole_contract::serve;
use petiole_process::admin;
use serde_json::{Map, Value, json};

use super::Images;
use crate::pool::paths;

/// The user and group of our images.
const OUR_USER: i64 = 65532;
/// The name of the worker's port, for probes and scrapers.
const ADMIN_PORT: &str = "admin";

/// What Pod Security "restricted" asks of a container, apart from its user.
pub(super) fn restrictions() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

fn our_security() -> Value {
    let mut security = restrictions();
    security["runAsNonRoot"] = json!(true);
    security["runAsUser"] = json!(OUR_USER);
    security["runAsGroup"] = json!(OUR_USER);
    security["readOnlyRootFilesystem"] = json!(true);
    security
}

/// Puts the runner where the container of the tasks finds it, and ends.
pub(super) fn install(images: &Images) -> Value {
    json!({
        "name": names::INSTALL,
        "image": images.worker,
        "imagePullPolicy": images.pull_policy,
        "command": [paths::RUNNER_IN_IMAGE, "install", paths::RUNNER_FOLDER],
        "securityContext": our_security(),
        "resources": { "requests": { "cpu": "10m", "memory": "16Mi" } },
        "volumeMounts": [{ "name": paths::RUNNER_VOLUME, "mountPath": paths::RUNNER_FOLDER }],
    })
}

/// The worker: a sidecar, so that the kubelet stops it only when the container of the tasks has ended. `volumes` are
/// those that not every worker has, with their folders.
pub(super) fn worker(
    images: &Images,
    volumes: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> Value {
    let probe = |path: &str, period: u32, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": ADMIN_PORT },
            "periodSeconds": period,
            "failureThreshold": failures,
            "timeoutSeconds": 2,
        })
    };
    let mut mounts = vec![
        json!({ "name": paths::SOCKET_VOLUME, "mountPath": paths::SOCKET_FOLDER }),
        json!({ "name": paths::POOL_VOLUME, "mountPath": paths::POOL_FOLDER, "readOnly": true }),
    ];
    mounts.extend(
        volumes
            .into_iter()
            .map(|(volume, folder)| json!({ "name": volume, "mountPath": folder, "readOnly": true })),
    );
    json!({
        "name": names::WORKER,
        "image": images.worker,
        "imagePullPolicy": images.pull_policy,
        "command": [paths::WORKER_IN_IMAGE],
        "restartPolicy": "Always",
        "env": [
            { "name": "PETIOLE_POOL_FILE", "value": format!("{}/{}", paths::POOL_FOLDER, paths::POOL_FILE) },
            { "name": serve::SOCKET, "value": paths::SOCKET },
            { "name": "PETIOLE_POD_UID", "valueFrom": { "fieldRef": { "fieldPath": "metadata.uid" } } },
            pod_name(),
            { "name": "PETIOLE_NODENAME", "value": paths::NODE_NAME },
        ],
        "ports": [{ "name": ADMIN_PORT, "containerPort": admin::PORT, "protocol": "TCP" }],
        // The kubelet starts the container of the tasks when this one has started; that it is ready, it can only be
        // later, when the runner has dialled it.
        "startupProbe": probe("/livez", 1, 60),
        "livenessProbe": probe("/livez", 10, 6),
        "readinessProbe": probe("/readyz", 1, 3),
        "securityContext": our_security(),
        "resources": { "requests": { "cpu": "20m", "memory": "32Mi" } },
        "volumeMounts": mounts,
    })
}

/// Makes the user's container the one that tasks run in: the runner is its program. What the user says of its
/// security wins.
pub(super) fn adopt(task: &mut Map<String, Value>) {
    task.insert("command".to_owned(), json!([paths::RUNNER]));
    fill(task.entry("securityContext").or_insert_with(|| json!({})), &restrictions());
    append(task, "env", [json!({ "name": serve::SOCKET, "value": paths::SOCKET })]);
    append(
        task,
        "volumeMounts",
        [
            json!({ "name": paths::RUNNER_VOLUME, "mountPath": paths::RUNNER_FOLDER, "readOnly": true }),
            json!({ "name": paths::SOCKET_VOLUME, "mountPath": paths::SOCKET_FOLDER }),
        ],
    );
}

/// Makes the user's container one that runs its own worker, as its first process: no shell stands between it and the
/// signal to stop. `arguments` follow the options of the user.
pub(super) fn adopt_celery(task: &mut Map<String, Value>, command: &[String], arguments: &[String]) {
    let command: Vec<&String> = command.iter().chain(arguments).collect();
    task.insert("command".to_owned(), json!(command));
    fill(task.entry("securityContext").or_insert_with(|| json!({})), &restrictions());
    append(task, "env", [pod_name()]);
}

fn pod_name() -> Value {
    json!({ "name": paths::POD_NAME, "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } })
}

/// Adds to a list of an object, also where there is none yet.
pub(super) fn append(object: &mut Map<String, Value>, list: &str, items: impl IntoIterator<Item = Value>) {
    if let Value::Array(list) = object.entry(list).or_insert_with(|| json!([])) {
        list.extend(items);
    }
}

/// Adds what `value` does not say.
pub(super) fn fill(value: &mut Value, defaults: &Value) {
    let (Value::Object(value), Value::Object(defaults)) = (value, defaults) else { return };
    for (name, default) in defaults {
        match value.get_mut(name) {
            Some(there) => fill(there, default),
            None => {
                value.insert(name.clone(), default.clone());
            }
        }
    }
}
