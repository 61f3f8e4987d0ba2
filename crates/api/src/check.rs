//! What the API server would say of an object, without one: fields that the schema does not know, then the schema's
//! rules, with its defaults filled in.
//!
//! Types, lengths and required fields are not looked at: reading the object as its Rust type does that.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::cel::{Validator, apply_defaults};
use serde_json::Value;

/// Why the object would be refused, each with the path of the field and what to write; empty when it would not.
/// An object of a kind that is not ours is not looked at.
pub fn refusals(object: &Value) -> Vec<String> {
    let crd = crate::crds().into_iter().find(|crd| is_of(object, crd));
    let Some(schema) = crd.as_ref().and_then(schema_of) else { return Vec::new() };
    let object = apply_defaults(&schema, object);
    let mut refusals = Vec::new();
    unknown_fields(&schema, &object, "", &mut refusals);
    if let Err(errors) = Validator::new().validate(&schema, &object, None) {
        refusals.extend(errors.iter().map(ToString::to_string));
    }
    refusals
}

fn is_of(object: &Value, crd: &CustomResourceDefinition) -> bool {
    let version = |version: &str| format!("{}/{version}", crd.spec.group);
    object["kind"] == crd.spec.names.kind.as_str()
        && crd.spec.versions.iter().any(|served| object["apiVersion"] == version(&served.name).as_str())
}

fn schema_of(crd: &CustomResourceDefinition) -> Option<Value> {
    let schema = crd.spec.versions.first()?.schema.as_ref()?.open_api_v3_schema.as_ref()?;
    serde_json::to_value(schema).ok()
}

fn unknown_fields(schema: &Value, value: &Value, path: &str, refusals: &mut Vec<String>) {
    let keeps_unknown = schema["x-kubernetes-preserve-unknown-fields"] == true;
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
                match known {
                    Some(known) => unknown_fields(known, field, &path, refusals),
                    // These are every object's, and the definition does not spell them out.
                    None if ["apiVersion", "kind", "metadata"].contains(&path.as_str()) => (),
                    None if keeps_unknown || schema.get("properties").is_none() => (),
                    None => refusals.push(format!("{path}: there is no such field")),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                unknown_fields(&schema["items"], item, &format!("{path}[{index}]"), refusals);
            }
        }
        _ => (),
    }
}
