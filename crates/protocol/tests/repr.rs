//! What we print against what Python and Celery print: `tests/golden/repr`.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::fs;
use std::path::Path;

use petiole_protocol::json::{self, Object};
use petiole_protocol::repr;

/// The values of the captures, each with what was printed of it: name → text.
fn captures() -> Vec<(String, Object)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/repr/celery-5.7.0.jsonl");
    let lines = fs::read_to_string(file).unwrap();
    let lines = lines.lines().map(|line| Object::read(line.as_bytes()).unwrap());
    lines.map(|line| (json::string(line.get("json").unwrap()).unwrap().into_owned(), line)).collect()
}

fn printed(form: &str, print: impl Fn(&str) -> String) {
    let mut count = 0;
    for (value, line) in captures() {
        let Some(theirs) = line.get(form) else { continue };
        // Half a surrogate pair, which no text of ours holds.
        let theirs = json::string(theirs).unwrap();
        assert_eq!(print(&value), theirs, "{form} of {}", value.chars().take(200).collect::<String>());
        count += 1;
    }
    assert!(count > 20, "{count} captures of {form}");
}

#[test]
fn values_are_printed_as_python_prints_them() {
    printed("python", repr::python);
}

#[test]
fn results_are_printed_as_celery_prints_them() {
    printed("safe", repr::safe);
}

#[test]
fn positional_arguments_are_printed_as_celery_prints_them() {
    printed("tuple", repr::tuple);
}
