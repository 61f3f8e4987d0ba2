//! The resources' definitions, as `crds/` holds them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{TaskQueue, WorkerPool};

/// The definitions of all our resources.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [TaskQueue::crd(), WorkerPool::crd()].into_iter().map(finished).collect()
}

/// The name of a definition's file in `crds/`.
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}.yaml", crd.spec.names.plural)
}

fn finished(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            finish(schema);
        }
    }
    crd
}

/// Takes out what the derives put in and Kubernetes does not want:
///
/// - `nullable`: an optional field of ours is absent, never null. Without it the API server prunes a null, so that
///   `has()` in a rule means what it says.
/// - Rust's unsigned formats, which the API server does not know and warns of.
/// - The ends of lines in descriptions: `kubectl explain` breaks them where the terminal does.
fn finish(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.description = schema.description.take().map(|text| text.replace('\n', " "));
    if schema.format.as_deref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = None;
    }
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        finish(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        finish(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        finish(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;

    /// Calls `look` with every schema of every resource and the path that leads to it.
    fn each_schema(look: &mut dyn FnMut(&str, &JSONSchemaProps)) {
        fn walk(path: &str, schema: &JSONSchemaProps, look: &mut dyn FnMut(&str, &JSONSchemaProps)) {
            look(path, schema);
            for (name, property) in schema.properties.iter().flatten() {
                walk(&format!("{path}.{name}"), property, look);
            }
            if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
                walk(&format!("{path}[]"), items, look);
            }
            if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
                walk(&format!("{path}{{}}"), values, look);
            }
        }
        for crd in crds() {
            for version in crd.spec.versions {
                let schema = version.schema.unwrap().open_api_v3_schema.unwrap();
                let kind = &crd.spec.names.kind;
                for (name, property) in schema.properties.as_ref().unwrap() {
                    if name == "spec" || name == "status" {
                        walk(&format!("{kind}.{name}"), property, look);
                    }
                }
            }
        }
    }

    #[test]
    fn every_field_says_what_it_is_for() {
        each_schema(&mut |path, schema| {
            let is_field = !path.ends_with("[]") && !path.ends_with("{}");
            let described = schema.description.as_deref().is_some_and(|text| text.ends_with('.'));
            let is_top = path.split('.').count() == 2;
            assert!(described || !is_field || is_top, "{path}");
        });
    }

    #[test]
    fn everything_in_a_spec_has_a_greatest_size_so_that_rules_have_a_greatest_cost() {
        each_schema(&mut |path, schema| {
            if path.contains(".status") {
                return;
            }
            match schema.type_.as_deref() {
                Some("array") => assert!(schema.max_items.is_some(), "{path}"),
                Some("string") => assert!(schema.max_length.is_some() || schema.enum_.is_some(), "{path}"),
                Some("object") if schema.additional_properties.is_some() => {
                    assert!(schema.max_properties.is_some(), "{path}");
                }
                _ => (),
            }
        });
    }

    #[test]
    fn no_field_may_be_null_and_no_integer_is_unsigned() {
        each_schema(&mut |path, schema| {
            assert_eq!(schema.nullable, None, "{path}");
            assert!(!schema.format.as_deref().unwrap_or_default().starts_with('u'), "{path}");
        });
    }

    #[test]
    fn every_rule_says_what_to_write() {
        each_schema(&mut |path, schema| {
            for rule in schema.x_kubernetes_validations.iter().flatten() {
                assert!(rule.message.is_some(), "{path}: {}", rule.rule);
            }
        });
    }

    /// The derives take no constants.
    #[test]
    fn the_definitions_are_named_as_the_constants_say() {
        for crd in crds() {
            assert_eq!(crd.spec.group, names::GROUP);
            assert_eq!(crd.spec.versions[0].name, names::VERSION);
            assert_eq!(crd.spec.names.categories.as_deref(), Some(&[names::CATEGORY.to_owned()][..]));
            let schema = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
            let rule = format!("size(self.metadata.name) <= {}", names::MAX_NAME);
            assert!(schema.x_kubernetes_validations.iter().flatten().any(|one| one.rule == rule));
        }
    }

    /// `kubectl apply` keeps the object that was applied in an annotation of at most 256 KiB.
    #[test]
    fn a_definition_fits_into_kubectl_apply_s_annotation() {
        for crd in crds() {
            let size = serde_json::to_vec(&crd).unwrap().len();
            assert!(size < 200 * 1024, "{}: {size}", crd.spec.names.kind);
        }
    }
}
