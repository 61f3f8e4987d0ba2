//! Which crate may use which: the table of `docs/design.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

/// A crate, and those of ours that it may use. What is not here may use nothing of ours.
const MAY_USE: &[(&str, &[&str])] = &[
    ("api", &["contract", "schedule"]),
    ("broker", &["protocol", "results"]),
    ("results", &["protocol"]),
    ("runner", &["contract"]),
    ("worker", &["broker", "contract", "process", "protocol", "results"]),
    ("operator", &["api", "broker", "contract", "process", "protocol", "results", "scale", "schedule"]),
    ("cli", &["api", "broker", "contract", "operator", "process", "protocol", "results"]),
];

/// Only ever a dev-dependency.
const FOR_TESTS: &str = "testkit";

/// What the crates that leave a process must not be able to reach: a pure crate has no runtime, the worker no client
/// of the Kubernetes API.
const NEVER: &[(&str, &[&str])] = &[
    ("protocol", &["tokio", "kube", "redis"]),
    ("contract", &["tokio", "kube", "redis"]),
    ("api", &["tokio"]),
    ("scale", &["tokio", "kube", "redis"]),
    ("schedule", &["tokio", "kube", "redis"]),
    ("runner", &["tokio", "tracing"]),
    ("worker", &["kube"]),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `null` for an ordinary one.
    kind: Option<String>,
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Metadata>(&output.stdout).unwrap().packages
}

fn short(name: &str) -> Option<&str> {
    name.strip_prefix("petiole-")
}

#[test]
fn no_crate_uses_one_that_the_design_does_not_let_it_use() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        MAY_USE.iter().map(|(name, may)| (*name, may.iter().copied().collect())).collect();
    let none = BTreeSet::new();
    for package in packages() {
        let Some(name) = short(&package.name) else { continue };
        let may = allowed.get(name).unwrap_or(&none);
        for dependency in package.dependencies {
            let Some(used) = short(&dependency.name) else { continue };
            let of_tests = dependency.kind.as_deref() == Some("dev");
            assert!(
                of_tests || may.contains(used),
                "{name} uses {used}: docs/design.md says who may use whom; change it there and here, with the reason"
            );
            assert!(of_tests || used != FOR_TESTS, "{name} uses {FOR_TESTS} outside its tests");
        }
    }
}

#[test]
fn pure_crates_have_no_runtime_and_the_worker_no_kubernetes_client() {
    let packages = packages();
    for (name, never) in NEVER {
        let package = packages.iter().find(|package| short(&package.name) == Some(name)).unwrap();
        for dependency in &package.dependencies {
            let forbidden = dependency.kind.is_none() && never.contains(&dependency.name.as_str());
            assert!(!forbidden, "{name} must not depend on {}", dependency.name);
        }
    }
}
