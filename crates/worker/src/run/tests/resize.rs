//! The pool grows and shrinks while it works.

use super::*;

impl Exec {
    fn resize(&mut self, concurrency: u32) -> Effects {
        let mut effects = Effects::default();
        self.runs.resize(concurrency, self.now, &mut effects);
        effects
    }
}

impl Served {
    fn resize(&mut self, concurrency: u32) -> Effects {
        let mut effects = Effects::default();
        self.runs.resize(concurrency, self.now, &mut effects);
        self.learn(&effects);
        effects
    }
}

#[test]
fn a_pool_that_grows_starts_what_waits() {
    let mut exec = Exec::of(1);
    exec.take(1, Limits::default());
    exec.take(2, Limits::default());
    assert_eq!(sent(&exec.resize(2), RUNNER).len(), 1);
    assert_eq!(exec.runs.count(), (2, 2));
}

#[test]
fn a_pool_that_shrinks_lets_what_runs_end() {
    let mut exec = Exec::of(2);
    exec.take(1, Limits::default());
    exec.take(2, Limits::default());
    assert!(exec.resize(1).frames.is_empty());
    exec.take(3, Limits::default());
    assert_eq!(exec.runs.wants(), 0);
    assert!(sent(&exec.says(exited(1, Status::Code(0), ""), b""), RUNNER).is_empty(), "one still runs");
    assert_eq!(sent(&exec.says(exited(2, Status::Code(0), ""), b""), RUNNER).len(), 1);
}

#[test]
fn handlers_that_are_missing_are_started() {
    let mut served = Served::of(1);
    served.hello(0, 1, 0);
    served.resize(3);
    assert_eq!(served.words.len(), 3);
    let mut threaded = Served::of(1);
    threaded.hello(0, 2, 0);
    threaded.resize(3);
    assert_eq!(threaded.words.len(), 2, "two of two each");
}

#[test]
fn handlers_that_are_too_many_end_when_they_have_nothing_left() {
    let mut served = Served::of(2);
    let (first, second) = (served.hello(0, 1, 0), served.hello(1, 1, 0));
    served.take(1);
    let effects = served.resize(1);
    // The idle one is told.
    assert!(sent(&effects, first).is_empty());
    assert_eq!(sent(&effects, second), [serde_json::json!({"drain": {}})]);
    served.take(2);
    assert_eq!(served.runs.count(), (2, 0));
    assert!(sent(&served.tick(Duration::ZERO), second).is_empty(), "it gets nothing more");
    // Its end is no failure, and nobody takes its place.
    let mut effects = Effects::default();
    served.runs.runner_says(exited(2, Status::Code(0), ""), &Bytes::new(), served.now, &mut effects);
    served.learn(&effects);
    assert_eq!((served.words.len(), served.runs.missing()), (2, "no handler has said hello yet"));
    assert!(outcomes(&effects).is_empty());
    served.resize(2);
    assert_eq!(served.words.len(), 3);
}

#[test]
fn a_handler_that_starts_while_the_pool_shrinks_ends_at_its_hello() {
    let mut served = Served::of(2);
    served.hello(0, 1, 0);
    served.take(1);
    served.resize(1);
    let hello = Hello {
        version: petiole_contract::VERSION,
        handler: served.words[1].clone(),
        concurrency: 1,
        prefetch: 0,
        accept: Vec::new(),
    };
    let mut effects = Effects::default();
    assert!(served.runs.handler_connected(77, &hello, served.now, &mut effects));
    assert_eq!(sent(&effects, 77), [serde_json::json!({"drain": {}})]);
}
