//! The pool's pod is to go, or is called back.

use petiole_protocol::canvas::builtin::Mapping;

use super::*;

fn rest(runs: &mut Runs, now: Instant) -> Effects {
    let mut effects = Effects::default();
    runs.rest(now, &mut effects);
    effects
}

#[test]
fn what_has_not_begun_goes_back_and_what_runs_ends() {
    let mut exec = Exec::of(1);
    exec.take(1, Limits::default());
    exec.take(2, Limits::default());
    let effects = rest(&mut exec.runs, exec.now);
    assert_eq!(outcomes(&effects), [(2, Outcome::Returned)]);
    assert!(effects.frames.is_empty(), "nobody is told to end");
    assert_eq!((exec.runs.wants(), exec.runs.count()), (0, (1, 1)));
    assert_eq!(exec.runs.begun(), [1], "the broker is told what runs");
    exec.says(exited(1, Status::Code(0), ""), b"");
    assert!(exec.runs.is_empty() && exec.runs.wants() == 0);
    exec.runs.wake();
    assert!(exec.runs.wants() > 0);
    assert_eq!(sent(&exec.take(3, Limits::default()), RUNNER).len(), 1);
}

#[test]
fn what_was_given_ahead_is_called_back_and_its_handler_stays() {
    let mut served = Served::of(1);
    let peer = served.hello(0, 1, 1);
    served.take(1);
    served.take(2);
    served.says(FromHandler::Started { attempt: 1 });
    rest(&mut served.runs, served.now);
    let effects = served.tick(Duration::from_millis(200));
    assert_eq!(sent(&effects, peer)[0]["recall"]["attempts"], serde_json::json!([2]));
    let mut effects = served.says(FromHandler::Recalled { attempts: vec![2] });
    served.runs.give(served.now, &mut effects);
    assert_eq!(outcomes(&effects), [(2, Outcome::Returned)]);
    served.runs.wake();
    assert_eq!(sent(&served.take(3), peer), Vec::<serde_json::Value>::new(), "its run hangs");
    let effects = served.says(FromHandler::Result(RunResult { attempt: 1, ..RunResult::default() }));
    assert_eq!(sent(&effects, peer)[0]["run"]["attempt"], 3);
}

/// A task of two calls.
fn two_calls() -> Box<Work> {
    let body = r#"[[{\"task\": \"demo.add\"}, [[1, 2], [3, 4]]], {}, {}]"#;
    let envelope = format!(
        r#"{{"body": "{body}", "content-type": "application/json", "headers": {{"task": "celery.starmap", "id": "id-2"}}, "properties": {{}}}}"#
    );
    let message = Message::read(&Envelope::from_redis(envelope.as_bytes()).unwrap()).unwrap();
    let mut mapping = Mapping::read(&message, true).unwrap();
    let first = mapping.next().unwrap();
    Box::new(Work { message, mapping: Some((mapping, first)), ..work(Limits::default()) })
}

#[test]
fn a_task_of_several_calls_that_has_begun_makes_them_all() {
    let mut exec = Exec::of(1);
    exec.runs.take(1, two_calls(), exec.now, &mut Effects::default());
    exec.take(2, Limits::default());
    rest(&mut exec.runs, exec.now);
    let end = |process| FromRunner::Exited(Exited { output: 1, ..end(process, Status::Code(0), "") });
    let first = exec.says(end(1), b"3");
    assert_eq!((outcomes(&first), sent(&first, RUNNER).len()), (vec![], 1), "the second call");
    let second = sent(&first, RUNNER)[0]["start"]["process"].as_u64().unwrap();
    assert_eq!(outcomes(&exec.says(end(second), b"4"))[0].1, Outcome::Success(Bytes::from_static(b"[3, 4]")));
}
