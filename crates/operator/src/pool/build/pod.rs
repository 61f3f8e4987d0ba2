//! What a pool's pods are: the user's template, and around it what makes it a worker.

use std::collections::BTreeSet;

use petiole_api::connection::SecretKeyRef;
use petiole_api::names;
use serde_json::{Map, Value, json};

use super::containers::{self, append, fill};
use super::{Images, objects};
use crate::pool::paths;
use crate::pool::validate::Validated;

/// Whether the template leaves the pods' identity to us.
pub(super) fn needs_service_account(pool: &Validated) -> bool {
    !pool.template.spec.rest.contains_key("serviceAccountName")
}

/// The pod template of the pool's Deployment.
pub(super) fn template(pool: &Validated, images: &Images, config_map: &str) -> Value {
    let mut metadata = metadata(pool);
    metadata["annotations"][names::CONFIG] = json!(config_map);
    if let Some(hash) = &pool.certificates {
        metadata["annotations"][names::CERTIFICATES] = json!(hash);
    }
    json!({ "metadata": metadata, "spec": spec(pool, images, config_map) })
}

/// The labels and annotations of every pool's pods.
pub(super) fn metadata(pool: &Validated) -> Value {
    let mut labels = json!(pool.template.metadata.labels);
    let ours = objects::labels(pool);
    // The selector's label is ours whatever the template says; of the others the template's win.
    labels[names::POOL] = ours[names::POOL].clone();
    fill(&mut labels, &ours);
    let mut annotations = json!(pool.template.metadata.annotations);
    let ours =
        json!({ names::KUBECTL_DEFAULT_CONTAINER: names::TASK, names::TASK_QUEUE: pool.first_task_queue });
    fill(&mut annotations, &ours);
    json!({ "labels": labels, "annotations": annotations })
}

/// The user's pod, with `adopt` done to the container of the tasks.
pub(super) fn users(pool: &Validated, adopt: impl Fn(&mut Map<String, Value>)) -> Map<String, Value> {
    let mut spec = match json!(pool.template.spec) {
        Value::Object(spec) => spec,
        // A struct is an object.
        _ => Map::new(),
    };
    let containers = spec.get_mut("containers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
        if container.get("name").is_some_and(|name| name == names::TASK) {
            adopt(container);
        }
    }
    spec
}

/// What the pods of every pool have, and the template does not say.
pub(super) fn finished(pool: &Validated, spec: Map<String, Value>) -> Value {
    let mut spec = Value::Object(spec);
    spec["terminationGracePeriodSeconds"] = json!(pool.grace_seconds);
    fill(
        &mut spec,
        &json!({
            // No token: a task that needs one says so in the template.
            "automountServiceAccountToken": false,
            "serviceAccountName": pool.name,
            // A task's environment is its own, not a list of the namespace's Services.
            "enableServiceLinks": false,
            "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
        }),
    );
    spec
}

fn spec(pool: &Validated, images: &Images, config_map: &str) -> Value {
    let keys = secret_keys(pool);
    let mut spec = users(pool, containers::adopt);
    let secrets = (!keys.is_empty()).then_some((paths::SECRETS_VOLUME, paths::SECRETS_FOLDER));
    let certificates = pool.accept.certificates_from.is_some();
    let certificates = certificates.then_some((paths::CERTIFICATES_VOLUME, paths::CERTIFICATES_FOLDER));
    let mounts = secrets.into_iter().chain(certificates);
    append(&mut spec, "initContainers", [containers::install(images), containers::worker(images, mounts)]);
    append(&mut spec, "volumes", volumes(pool, &keys, config_map));
    finished(pool, spec)
}

fn secret_keys(pool: &Validated) -> BTreeSet<&SecretKeyRef> {
    let results = pool.results.as_ref().map(petiole_api::connection::Results::connection);
    let connections = [Some(pool.broker.connection()), results];
    let signing = pool.signing.iter().flat_map(|signing| [&signing.key_from, &signing.certificate_from]);
    let of_connections = connections.into_iter().flatten().flat_map(|connection| connection.secret_keys());
    of_connections.chain(signing.map(|from| &from.secret_key_ref)).collect()
}

fn volumes(pool: &Validated, keys: &BTreeSet<&SecretKeyRef>, config_map: &str) -> Vec<Value> {
    let mut volumes = vec![
        json!({ "name": paths::RUNNER_VOLUME, "emptyDir": {} }),
        json!({ "name": paths::SOCKET_VOLUME, "emptyDir": {} }),
        json!({ "name": paths::POOL_VOLUME, "configMap": { "name": config_map } }),
    ];
    if !keys.is_empty() {
        // One source for each key, so that the worker sees the keys that are named and no others.
        let source = |key: &&SecretKeyRef| {
            let item = json!({ "key": key.key, "path": paths::of_secret_key(key) });
            json!({ "secret": { "name": key.name, "items": [item] } })
        };
        let sources: Vec<Value> = keys.iter().map(source).collect();
        volumes.push(json!({ "name": paths::SECRETS_VOLUME, "projected": { "sources": sources } }));
    }
    if let Some(from) = &pool.accept.certificates_from {
        let secret = json!({ "secretName": from.secret_ref.name });
        volumes.push(json!({ "name": paths::CERTIFICATES_VOLUME, "secret": secret }));
    }
    volumes
}
