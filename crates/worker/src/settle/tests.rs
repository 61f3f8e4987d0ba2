//! What follows from endings, and from the answers to their commits.

mod unlock;

use std::sync::Arc;

use petiole_broker::{Outgoing, Refusal, Settled, Target};
use petiole_contract::instead::Retry;
use petiole_contract::pool::{RetryPolicy, Task};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::json::Object;
use petiole_protocol::message::Arguments;
use petiole_results::chord::ChordClaim;

use super::*;
use crate::outcome::Again;
use crate::settle::Next;
use crate::work::{Limits, Plan};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn settle() -> Settle {
    settle_with(&[])
}

/// The same of a pool with these members in its file.
fn settle_with(more: &[(&str, serde_json::Value)]) -> Settle {
    let mut pool = serde_json::json!({
        "namespace": "", "name": "p", "mode": "exec", "concurrency": 1, "tasks": {}, "defaults": {},
        "broker": {"url": {"value": "redis://broker"}},
        "results": {"store": {"url": {"value": "redis://results"}}, "expires": 60, "extended": false},
        "routes": [],
        "queues": [{"name": "mail", "prioritySteps": [0], "visibilityTimeout": 3600, "deadLetter": "dead"}],
    });
    for (member, value) in more {
        *pool.pointer_mut(member).unwrap() = value.clone();
    }
    let pool = serde_json::from_value(pool).unwrap();
    Settle::new(&pool, "celery@a".to_owned(), "life".to_owned()).unwrap()
}

fn signature(task: &str, id: &str) -> String {
    format!(
        r#"{{"task": "{task}", "args": [], "kwargs": {{}}, "options": {{"task_id": "{id}"}}, "subtask_type": null, "immutable": false}}"#
    )
}

fn work(embed: &str, headers: &str, task: Task) -> Box<Work> {
    let raw = format!(
        r#"{{"body": "[[], {{}}, {{{embed}}}]", "content-type": "application/json", "headers": {{"task": "a", "id": "1"{headers}}}, "properties": {{"delivery_tag": "t"}}}}"#,
        embed = embed.replace('"', "\\\""),
    );
    let envelope = Envelope::from_redis(raw.as_bytes()).unwrap();
    let raw = task.acks_early.then(|| envelope.to_redis());
    Box::new(Work {
        queue: 0,
        message: Message::read(&envelope).unwrap(),
        retry: task.retry.clone().map(Arc::new).unwrap_or_default(),
        plan: Arc::new(Plan::new(task, Vec::new())),
        limits: Limits::default(),
        mapping: None,
        last_chance: false,
        raw,
    })
}

fn ended(work: Box<Work>, outcome: Outcome) -> Ended {
    Ended { tag: 7, work, outcome, took: Some(Duration::from_secs(1)) }
}

fn end(work: Box<Work>, outcome: Outcome) -> (Step, Verdict) {
    settle().ended(ended(work, outcome), NOW)
}

fn success(work: Box<Work>, value: &'static str) -> Step {
    end(work, Outcome::Success(Bytes::from_static(value.as_bytes()))).0
}

fn in_chord() -> Box<Work> {
    let chord = format!(r#""chord": {}"#, signature("body", "b"));
    work(&chord, r#", "group": "g", "group_index": 0"#, Task::default())
}

fn status(record: &Record) -> (&str, &str) {
    let status = record.document.split('"').nth(3).unwrap();
    (record.task_id.as_str(), status)
}

fn sent(settlement: &Settlement) -> Vec<(String, String)> {
    let read = |send: &Outgoing| {
        let envelope = Envelope::from_redis(&send.message).unwrap();
        let message = Message::read(&envelope).unwrap();
        (message.id.clone(), message.args().to_owned())
    };
    settlement.sends.iter().map(read).collect()
}

fn claim() -> ChordClaim {
    ChordClaim { group: "g".to_owned(), token: "t".to_owned() }
}

fn next(next: Next) -> Step {
    match next {
        Next::Step(step) => *step,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_without_follow_ups_is_settled_by_one_commit() {
    let Step { settlement, ending, .. } = success(work("", "", Task::default()), "3");
    assert!(ending.is_none());
    assert_eq!(settlement.disposition, Disposition::Ack);
    assert_eq!(status(&settlement.records[0]), ("1", "SUCCESS"));
}

#[test]
fn a_callback_is_sent_with_the_value_to_the_queue_of_its_task() {
    let link = format!(r#""callbacks": [{}]"#, signature("b", "2"));
    let Step { settlement, .. } = success(work(&link, "", Task::default()), "3");
    assert_eq!(sent(&settlement), [("2".to_owned(), "[3]".to_owned())]);
    assert_eq!(settlement.sends[0].to, Target::Queue("mail".to_owned()));
    assert!(settlement.records[0].document.contains(r#""children": [[["2", null], null]]"#));
}

#[test]
fn a_callback_that_names_no_queue_goes_where_its_route_leads() {
    let routed = settle_with(&[("/routes", serde_json::json!([{ "task": "b*", "queue": "letters" }]))]);
    let link = format!(r#""callbacks": [{}, {}]"#, signature("b.c", "2"), signature("c", "3"));
    let ending = ended(work(&link, "", Task::default()), Outcome::Success(Bytes::from_static(b"3")));
    let (Step { settlement, .. }, _) = routed.ended(ending, NOW);
    let to: Vec<_> = settlement.sends.iter().map(|send| &send.to).collect();
    assert_eq!(to, [&Target::Queue("letters".to_owned()), &Target::Queue("mail".to_owned())]);
}

#[test]
fn a_task_that_is_tried_again_stays_in_its_queue() {
    let routed = settle_with(&[("/routes", serde_json::json!([{ "task": "*", "queue": "letters" }]))]);
    let early = work("", "", Task { acks_early: true, ..Task::default() });
    let (Step { settlement, .. }, _) = routed.ended(ended(early, Outcome::Retry(Box::default())), NOW);
    assert_eq!(settlement.sends[0].to, Target::Queue("mail".to_owned()));
}

#[test]
fn an_extended_document_says_what_its_task_was_called_with_and_by_whom_it_was_run() {
    let extended = settle_with(&[("/results/extended", serde_json::json!(true))]);
    let tells = |settlement: &Settlement| {
        let document: serde_json::Value = serde_json::from_str(&settlement.records[0].document).unwrap();
        let members = ["status", "name", "args", "kwargs", "worker", "retries", "queue", "parent_id"];
        members.map(|member| document[member].clone())
    };
    let expected = |status: &str| {
        let members = serde_json::json!([status, "a", [], {}, "celery@a", 2, "mail", "p"]);
        <[serde_json::Value; 8]>::try_from(members.as_array().unwrap().clone()).unwrap()
    };
    let work = |task: Task| work("", r#", "retries": 2, "parent_id": "p""#, task);
    let tracked = work(Task { track_started: true, ..Task::default() });
    let started = Started { tag: 7, work: tracked, pid: Some(40), begins: true };
    assert_eq!(tells(&extended.started(&started).unwrap()), expected("STARTED"));
    for (outcome, status) in [
        (Outcome::Success(Bytes::from_static(b"3")), "SUCCESS"),
        (Outcome::Failure(Exception::new("m", "K", "x")), "FAILURE"),
        (Outcome::Retry(Box::default()), "RETRY"),
        (Outcome::Rejected { requeue: false }, "FAILURE"),
    ] {
        let (Step { settlement, .. }, _) = extended.ended(ended(work(Task::default()), outcome), NOW);
        assert_eq!(tells(&settlement), expected(status));
    }
    let revoked = crate::run::Revoked { tag: 7, work: work(Task::default()), signal: None };
    assert_eq!(tells(&extended.revoked(revoked, NOW).settlement), expected("REVOKED"));
}

#[test]
fn a_step_that_does_not_run_is_told_of_with_its_arguments() {
    let extended = settle_with(&[("/results/extended", serde_json::json!(true))]);
    let chain = format!(r#""chain": [{}]"#, signature("b", "2"));
    let failed = Outcome::Failure(Exception::new("m", "K", "x"));
    let (Step { settlement, .. }, _) = extended.ended(ended(work(&chain, "", Task::default()), failed), NOW);
    let step = settlement.records.iter().find(|record| record.task_id == "2").unwrap();
    assert!(
        step.document.contains(r#""name": "b", "args": [], "kwargs": {}, "worker": null"#),
        "{}",
        step.document
    );
}

#[test]
fn a_canvas_that_cannot_be_read_fails_its_task() {
    let Step { settlement, .. } = success(work(r#""callbacks": [7]"#, "", Task::default()), "3");
    assert_eq!(status(&settlement.records[0]), ("1", "FAILURE"));
    assert_eq!(settlement.disposition, Disposition::Ack);
}

#[test]
fn the_part_that_completes_a_chord_sends_its_body_and_is_acknowledged_with_it() {
    let Step { settlement, ending, .. } = success(in_chord(), "3");
    assert_eq!(settlement.chord.as_ref().unwrap().member, r#"[1, "1", "SUCCESS", 3]"#);
    assert_eq!(settlement.disposition, Disposition::Ack);
    let Next::Join(ending, complete) =
        settle().answered(ending.unwrap(), Settled::ChordComplete(claim()), NOW)
    else {
        panic!("the header is read first");
    };
    let joined = Joined::Values(vec!["3".to_owned(), "4".to_owned()]);
    let Step { settlement, ending, .. } = next(settle().joined(ending, complete, &joined, NOW));
    assert_eq!(sent(&settlement), [("b".to_owned(), "[[3, 4]]".to_owned())]);
    assert_eq!(settlement.finish, Some(claim()));
    assert_eq!((settlement.chord, settlement.disposition), (None, Disposition::Ack));
    assert!(matches!(settle().answered(ending.unwrap(), Settled::Done, NOW), Next::Over));
}

#[test]
fn a_part_that_completes_nothing_is_over_when_it_is_counted() {
    let Step { ending, .. } = success(in_chord(), "3");
    assert!(matches!(settle().answered(ending.unwrap(), Settled::Done, NOW), Next::Over));
}

#[test]
fn who_loses_the_claim_gives_the_message_up_without_a_body() {
    let Step { ending, .. } = success(in_chord(), "3");
    let Next::Join(ending, complete) =
        settle().answered(ending.unwrap(), Settled::ChordComplete(claim()), NOW)
    else {
        panic!("the header is read first");
    };
    let Step { settlement, .. } = next(settle().joined(ending, complete, &Joined::ClaimLost, NOW));
    assert_eq!(settlement, Settlement::new(7, Disposition::Ack));
}

#[test]
fn what_cannot_be_sent_fails_its_task_and_then_nothing_more_is_sent() {
    let link = format!(r#""callbacks": [{}], "errbacks": [{}]"#, signature("b", "2"), signature("c", "3"));
    let Step { settlement, ending, .. } = success(work(&link, "", Task::default()), "3");
    assert_eq!(settlement.sends.len(), 1);
    let refused = || Settled::Refused(Refusal::WrongKey("k".to_owned()));
    let Step { settlement, ending, .. } = next(settle().answered(ending.unwrap(), refused(), NOW));
    assert_eq!(status(&settlement.records[0]), ("1", "FAILURE"));
    assert_eq!(sent(&settlement), [("3".to_owned(), r#"["1"]"#.to_owned())]);
    let Step { settlement, ending, .. } = next(settle().answered(ending.unwrap(), refused(), NOW));
    assert!(settlement.sends.is_empty() && settlement.disposition == Disposition::Ack);
    assert!(matches!(settle().answered(ending.unwrap(), Settled::Done, NOW), Next::Over));
}

#[test]
fn a_retry_is_recorded_with_its_reason_and_parked() {
    let why = Exception::new("builtins", "OSError", "busy");
    let outcome =
        Outcome::Retry(Box::new(Again { asked: Retry { countdown: Some(5.0), max: None }, ..why.into() }));
    let Step { settlement, .. } = end(work("", "", Task::default()), outcome).0;
    let until = Timestamp::from_second(5).unwrap();
    assert_eq!(settlement.disposition, Disposition::Retry { until, retries: 1, body: None });
    assert_eq!(status(&settlement.records[0]), ("1", "RETRY"));
    assert!(settlement.records[0].document.contains(r#""children": [[["1", null], null]]"#));
}

fn with_args(args: &str) -> Outcome {
    let arguments = Arguments { args: Some(args.to_owned()), kwargs: None };
    Outcome::Retry(Box::new(Again { arguments, ..Again::default() }))
}

#[test]
fn a_retry_may_change_what_its_task_is_called_with() {
    let parked = end(work("", "", Task::default()), with_args("[2]")).0.settlement.disposition;
    assert!(matches!(parked, Disposition::Retry { retries: 1, body: Some(_), .. }));
    let task = Task { acks_early: true, ..Task::default() };
    let again = end(work("", "", task), with_args("[2]")).0.settlement;
    assert_eq!(sent(&again), [("1".to_owned(), "[2]".to_owned())]);
    let policy = RetryPolicy { max: Some(0), ..RetryPolicy::default() };
    let task = Task { retry: Some(policy), ..Task::default() };
    let Verdict::Failed(exhausted) = end(work("", "", task), with_args("[2]")).1 else { panic!("no tries") };
    assert!(exhausted.to_json().contains("args:[2]"), "{}", exhausted.to_json());
}

#[test]
fn a_retry_of_a_message_that_was_acknowledged_early_sends_it_again() {
    let task = Task { acks_early: true, ..Task::default() };
    let outcome = Outcome::Retry(Box::default());
    let Step { settlement, .. } = end(work("", "", task), outcome).0;
    assert_eq!(settlement.disposition, Disposition::Acked);
    let again = Message::read(&Envelope::from_redis(&settlement.sends[0].message).unwrap()).unwrap();
    assert_eq!((again.retries, again.eta), (1, Timestamp::from_second(180).ok()));
}

#[test]
fn with_no_tries_left_the_reason_is_the_end() {
    let ends_with = |why: Option<Exception>| {
        let task =
            Task { retry: Some(RetryPolicy { max: Some(0), ..RetryPolicy::default() }), ..Task::default() };
        let outcome = Outcome::Retry(Box::new(Again { why, ..Again::default() }));
        let (Step { mut settlement, .. }, verdict) = end(work("", "", task), outcome);
        assert_eq!(settlement.disposition, Disposition::Ack);
        assert!(matches!(verdict, Verdict::Failed(_)));
        let document = settlement.records.remove(0).document;
        Object::read(document.as_bytes()).unwrap().get("result").unwrap().to_owned()
    };
    assert!(ends_with(Some(Exception::new("builtins", "OSError", "busy"))).contains("OSError"));
    let exhausted = ends_with(None);
    assert!(exhausted.contains("MaxRetriesExceededError") && exhausted.contains("Can't retry a[1] args:[]"));
}

#[test]
fn an_error_that_the_policy_names_is_tried_again() {
    let policy = RetryPolicy { errors: vec!["OSError".to_owned()], ..RetryPolicy::default() };
    let task = Task { retry: Some(policy), ..Task::default() };
    let outcome = Outcome::Failure(Exception::new("builtins", "OSError", "busy"));
    let Step { settlement, .. } = end(work("", "", task), outcome).0;
    assert!(matches!(settlement.disposition, Disposition::Retry { retries: 1, .. }));
}

#[test]
fn what_is_told_of_an_attempt_is_what_was_recorded() {
    let busy = || Exception::new("builtins", "OSError", "busy");
    let told = |embed: &str, outcome| end(work(embed, "", Task::default()), outcome).1;
    assert_eq!(told("", Outcome::Success("3".into())), Verdict::Succeeded("3".into()));
    assert_eq!(told("", Outcome::Retry(Box::new(busy().into()))), Verdict::Retried(busy()));
    assert_eq!(told("", Outcome::Returned), Verdict::Silent);
    // Its value could not be handed on.
    let no_callback = told(r#""callbacks": [{"task": 1}]"#, Outcome::Success("3".into()));
    assert!(matches!(no_callback, Verdict::Failed(_)), "{no_callback:?}");
}

#[test]
fn a_rejected_message_is_kept_and_an_ignored_one_forgotten() {
    let end = |outcome| end(work("", "", Task::default()), outcome).0.settlement;
    let rejected = end(Outcome::Rejected { requeue: false });
    assert!(matches!(rejected.disposition, Disposition::DeadLetter(_)));
    assert_eq!(status(&rejected.records[0]), ("1", "FAILURE"));
    assert_eq!(end(Outcome::Rejected { requeue: true }), Settlement::new(7, Disposition::Requeue));
    assert_eq!(end(Outcome::Ignored), Settlement::new(7, Disposition::Ack));
}

#[test]
fn what_replaces_a_task_is_sent_in_its_name_and_nothing_is_recorded() {
    let chain = format!(r#""chain": [{}]"#, signature("next", "2"));
    let replaced = |by: &str| {
        let outcome = Outcome::Replaced(by.to_owned().into());
        end(work(&chain, "", Task::default()), outcome)
    };
    let (Step { settlement, .. }, verdict) = replaced(r#"{"task": "b", "args": [5]}"#);
    assert_eq!(sent(&settlement), [("1".to_owned(), "[5]".to_owned())]);
    assert_eq!((settlement.records.len(), settlement.disposition), (0, Disposition::Ack));
    assert_eq!(verdict, Verdict::Silent);
    for none in ["", "7", r#"{"task": "b", "options": {"chord": {}}}"#] {
        let (Step { settlement, .. }, _) = replaced(none);
        assert_eq!(status(&settlement.records[0]), ("1", "FAILURE"), "{none}");
        assert!(settlement.sends.is_empty());
    }
}

#[test]
fn a_part_of_a_chord_that_is_replaced_is_counted_by_what_replaces_it() {
    let outcome = Outcome::Replaced(Bytes::from_static(br#"{"task": "b"}"#));
    let settlement = end(in_chord(), outcome).0.settlement;
    assert_eq!(settlement.chord, None);
    let sent = Message::read(&Envelope::from_redis(&settlement.sends[0].message).unwrap()).unwrap();
    assert_eq!((sent.group.as_deref(), sent.group_index), (Some("g"), Some(0)));
    assert!(sent.follow_ups().chord.is_some() && sent.replaced_task_nesting == 1);
}

#[test]
fn a_part_of_a_chord_counts_with_what_it_adds() {
    let added = vec![Bytes::from_static(br#"{"task": "b", "options": {"task_id": "2"}}"#)];
    let adding = |work| end(work, Outcome::Adding(Bytes::from_static(b"3"), added.clone())).0.settlement;
    let settlement = adding(in_chord());
    assert_eq!(sent(&settlement), [("2".to_owned(), "[]".to_owned())]);
    assert_eq!(settlement.chord.unwrap().adds, ["2"]);
    assert!(settlement.records[0].document.contains(r#""children": [[["2", null], null]]"#));
    let alone = adding(work("", "", Task::default()));
    assert_eq!(status(&alone.records[0]), ("1", "FAILURE"));
    assert!(alone.sends.is_empty());
}

#[test]
fn what_cannot_be_added_to_a_chord_fails_as_its_parts() {
    let added = vec![Bytes::from_static(br#"{"task": "b", "options": {"task_id": "2"}}"#)];
    let (Step { ending, .. }, _) = end(in_chord(), Outcome::Adding(Bytes::from_static(b"3"), added));
    let refused = Settled::Refused(Refusal::WrongKey("k".to_owned()));
    let Step { settlement, ending, .. } = next(settle().answered(ending.unwrap(), refused, NOW));
    let own = settlement.chord.unwrap();
    assert!(own.member.contains("FAILURE") && own.adds == ["2"], "{own:?}");
    assert_eq!(settlement.disposition, Disposition::Keep);
    let Step { settlement, .. } = next(settle().answered(ending.unwrap(), Settled::Done, NOW));
    let part = settlement.chord.unwrap();
    assert!(part.task_id == "2" && part.member.contains("FAILURE"), "{part:?}");
    assert_eq!(settlement.disposition, Disposition::Ack);
}

#[test]
fn progress_is_a_state_that_says_no_end() {
    let progress = |state: &str, meta: &'static str| {
        let work = work("", "", Task::default());
        let progress =
            Progress { tag: 7, work, state: state.to_owned(), meta: Bytes::from_static(meta.as_bytes()) };
        settle().progress(&progress)
    };
    let settlement = progress("LOADING", r#"{"done": 1}"#).unwrap().unwrap();
    assert_eq!(settlement.disposition, Disposition::Keep);
    assert_eq!(status(&settlement.records[0]), ("1", "LOADING"));
    assert_eq!(settlement.records[0].precedence, Precedence::Progress);
    assert!(progress("SUCCESS", "1").unwrap_err().contains("says no end"));
    assert!(progress("", "1").is_err() && progress("LOADING", "{").is_err());
}

fn revoked(work: Box<Work>, signal: Option<i32>) -> Settlement {
    settle().revoked(crate::run::Revoked { tag: 7, work, signal }, NOW).settlement
}

#[test]
fn a_revoked_part_of_a_chord_is_counted_and_its_chain_does_not_go_on() {
    let embed = format!(
        r#""chord": {}, "chain": [{}], "errbacks": [{}]"#,
        signature("body", "b"),
        signature("next", "2"),
        signature("told", "3")
    );
    let work = work(&embed, r#", "group": "g", "group_index": 0"#, Task::default());
    let settlement = revoked(work, None);
    assert_eq!(status(&settlement.records[0]), ("1", "REVOKED"));
    assert!(settlement.chord.is_some());
    assert!(sent(&settlement).is_empty());
    assert_eq!(settlement.disposition, Disposition::Ack);
}

#[test]
fn a_terminated_task_that_was_acknowledged_early_is_recorded_all_the_same() {
    let early = || work("", "", Task { acks_early: true, ..Task::default() });
    let settlement = revoked(early(), Some(15));
    assert_eq!(settlement.disposition, Disposition::Acked);
    assert!(settlement.records[0].document.contains("terminated"));
    // Before it has started its message is held.
    assert_eq!(revoked(early(), None).disposition, Disposition::Ack);
}

#[test]
fn a_revoked_task_whose_result_nobody_wants_has_no_record() {
    let ignored = work("", "", Task { ignore_result: true, ..Task::default() });
    assert!(revoked(ignored, Some(15)).records.is_empty());
}
