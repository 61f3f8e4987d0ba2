//! Which processes there are, and what is said of them.

use super::*;

fn tracked(acks_early: bool) -> Box<Work> {
    let mut work = work(Limits::default());
    let plan = Arc::get_mut(&mut work.plan).unwrap();
    (plan.task.track_started, plan.task.acks_early) = (true, acks_early);
    Box::new(work)
}

fn started(effects: &Effects) -> Vec<(Tag, Option<u32>, bool)> {
    effects.started.iter().map(|started| (started.tag, started.pid, started.begins)).collect()
}

#[test]
fn a_process_is_known_from_its_start_to_its_end() {
    let mut exec = Exec::of(2);
    exec.take(7, Limits::default());
    assert_eq!((exec.runs.pids(), exec.runs.held(exec.now)[0].pid), (vec![], None));
    exec.says(FromRunner::Started { process: 1, pid: 40 }, b"");
    assert_eq!((exec.runs.pids(), exec.runs.held(exec.now)[0].pid), (vec![40], Some(40)));
    exec.says(exited(1, Status::Code(0), ""), b"");
    assert!(exec.runs.pids().is_empty());
    exec.says(FromRunner::Started { process: 2, pid: 41 }, b"");
    exec.runs.disconnected(RUNNER, false, exec.now, &mut Effects::default());
    assert!(exec.runs.pids().is_empty(), "the container has ended, and all with it");
}

#[test]
fn the_record_of_a_start_waits_for_the_process_and_an_early_acknowledgement_does_not() {
    let mut exec = Exec::of(2);
    let mut effects = Effects::default();
    exec.runs.take(7, tracked(false), exec.now, &mut effects);
    exec.runs.take(8, tracked(true), exec.now, &mut effects);
    assert_eq!(started(&effects), [(8, None, true)]);
    assert_eq!(started(&exec.says(FromRunner::Started { process: 1, pid: 40 }, b"")), [(7, Some(40), false)]);
    assert_eq!(started(&exec.says(FromRunner::Started { process: 2, pid: 41 }, b"")), [(8, Some(41), false)]);
}

#[test]
fn a_handlers_runs_have_its_process() {
    let mut served = Served::of(1);
    let mut effects = Effects::default();
    served.runs.runner_says(
        FromRunner::Started { process: 1, pid: 40 },
        &Bytes::new(),
        served.now,
        &mut effects,
    );
    served.hello(0, 1, 4);
    served.runs.take(7, tracked(false), served.now, &mut effects);
    assert_eq!(served.runs.held(served.now)[0].pid, None, "it has not started");
    assert_eq!(started(&served.says(FromHandler::Started { attempt: 1 })), [(7, Some(40), true)]);
    assert_eq!(served.runs.held(served.now)[0].pid, Some(40));
}
