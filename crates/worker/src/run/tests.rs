//! The state machine, driven by frames.

mod note;
mod pickled;
mod pids;
mod resize;
mod rest;
mod revoke;

use std::sync::Arc;

use bytes::Bytes;
use petiole_contract::control::{Exited, FromRunner, Status, ToRunner};
use petiole_contract::frame;
use petiole_contract::pool::Task;
use petiole_contract::serve::{FromHandler, Hello, RunResult, ToHandler};
use petiole_contract::template::Template;
use petiole_protocol::envelope::Envelope;
use petiole_protocol::message::Message;

use super::*;
use crate::work::{Limits, Plan};

const RUNNER: Peer = 1;

fn work(limits: Limits) -> Work {
    let headers = r#"{"task": "demo.add", "id": "id-1"}"#;
    let envelope = format!(
        r#"{{"body": "[[1, \"two\"], {{}}, {{}}]", "content-type": "application/json", "headers": {headers}, "properties": {{}}}}"#
    );
    let message = Message::read(&Envelope::from_redis(envelope.as_bytes()).unwrap()).unwrap();
    let command = ["add", "$(args[0])", "$(args[1])"].map(str::to_owned).to_vec();
    let templates = command.iter().map(|part| Template::parse(part).unwrap()).collect();
    let plan = Plan::new(Task { command, ..Task::default() }, templates);
    Work {
        queue: 0,
        message,
        plan: Arc::new(plan),
        limits,
        retry: Arc::default(),
        mapping: None,
        last_chance: false,
        raw: None,
    }
}

/// The frames that were sent to a peer, as JSON.
fn sent(effects: &Effects, peer: Peer) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    for (to, bytes) in &effects.frames {
        let mut rest = bytes.as_slice();
        while let Some(frame) = frame::cut(rest).unwrap() {
            if *to == peer {
                found.push(frame::read(frame.header).unwrap());
            }
            rest = &rest[frame.taken..];
        }
    }
    found
}

fn outcomes(effects: &Effects) -> Vec<(Tag, Outcome)> {
    effects.ended.iter().map(|ended| (ended.tag, ended.outcome.clone())).collect()
}

fn end(process: u64, status: Status, stderr: &str) -> Exited {
    Exited { process, status, stderr: stderr.to_owned(), cut: false, abandoned: false, output: 0 }
}

fn exited(process: u64, status: Status, stderr: &str) -> FromRunner {
    FromRunner::Exited(end(process, status, stderr))
}

struct Exec {
    runs: Runs,
    now: Instant,
}

impl Exec {
    /// A pool of mode `Exec` with its runner.
    fn of(concurrency: u32) -> Self {
        let (mut runs, now) = (Runs::new(&Mode::Exec, concurrency), Instant::now());
        runs.runner_connected(RUNNER, now, &mut Effects::default());
        Self { runs, now }
    }

    fn take(&mut self, tag: Tag, limits: Limits) -> Effects {
        let mut effects = Effects::default();
        self.runs.take(tag, Box::new(work(limits)), self.now, &mut effects);
        effects
    }

    fn says(&mut self, frame: FromRunner, payload: &'static [u8]) -> Effects {
        let mut effects = Effects::default();
        self.runs.runner_says(frame, &Bytes::from_static(payload), self.now, &mut effects);
        effects
    }

    fn after(&mut self, seconds: u64) -> Effects {
        let mut effects = Effects::default();
        self.now += Duration::from_secs(seconds);
        self.runs.tick(self.now, &mut effects);
        effects
    }
}

#[test]
fn a_task_is_started_with_its_arguments_and_ends_with_what_it_printed() {
    let mut exec = Exec::of(1);
    let effects = exec.take(7, Limits::default());
    let start = &sent(&effects, RUNNER)[0]["start"];
    assert_eq!(start["command"], serde_json::json!(["add", "1", "two"]));
    let end = Exited { output: 1, ..end(1, Status::Code(0), "") };
    let effects = exec.says(FromRunner::Exited(end), b"3");
    assert_eq!(outcomes(&effects), [(7, Outcome::Success(Bytes::from_static(b"3")))]);
    assert!(exec.runs.is_empty());
}

#[test]
fn a_process_says_how_far_it_is_by_a_line_of_json() {
    let mut exec = Exec::of(1);
    assert_eq!(sent(&exec.take(7, Limits::default()), RUNNER)[0]["start"]["progress"], true);
    let mut said = |line: &'static str, process| {
        let effects = exec.says(FromRunner::Progress { process }, line.as_bytes());
        let told = effects.progress.into_iter();
        told.map(|told| (told.tag, told.state, told.meta)).collect::<Vec<_>>()
    };
    let meta = Bytes::from_static(br#"{"done":  NaN}"#);
    let loading = (7, "LOADING".to_owned(), meta);
    assert_eq!(said("{\"state\": \"LOADING\", \"meta\": {\"done\":  NaN}}\n", 1), [loading]);
    assert_eq!(said(r#"{"state": "S"}"#, 1), [(7, "S".to_owned(), Bytes::from_static(b"null"))]);
    for none in ["done", r#"{"meta": 1}"#, r#"{"state": 1}"#] {
        assert_eq!(said(none, 1), [], "{none}");
    }
    assert_eq!(said(r#"{"state": "S"}"#, 2), [], "there is no such process");
}

#[test]
fn no_more_tasks_run_than_the_pool_allows() {
    let mut exec = Exec::of(2);
    for tag in 0..3 {
        exec.take(tag, Limits::default());
    }
    assert_eq!(exec.runs.count(), (3, 2));
    let effects = exec.says(exited(1, Status::Code(0), ""), b"");
    assert_eq!(sent(&effects, RUNNER).len(), 1, "the third starts when the first has ended");
}

#[test]
fn nothing_is_fetched_without_a_runner() {
    let mut runs = Runs::new(&Mode::Exec, 4);
    assert_eq!(runs.wants(), 0);
    runs.runner_connected(RUNNER, Instant::now(), &mut Effects::default());
    assert_eq!(runs.wants(), 4);
}

#[test]
fn a_soft_limit_asks_and_a_hard_limit_kills() {
    let mut exec = Exec::of(1);
    exec.take(7, Limits { soft: Some(1.0), hard: Some(3.0) });
    let signal = |effects: &Effects| sent(effects, RUNNER)[0]["signal"]["signal"].clone();
    assert_eq!(signal(&exec.after(1)), 15);
    assert_eq!(signal(&exec.after(2)), 9);
    let effects = exec.says(exited(1, Status::Signal(9), ""), b"");
    assert_eq!(outcomes(&effects), [(7, Outcome::HardTimeLimit(3.0))]);
}

#[test]
fn a_task_that_ends_by_itself_after_its_soft_limit_has_exceeded_it() {
    let mut exec = Exec::of(1);
    exec.take(7, Limits { soft: Some(1.0), hard: None });
    exec.after(1);
    let effects = exec.says(exited(1, Status::Code(1), "cleaning up"), b"");
    assert_eq!(outcomes(&effects), [(7, Outcome::SoftTimeLimit(Some("cleaning up".to_owned())))]);
}

#[test]
fn a_container_that_dies_is_the_end_of_what_had_started() {
    let mut exec = Exec::of(1);
    exec.take(1, Limits::default());
    exec.take(2, Limits::default());
    let mut effects = Effects::default();
    exec.runs.disconnected(RUNNER, false, exec.now, &mut effects);
    assert_eq!(outcomes(&effects), [(1, Outcome::WorkerLost("the task's container has ended".to_owned()))]);
    assert_eq!(exec.runs.count(), (1, 0), "the one that waited waits on");
}

#[test]
fn a_pause_of_the_worker_itself_is_not_the_tasks_fault() {
    let mut exec = Exec::of(1);
    exec.take(1, Limits::default());
    let mut effects = Effects::default();
    exec.runs.disconnected(RUNNER, true, exec.now, &mut effects);
    assert_eq!(outcomes(&effects), [(1, Outcome::Returned)]);
}

#[test]
fn what_the_runner_killed_because_we_were_silent_is_not_the_tasks_fault() {
    let mut exec = Exec::of(1);
    exec.take(1, Limits::default());
    let end = Exited { abandoned: true, ..end(1, Status::Signal(9), "") };
    assert_eq!(outcomes(&exec.says(FromRunner::Exited(end), b"")), [(1, Outcome::Returned)]);
}

#[test]
fn a_drain_gives_back_what_waits_and_lets_the_rest_end() {
    let mut exec = Exec::of(1);
    exec.take(1, Limits::default());
    exec.take(2, Limits::default());
    let mut effects = Effects::default();
    exec.runs.drain(exec.now, &mut effects);
    assert_eq!(outcomes(&effects), [(2, Outcome::Returned)]);
    assert_eq!((exec.runs.wants(), exec.runs.is_empty()), (0, false));
    exec.says(exited(1, Status::Code(0), ""), b"");
    assert!(exec.runs.is_empty());
}

#[test]
fn a_lost_lease_kills_everything_and_settles_nothing() {
    let mut exec = Exec::of(1);
    exec.take(1, Limits::default());
    let mut effects = Effects::default();
    exec.runs.abandon(&mut effects);
    assert_eq!(sent(&effects, RUNNER), [serde_json::to_value(ToRunner::KillAll {}).unwrap()]);
    let late = exec.says(exited(1, Status::Signal(9), ""), b"");
    assert!(late.ended.is_empty(), "a late end of a forgotten attempt is nobody's");
}

#[test]
fn a_message_that_nobody_can_run_goes_back_after_a_while() {
    let mut exec = Exec::of(1);
    exec.take(1, Limits::default());
    exec.take(2, Limits::default());
    assert!(exec.after(0).ended.is_empty());
    assert_eq!(outcomes(&exec.after(1)), [(2, Outcome::Returned)]);
}

struct Served {
    runs: Runs,
    now: Instant,
    words: Vec<String>,
    next_peer: Peer,
}

impl Served {
    /// A pool of mode `Serve` with its runner.
    fn of(concurrency: u32) -> Self {
        let mode = Mode::Serve { command: vec!["handler".to_owned()] };
        let runs = Runs::new(&mode, concurrency);
        let mut served = Self { runs, now: Instant::now(), words: Vec::new(), next_peer: 10 };
        let mut effects = Effects::default();
        served.runs.runner_connected(RUNNER, served.now, &mut effects);
        served.learn(&effects);
        served
    }

    /// Keeps the words of the handlers that the runner was told to start.
    fn learn(&mut self, effects: &Effects) {
        for frame in sent(effects, RUNNER) {
            if let Some(word) = frame["start"]["env"][0][1].as_str() {
                self.words.push(word.to_owned());
            }
        }
    }

    fn hello(&mut self, word: usize, concurrency: u32, prefetch: u32) -> Peer {
        let peer = self.next_peer;
        self.next_peer += 1;
        let hello = Hello {
            version: petiole_contract::VERSION,
            handler: self.words[word].clone(),
            concurrency,
            prefetch,
            accept: Vec::new(),
        };
        let mut effects = Effects::default();
        assert!(self.runs.handler_connected(peer, &hello, self.now, &mut effects));
        self.learn(&effects);
        peer
    }

    fn take(&mut self, tag: Tag) -> Effects {
        let mut effects = Effects::default();
        self.runs.take(tag, Box::new(work(Limits { soft: None, hard: Some(60.0) })), self.now, &mut effects);
        effects
    }

    fn says(&mut self, frame: FromHandler) -> Effects {
        let mut effects = Effects::default();
        self.runs.handler_says(frame, Bytes::new(), self.now, &mut effects);
        self.runs.give(self.now, &mut effects);
        effects
    }

    fn tick(&mut self, after: Duration) -> Effects {
        let mut effects = Effects::default();
        self.now += after;
        self.runs.tick(self.now, &mut effects);
        self.runs.give(self.now, &mut effects);
        effects
    }
}

#[test]
fn the_first_hello_says_how_many_handlers_there_must_be() {
    let mut single = Served::of(3);
    single.hello(0, 1, 0);
    assert_eq!(single.words.len(), 3);
    let mut threaded = Served::of(3);
    threaded.hello(0, 8, 0);
    assert_eq!(threaded.words.len(), 1);
}

#[test]
fn a_handler_that_nobody_started_is_turned_away() {
    let mut served = Served::of(1);
    let hello =
        Hello { version: 1, handler: "stranger".to_owned(), concurrency: 1, prefetch: 0, accept: Vec::new() };
    assert!(!served.runs.handler_connected(99, &hello, served.now, &mut Effects::default()));
}

#[test]
fn runs_go_to_the_handler_that_has_the_least() {
    let mut served = Served::of(2);
    let (first, second) = (served.hello(0, 1, 4), served.hello(1, 1, 4));
    let one = served.take(1);
    let two = served.take(2);
    assert_eq!((sent(&one, first).len(), sent(&two, second).len()), (1, 1));
}

#[test]
fn the_death_of_a_handler_costs_only_what_had_started() {
    let mut served = Served::of(1);
    served.hello(0, 1, 4);
    served.take(1);
    served.take(2);
    served.says(FromHandler::Started { attempt: 1 });
    let mut effects = Effects::default();
    served.runs.runner_says(exited(1, Status::Signal(11), ""), &Bytes::new(), served.now, &mut effects);
    let lost = Outcome::WorkerLost("the handler was ended by signal 11".to_owned());
    assert_eq!(outcomes(&effects), [(1, lost)]);
    assert_eq!(served.runs.count(), (1, 0));
}

#[test]
fn a_hard_limit_costs_the_handler_but_not_its_other_tasks() {
    let mut served = Served::of(2);
    served.hello(0, 2, 0);
    served.take(1);
    served.take(2);
    served.says(FromHandler::Started { attempt: 1 });
    served.now += Duration::from_secs(30);
    served.says(FromHandler::Started { attempt: 2 });
    let killed = served.tick(Duration::from_secs(30));
    assert_eq!(sent(&killed, RUNNER)[0]["signal"]["signal"], 9);
    let mut effects = Effects::default();
    served.runs.runner_says(exited(1, Status::Signal(9), ""), &Bytes::new(), served.now, &mut effects);
    let mut ended = outcomes(&effects);
    ended.sort_by_key(|(tag, _)| *tag);
    assert_eq!(ended, [(1, Outcome::HardTimeLimit(60.0)), (2, Outcome::Returned)]);
}

#[test]
fn what_was_given_ahead_to_a_handler_that_hangs_is_called_back() {
    let mut served = Served::of(1);
    let peer = served.hello(0, 1, 4);
    served.take(1);
    served.take(2);
    served.says(FromHandler::Started { attempt: 1 });
    let effects = served.tick(Duration::from_millis(300));
    assert_eq!(
        sent(&effects, peer),
        [serde_json::to_value(ToHandler::Recall { attempts: vec![2] }).unwrap()]
    );
    served.says(FromHandler::Recalled { attempts: vec![2] });
    let effects = served.tick(Duration::from_secs(1));
    assert_eq!(outcomes(&effects), [(2, Outcome::Returned)]);
}

#[test]
fn after_a_lost_lease_nothing_is_given_to_a_handler_that_is_being_killed() {
    let mut served = Served::of(1);
    let peer = served.hello(0, 1, 4);
    let mut effects = Effects::default();
    served.runs.abandon(&mut effects);
    assert!(sent(&served.take(1), peer).is_empty());
    assert!(!served.runs.ready(), "until a new handler says hello");
}

#[test]
fn a_handler_with_more_room_than_the_pool_gets_no_more_than_the_pool_allows() {
    let mut served = Served::of(2);
    let peer = served.hello(0, 8, 64);
    let given: usize = (1..=3).map(|tag| sent(&served.take(tag), peer).len()).sum();
    assert_eq!(given, 2);
}

#[test]
fn quick_tasks_are_fetched_in_batches() {
    let mut served = Served::of(1);
    served.hello(0, 1, 256);
    for attempt in 1..=3 {
        served.take(attempt);
        served.says(FromHandler::Started { attempt });
        served.now += Duration::from_micros(50);
        served.says(FromHandler::Result(RunResult { attempt, ..RunResult::default() }));
    }
    assert!(served.runs.wants() >= 64, "wants {}", served.runs.wants());
}

#[test]
fn what_has_started_is_counted_until_it_ends_or_is_abandoned() {
    let mut served = Served::of(2);
    served.hello(0, 1, 4);
    served.hello(1, 1, 4);
    for tag in 1..=3 {
        served.take(tag);
    }
    served.says(FromHandler::Started { attempt: 1 });
    served.says(FromHandler::Started { attempt: 1 });
    served.says(FromHandler::Started { attempt: 2 });
    assert_eq!(served.runs.count(), (3, 2));
    served.says(FromHandler::Result(RunResult { attempt: 1, ..RunResult::default() }));
    served.says(FromHandler::Result(RunResult { attempt: 3, ..RunResult::default() }));
    assert_eq!(served.runs.count(), (1, 1));
    served.runs.abandon(&mut Effects::default());
    assert_eq!(served.runs.count(), (0, 0));
}

#[test]
fn a_handler_that_gives_back_what_it_has_started_does_not_make_it_run_twice() {
    let mut served = Served::of(1);
    let peer = served.hello(0, 1, 4);
    served.take(1);
    served.says(FromHandler::Started { attempt: 1 });
    let effects = served.says(FromHandler::Recalled { attempts: vec![1] });
    assert!(sent(&effects, peer).is_empty());
    assert_eq!(served.runs.count(), (1, 1));
}
