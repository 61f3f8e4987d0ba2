//! Which attempts the broker is told of, and when they begin.

use super::*;

/// Work whose message has come back before.
fn come_back() -> Box<Work> {
    let mut work = work(Limits::default());
    work.message.redelivered = true;
    Box::new(work)
}

fn take_back(runs: &mut Runs, tag: Tag, now: Instant) -> Effects {
    let mut effects = Effects::default();
    runs.take(tag, come_back(), now, &mut effects);
    effects
}

fn noted(runs: &mut Runs, now: Instant) -> Effects {
    let mut effects = Effects::default();
    runs.noted(now, &mut effects);
    effects
}

fn sorted(mut tags: Vec<Tag>) -> Vec<Tag> {
    tags.sort_unstable();
    tags
}

#[test]
fn what_comes_for_the_first_time_starts_at_once_and_is_noted_while_it_runs() {
    let mut exec = Exec::of(1);
    assert_eq!(sent(&exec.take(1, Limits::default()), RUNNER).len(), 1);
    exec.take(2, Limits::default());
    assert!(!exec.runs.waits_for_note());
    assert_eq!((exec.runs.starts(), exec.runs.note()), (1, vec![1]));
}

#[test]
fn what_has_come_back_starts_when_it_is_noted() {
    let mut exec = Exec::of(2);
    let now = exec.now;
    assert!(sent(&take_back(&mut exec.runs, 1, now), RUNNER).is_empty());
    assert!(sent(&take_back(&mut exec.runs, 2, now), RUNNER).is_empty());
    assert!(exec.runs.waits_for_note());
    assert_eq!(sorted(exec.runs.note()), [1, 2]);
    assert!(!exec.runs.waits_for_note());
    let started = sent(&noted(&mut exec.runs, now), RUNNER);
    let processes: Vec<_> = started.iter().map(|frame| frame["start"]["process"].clone()).collect();
    assert_eq!(processes, [1, 2]);
    assert_eq!(sorted(exec.runs.note()), [1, 2]);
}

#[test]
fn a_place_is_kept_for_what_is_being_noted_and_what_has_no_place_is_not_noted() {
    let mut exec = Exec::of(1);
    let now = exec.now;
    take_back(&mut exec.runs, 1, now);
    assert!(sent(&exec.take(2, Limits::default()), RUNNER).is_empty());
    take_back(&mut exec.runs, 3, now);
    assert_eq!(exec.runs.note(), [1]);
    assert_eq!(sent(&noted(&mut exec.runs, now), RUNNER).len(), 1);
    let second = exec.says(exited(1, Status::Code(0), ""), b"");
    assert_eq!(sent(&second, RUNNER)[0]["start"]["process"], 2);
    assert!(!exec.runs.waits_for_note());
    assert_eq!(exec.runs.note(), [2]);
    exec.says(exited(2, Status::Code(0), ""), b"");
    assert!(exec.runs.waits_for_note());
}

#[test]
fn what_has_come_back_is_not_given_ahead() {
    let mut served = Served::of(1);
    let handler = served.hello(0, 1, 4);
    assert_eq!(sent(&served.take(1), handler).len(), 1);
    let now = served.now;
    assert!(sent(&take_back(&mut served.runs, 2, now), handler).is_empty());
    assert!(!served.runs.waits_for_note());
    served.says(FromHandler::Started { attempt: 1 });
    assert_eq!(served.runs.note(), [1]);
    served.says(FromHandler::Result(RunResult { attempt: 1, ..RunResult::default() }));
    assert_eq!(served.runs.note(), [2]);
    assert_eq!(sent(&noted(&mut served.runs, now), handler).len(), 1);
    assert_eq!(served.runs.note(), [2]);
}

#[test]
fn a_drain_gives_back_what_is_being_noted_and_notes_nothing() {
    let mut exec = Exec::of(3);
    let now = exec.now;
    exec.take(1, Limits::default());
    take_back(&mut exec.runs, 2, now);
    exec.runs.note();
    take_back(&mut exec.runs, 3, now);
    let mut effects = Effects::default();
    exec.runs.drain(now, &mut effects);
    assert_eq!(outcomes(&effects), [(2, Outcome::Returned), (3, Outcome::Returned)]);
    assert!(exec.runs.note().is_empty());
    assert!(sent(&noted(&mut exec.runs, now), RUNNER).is_empty());
}

#[test]
fn what_is_revoked_while_it_is_noted_does_not_start() {
    let mut exec = Exec::of(1);
    let now = exec.now;
    take_back(&mut exec.runs, 1, now);
    exec.runs.note();
    let mut effects = Effects::default();
    exec.runs.revoke(|_| true, now, &mut effects);
    assert_eq!(effects.revoked.len(), 1);
    assert!(sent(&noted(&mut exec.runs, now), RUNNER).is_empty());
    assert_eq!(sent(&exec.take(2, Limits::default()), RUNNER).len(), 1);
}

fn take_last_chance(runs: &mut Runs, tag: Tag, now: Instant) {
    let mut work = come_back();
    work.last_chance = true;
    runs.take(tag, work, now, &mut Effects::default());
}

#[test]
fn of_those_with_one_chance_left_one_begins_at_a_time_and_takes_no_place_of_others() {
    let mut exec = Exec::of(3);
    let now = exec.now;
    for tag in [1, 2] {
        take_last_chance(&mut exec.runs, tag, now);
    }
    exec.take(3, Limits::default());
    assert_eq!(exec.runs.wants(), 1);
    assert_eq!(sorted(exec.runs.note()), [1, 3]);
    assert_eq!(sent(&noted(&mut exec.runs, now), RUNNER).len(), 1);
    assert!(!exec.runs.waits_for_note());
    exec.says(exited(1, Status::Code(0), ""), b"");
    assert!(exec.runs.waits_for_note());
    assert_eq!(sorted(exec.runs.note()), [2, 3]);
    assert_eq!(sent(&noted(&mut exec.runs, now), RUNNER).len(), 1);
}

#[test]
fn who_waits_aside_for_too_long_goes_back() {
    let mut exec = Exec::of(3);
    let now = exec.now;
    for tag in [1, 2] {
        take_last_chance(&mut exec.runs, tag, now);
    }
    exec.runs.note();
    noted(&mut exec.runs, now);
    assert_eq!(outcomes(&exec.after(1)), [(2, Outcome::Returned)]);
    let mut effects = Effects::default();
    take_last_chance(&mut exec.runs, 4, exec.now);
    exec.runs.drain(exec.now, &mut effects);
    assert_eq!(outcomes(&effects), [(4, Outcome::Returned)]);
}
