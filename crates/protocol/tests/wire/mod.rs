//! The captures of remote control and events: `tests/golden/control`.

use std::fs;

use jiff::Timestamp;
use petiole_protocol::envelope::Envelope;
use petiole_protocol::json::{self, Object};

/// A line of a file of captures.
pub(crate) struct Capture {
    pub(crate) release: &'static str,
    pub(crate) case: String,
    line: Object,
}

impl Capture {
    /// The captures of one kind, of all releases.
    pub(crate) fn all(kind: &str) -> Vec<Self> {
        let mut captures = Vec::new();
        for release in ["celery-5.2.7", "celery-5.7.0"] {
            let file = format!("{}/../../tests/golden/control/{release}.jsonl", env!("CARGO_MANIFEST_DIR"));
            let lines = fs::read_to_string(file).unwrap();
            let lines = lines.lines().map(|line| Object::read(line.as_bytes()).unwrap());
            let lines = lines.filter(|line| line.get("kind") == Some(&json::quote(kind)));
            captures.extend(lines.map(|line| {
                let case = json::string(line.get("case").unwrap()).unwrap().into_owned();
                Self { release, case, line }
            }));
        }
        captures
    }

    pub(crate) fn name(&self) -> String {
        format!("{}, {}", self.release, self.case)
    }

    pub(crate) fn raw(&self, member: &str) -> Option<&str> {
        self.line.get(member)
    }

    pub(crate) fn text(&self, member: &str) -> String {
        json::string(self.raw(member).unwrap()).unwrap().into_owned()
    }

    pub(crate) fn envelope(&self, member: &str) -> Envelope {
        Envelope::from_redis(self.raw(member).unwrap().as_bytes()).unwrap()
    }
}

/// The instant that a float stands for.
#[expect(clippy::cast_possible_truncation, reason = "a time of today")]
pub(crate) fn instant(seconds: f64) -> Timestamp {
    Timestamp::from_nanosecond((seconds * 1e9) as i128).unwrap()
}
