//! Revocations meet attempts.

use super::*;

/// What was revoked: tag and signal.
fn revoked(effects: &Effects) -> Vec<(Tag, Option<i32>)> {
    effects.revoked.iter().map(|revoked| (revoked.tag, revoked.signal)).collect()
}

impl Exec {
    fn revoke(&mut self) -> Effects {
        let mut effects = Effects::default();
        self.runs.revoke(|_| true, self.now, &mut effects);
        effects
    }

    fn terminate(&mut self, attempt: Attempt, signal: i32) -> Effects {
        let mut effects = self.revoke();
        self.runs.terminate(&[attempt], signal, &mut effects);
        effects
    }
}

impl Served {
    fn revoke(&mut self) -> Effects {
        let mut effects = Effects::default();
        self.runs.revoke(|_| true, self.now, &mut effects);
        effects
    }

    fn terminate(&mut self, attempt: Attempt) -> Effects {
        let mut effects = Effects::default();
        self.runs.terminate(&[attempt], 15, &mut effects);
        effects
    }

    fn exits(&mut self, process: u64, signal: i32) -> Effects {
        let (mut effects, frame) = (Effects::default(), exited(process, Status::Signal(signal), ""));
        self.runs.runner_says(frame, &Bytes::new(), self.now, &mut effects);
        effects
    }
}

#[test]
fn a_task_that_waits_ends_and_one_that_runs_goes_on() {
    let mut exec = Exec::of(1);
    exec.take(1, Limits::default());
    exec.take(2, Limits::default());
    assert_eq!(revoked(&exec.revoke()), [(2, None)]);
    assert_eq!(exec.runs.count(), (1, 1));
    let effects = exec.says(exited(1, Status::Code(0), ""), b"");
    assert_eq!(outcomes(&effects), [(1, Outcome::Success(Bytes::from_static(b"null")))]);
    assert!(sent(&effects, RUNNER).is_empty(), "nothing is left to be started");
    assert!(exec.runs.is_empty());
}

#[test]
fn a_task_that_is_terminated_gets_the_signal_and_is_revoked_whatever_it_leaves() {
    for status in [Status::Signal(2), Status::Code(0), Status::Code(1)] {
        let mut exec = Exec::of(1);
        exec.take(1, Limits::default());
        let effects = exec.terminate(1, 2);
        assert_eq!(sent(&effects, RUNNER)[0]["signal"], serde_json::json!({"process": 1, "signal": 2}));
        assert!(revoked(&effects).is_empty(), "it still runs");
        let effects = exec.says(exited(1, status, ""), b"");
        assert_eq!(revoked(&effects), [(1, Some(2))]);
        assert!(effects.ended.is_empty() && exec.runs.count() == (0, 0));
    }
}

#[test]
fn a_task_that_was_given_ahead_is_called_back_and_does_not_start() {
    let mut served = Served::of(1);
    let peer = served.hello(0, 1, 4);
    served.take(1);
    served.take(2);
    served.says(FromHandler::Started { attempt: 1 });
    let effects = served.revoke();
    let recall = serde_json::to_value(ToHandler::Recall { attempts: vec![2] }).unwrap();
    assert_eq!(sent(&effects, peer), [recall]);
    let effects = served.says(FromHandler::Recalled { attempts: vec![2] });
    assert_eq!(revoked(&effects), [(2, None)]);
    assert!(sent(&effects, peer).is_empty());
}

#[test]
fn a_task_that_starts_while_it_is_being_terminated_gets_the_signal_then() {
    let mut served = Served::of(1);
    served.hello(0, 1, 4);
    served.take(1);
    assert!(sent(&served.terminate(1), RUNNER).is_empty());
    let effects = served.says(FromHandler::Started { attempt: 1 });
    assert_eq!(sent(&effects, RUNNER)[0]["signal"]["signal"], 15);
    assert_eq!(revoked(&served.exits(1, 15)), [(1, Some(15))]);
}

#[test]
fn a_terminated_task_costs_the_handler_but_not_its_other_tasks() {
    let mut served = Served::of(2);
    served.hello(0, 2, 0);
    for attempt in [1, 2] {
        served.take(attempt);
        served.says(FromHandler::Started { attempt });
    }
    served.terminate(2);
    let effects = served.exits(1, 15);
    assert_eq!(revoked(&effects), [(2, Some(15))]);
    assert_eq!(outcomes(&effects), [(1, Outcome::Returned)]);
}

#[test]
fn only_the_handler_that_runs_the_task_gets_the_signal() {
    let mut served = Served::of(2);
    served.hello(0, 1, 0);
    served.hello(1, 1, 0);
    for attempt in [1, 2] {
        served.take(attempt);
        served.says(FromHandler::Started { attempt });
    }
    let signals = sent(&served.terminate(2), RUNNER);
    assert_eq!(signals.len(), 1);
    let process = signals[0]["signal"]["process"].as_u64().unwrap();
    assert_eq!(revoked(&served.exits(process, 15)), [(2, Some(15))]);
    assert_eq!(served.runs.count(), (1, 1));
}

#[test]
fn starts_are_told_where_somebody_wants_to_know() {
    let mut exec = Exec::of(2);
    assert!(exec.take(1, Limits::default()).begun.is_empty());
    exec.runs.tell_starts(true);
    assert_eq!(exec.take(2, Limits::default()).begun, ["id-1"]);
}
