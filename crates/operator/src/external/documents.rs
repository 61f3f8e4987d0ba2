//! What there is to ask for: the documents of discovery, and the schema. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::route::{GROUP, VERSION};
use super::series::METRICS;

fn group() -> Value {
    let version = json!({ "groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION });
    json!({ "name": GROUP, "versions": [version], "preferredVersion": version })
}

fn with(mut object: Value, kind: &str) -> Value {
    object["kind"] = json!(kind);
    object["apiVersion"] = json!("v1");
    object
}

/// An `APIGroupList`.
pub fn groups() -> Value {
    with(json!({ "groups": [group()] }), "APIGroupList")
}

/// An `APIGroup`.
pub fn the_group() -> Value {
    with(group(), "APIGroup")
}

/// An `APIResourceList`: each metric is a resource, as with every provider of this API.
pub fn resources() -> Value {
    let resource = |(metric, _): &(&str, &str)| json!({ "name": metric, "singularName": "", "namespaced": true, "kind": LIST, "verbs": ["get"] });
    let resources: Vec<Value> = METRICS.iter().map(resource).collect();
    let list = json!({ "groupVersion": format!("{GROUP}/{VERSION}"), "resources": resources });
    with(list, "APIResourceList")
}

const LIST: &str = "ExternalMetricValueList";
const ITEM: &str = "ExternalMetricValue";

/// How Kubernetes names a kind in a schema.
fn schema_name(kind: &str) -> String {
    format!("io.k8s.metrics.pkg.apis.external_metrics.{VERSION}.{kind}")
}

fn schemas(reference: &str) -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let kind = json!([{ "group": GROUP, "version": VERSION, "kind": LIST }]);
    let item = json!({
        "type": "object",
        "description": "A figure.",
        "required": ["metricName", "metricLabels", "timestamp", "value"],
        "properties": {
            "metricName": text("Name of the metric."),
            "metricLabels": { "type": "object", "additionalProperties": { "type": "string" },
                "description": "What the figure is about." },
            "timestamp": { "type": "string", "format": "date-time", "description": "When it was read." },
            "value": text("The figure, a quantity."),
        },
    });
    let list = json!({
        "type": "object",
        "description": "The figures that were selected.",
        "required": ["items"],
        "properties": {
            "apiVersion": text("Version of this schema."),
            "kind": text("Kind of this object."),
            "metadata": { "type": "object", "description": "Empty." },
            "items": { "type": "array", "description": "The figures.",
                "items": { "$ref": format!("{reference}{}", schema_name(ITEM)) } },
        },
        "x-kubernetes-group-version-kind": kind,
    });
    json!({ schema_name(LIST): list, schema_name(ITEM): item })
}

fn info() -> Value {
    json!({ "title": "Petiole", "version": env!("CARGO_PKG_VERSION") })
}

/// The paths of all metrics. `answer` and `schema` are what the two forms of the schema write differently.
fn paths(answer: &Value, schema: impl Fn(Value) -> Value) -> Value {
    let path = |(metric, about): &(&str, &str)| {
        let parameter = |name: &str, place: &str, required: bool, about: &str| {
            let mut parameter = schema(json!({ "type": "string" }));
            for (field, value) in [
                ("name", json!(name)),
                ("in", json!(place)),
                ("required", json!(required)),
                ("description", json!(about)),
            ] {
                parameter[field] = value;
            }
            parameter
        };
        let get = json!({
            "description": about,
            "operationId": format!("list_{metric}"),
            "parameters": [
                parameter("namespace", "path", true, "Namespace of what the figures are about."),
                parameter("labelSelector", "query", false, "Which figures, by their labels."),
            ],
            "responses": { "200": answer },
        });
        let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/{metric}");
        (path, json!({ "get": get }))
    };
    METRICS.iter().map(path).collect::<serde_json::Map<_, _>>().into()
}

/// The schema, in the form of version 2.
pub fn open_api_2() -> Value {
    let reference = format!("#/definitions/{}", schema_name(LIST));
    let answer = json!({ "description": "OK", "schema": { "$ref": reference } });
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths(&answer, |schema| schema),
        "definitions": schemas("#/definitions/"),
    })
}

/// Where the schemas of version 3 are.
pub fn open_api_3() -> Value {
    let path = format!("apis/{GROUP}/{VERSION}");
    // By the hash a client knows whether it has this one already.
    let text = open_api_3_of_version().to_string();
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let mut url = format!("/openapi/v3/{path}?hash=");
    for byte in digest.as_ref().iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(url, "{byte:02X}");
    }
    json!({ "paths": { path: { "serverRelativeURL": url } } })
}

/// The schema, in the form of version 3.
pub fn open_api_3_of_version() -> Value {
    let reference = format!("#/components/schemas/{}", schema_name(LIST));
    let content = json!({ "application/json": { "schema": { "$ref": reference } } });
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths(&json!({ "description": "OK", "content": content }), |schema| json!({ "schema": schema })),
        "components": { "schemas": schemas("#/components/schemas/") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_a_resource_of_the_version() {
        let resources = resources();
        let names: Vec<_> =
            resources["resources"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["petiole_pool_work", "petiole_queue_work"]);
        assert_eq!(groups()["groups"][0]["preferredVersion"]["groupVersion"], resources["groupVersion"]);
    }

    #[test]
    fn a_schema_refers_to_what_it_holds() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        for document in [open_api_2(), open_api_3_of_version()] {
            let mut found = Vec::new();
            references(&document, &mut found);
            assert_eq!(found.len(), 3, "{found:?}");
            for reference in found {
                let path = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(path).is_some(), "{reference}");
            }
        }
        let index = open_api_3();
        let url =
            index["paths"]["apis/external.metrics.k8s.io/v1beta1"]["serverRelativeURL"].as_str().unwrap();
        assert!(url.starts_with("/openapi/v3/apis/external.metrics.k8s.io/v1beta1?hash="), "{url}");
    }
}
