//! What the frames and documents look like outside, and what is let in. A change that fails here breaks the
//! handlers that people have written.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::control::{Exited, FromRunner, Output, Start, Status, ToRunner};
use crate::exec::{Report, Request, ResultForm, Verdict};
use crate::failure::Failure;
use crate::frame;
use crate::instead::{Instead, Reject, Retry};
use crate::serve::{FromHandler, Hello, PICKLE, Run, RunResult, ToHandler};

fn header<T: Serialize>(frame: &T) -> String {
    let mut buffer = Vec::new();
    frame::put(&mut buffer, frame, b"").unwrap();
    String::from_utf8(frame::cut(&buffer).unwrap().unwrap().header.to_vec()).unwrap()
}

fn read<T: DeserializeOwned>(header: &str) -> T {
    frame::read(header.as_bytes()).unwrap()
}

fn failure() -> Failure {
    Failure {
        kind: "ValueError".to_owned(),
        message: "bad".to_owned(),
        args: None,
        module: "builtins".to_owned(),
        traceback: None,
    }
}

#[test]
fn frames_to_a_handler_keep_their_spelling() {
    let run = Run { attempt: 7, id: "e3".into(), task: "add".into(), ..Run::default() };
    let headers: Box<RawValue> = serde_json::from_str(r#"{"traceparent":  "00-1"}"#).unwrap();
    for (frame, json) in [
        (ToHandler::Run(run.clone()), r#"{"run":{"attempt":7,"id":"e3","task":"add","retries":0}}"#),
        (
            ToHandler::Run(Run { redelivered: true, ..run.clone() }),
            r#"{"run":{"attempt":7,"id":"e3","task":"add","retries":0,"redelivered":true}}"#,
        ),
        (
            ToHandler::Run(Run {
                root_id: Some("e1".into()),
                parent_id: Some("e2".into()),
                headers: Some(&headers),
                ..run
            }),
            r#"{"run":{"attempt":7,"id":"e3","task":"add","retries":0,"root_id":"e1","parent_id":"e2","headers":{"traceparent":  "00-1"}}}"#,
        ),
        (ToHandler::Recall { attempts: vec![7, 8] }, r#"{"recall":{"attempts":[7,8]}}"#),
        (ToHandler::Cancel { attempt: 7 }, r#"{"cancel":{"attempt":7}}"#),
        (ToHandler::Drain {}, r#"{"drain":{}}"#),
        (ToHandler::Refused { reason: "old".into() }, r#"{"refused":{"reason":"old"}}"#),
    ] {
        assert_eq!(header(&frame), json);
        assert_eq!(header(&frame::read::<ToHandler<'_>>(json.as_bytes()).unwrap()), json);
    }
}

#[test]
fn the_frame_that_the_documentation_spells_out_is_right() {
    let page = include_str!("../../../docs/task-contract.md");
    let (_, example) = page.split_once("```hex\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let columns = example.lines().map(|line| line.split_once("   ").unwrap().0);
    let bytes: Vec<u8> =
        columns.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let mut buffer = Vec::new();
    frame::put(&mut buffer, &FromHandler::Result(RunResult { attempt: 7, ..RunResult::default() }), b"3")
        .unwrap();
    assert_eq!(bytes, buffer);
}

#[test]
fn frames_from_a_handler_keep_their_spelling() {
    for (frame, json) in [
        (
            FromHandler::Hello(Hello {
                version: 1,
                handler: "3".to_owned(),
                concurrency: 1,
                prefetch: 4,
                accept: Vec::new(),
            }),
            r#"{"hello":{"version":1,"handler":"3","concurrency":1,"prefetch":4}}"#,
        ),
        (
            FromHandler::Hello(Hello {
                version: 1,
                handler: "3".to_owned(),
                concurrency: 1,
                prefetch: 0,
                accept: vec![PICKLE.to_owned()],
            }),
            r#"{"hello":{"version":1,"handler":"3","concurrency":1,"prefetch":0,"accept":["pickle"]}}"#,
        ),
        (FromHandler::Started { attempt: 7 }, r#"{"started":{"attempt":7}}"#),
        (
            FromHandler::Result(RunResult { attempt: 7, ..RunResult::default() }),
            r#"{"result":{"attempt":7}}"#,
        ),
        (
            FromHandler::Result(RunResult { attempt: 7, error: Some(failure()), ..RunResult::default() }),
            r#"{"result":{"attempt":7,"error":{"type":"ValueError","message":"bad","module":"builtins"}}}"#,
        ),
        (
            FromHandler::Result(RunResult {
                attempt: 7,
                retry: Some(Retry { countdown: Some(1.5), max: Some(4) }),
                ..RunResult::default()
            }),
            r#"{"result":{"attempt":7,"retry":{"countdown":1.5,"max":4}}}"#,
        ),
        (
            FromHandler::Result(RunResult {
                attempt: 7,
                reject: Some(Reject { requeue: true }),
                ..RunResult::default()
            }),
            r#"{"result":{"attempt":7,"reject":{"requeue":true}}}"#,
        ),
        (
            FromHandler::Result(RunResult { attempt: 7, ignore: true, ..RunResult::default() }),
            r#"{"result":{"attempt":7,"ignore":true}}"#,
        ),
        (
            FromHandler::Result(RunResult { attempt: 7, replace: true, ..RunResult::default() }),
            r#"{"result":{"attempt":7,"replace":true}}"#,
        ),
        (
            FromHandler::Progress { attempt: 7, state: "PROGRESS".to_owned() },
            r#"{"progress":{"attempt":7,"state":"PROGRESS"}}"#,
        ),
        (FromHandler::AddToChord { attempt: 7 }, r#"{"add_to_chord":{"attempt":7}}"#),
        (FromHandler::Recalled { attempts: vec![8] }, r#"{"recalled":{"attempts":[8]}}"#),
    ] {
        assert_eq!(header(&frame), json);
        assert_eq!(read::<FromHandler>(json), frame);
    }
}

#[test]
fn a_peers_fields_that_we_do_not_know_are_ignored() {
    let run = r#"{"run":{"attempt":7,"new":{"a":[1]},"id":"e3","task":"a\u0064d"}}"#;
    assert_eq!(
        header(&frame::read::<ToHandler<'_>>(run.as_bytes()).unwrap()),
        r#"{"run":{"attempt":7,"id":"e3","task":"add","retries":0}}"#
    );
    let drain = frame::read::<ToHandler<'_>>(br#"{"drain":{"new":1}}"#).unwrap();
    assert_eq!(header(&drain), r#"{"drain":{}}"#);
    assert_eq!(
        read::<FromHandler>(r#"{"hello":{"version":1,"handler":"3","new":true}}"#),
        FromHandler::Hello(Hello {
            version: 1,
            handler: "3".to_owned(),
            concurrency: 1,
            prefetch: 0,
            accept: Vec::new()
        })
    );
    assert_eq!(
        read::<FromHandler>(
            r#"{"result":{"attempt":7,"new":1,"error":{"type":"ValueError","message":"bad","new":1}}}"#
        ),
        FromHandler::Result(RunResult { attempt: 7, error: Some(failure()), ..RunResult::default() })
    );
    assert_eq!(read::<ToRunner>(r#"{"kill_all":{"new":1}}"#), ToRunner::KillAll {});
    assert_eq!(
        read::<FromRunner>(r#"{"started":{"process":7,"new":1,"pid":12}}"#),
        FromRunner::Started { process: 7, pid: 12 }
    );
    assert_eq!(
        read::<FromRunner>(r#"{"exited":{"process":7,"new":1,"status":{"code":3}}}"#),
        FromRunner::Exited(Exited {
            process: 7,
            status: Status::Code(3),
            stderr: String::new(),
            cut: false,
            abandoned: false,
            output: 0,
        })
    );
    let start = r#"{"start":{"process":1,"command":["a"],"env":[["K","v"]],"output":"capture","label":"l","limit":9,"new":1}}"#;
    assert_eq!(
        read::<ToRunner>(start),
        ToRunner::Start(Start {
            process: 1,
            command: vec!["a".to_owned()],
            env: vec![("K".to_owned(), "v".to_owned())],
            output: Output::Capture,
            label: "l".to_owned(),
            limit: 9,
            progress: false,
        })
    );
    let report: Report = serde_json::from_str(r#"{"new":1,"result":[1,  2]}"#).unwrap();
    assert_eq!(report.result.unwrap().get(), "[1,  2]");
}

#[test]
fn a_header_of_two_frames_is_refused() {
    let two = br#"{"drain":{},"cancel":{"attempt":1}}"#;
    assert!(frame::read::<ToHandler<'_>>(two).is_err());
}

#[test]
fn a_failure_needs_only_its_type() {
    let short: Failure = serde_json::from_str(r#"{"type":"ValueError"}"#).unwrap();
    assert_eq!(short, Failure { message: String::new(), ..failure() });
    let long: Failure = serde_json::from_str(r#"{"type":"OSError","args":[2,"No such file"]}"#).unwrap();
    assert_eq!(long.args.unwrap(), [serde_json::json!(2), serde_json::json!("No such file")]);
}

#[test]
fn of_several_wishes_the_first_counts() {
    let report = |text: &str| serde_json::from_str::<Report>(text).unwrap().instead();
    let (retry, reject) = (Retry { countdown: None, max: None }, Reject { requeue: false });
    assert_eq!(report(r#"{"ignore":true,"reject":{},"retry":{}}"#), Some(Instead::Retry(retry)));
    assert_eq!(report(r#"{"ignore":true,"reject":{}}"#), Some(Instead::Reject(reject)));
    assert_eq!(report(r#"{"ignore":true,"replace":{}}"#), Some(Instead::Ignore));
    assert_eq!(report(r#"{"replace":{}}"#), Some(Instead::Replace));
    assert_eq!(report("{}"), None);
}

#[test]
fn a_request_carries_the_clients_text_as_it_is() {
    let request = Request {
        id: "e3",
        task: "say \"hi\"",
        args: b"[1,  NaN]",
        kwargs: br#"{"a": 12345678901234567890123}"#,
        retries: 2,
        redelivered: true,
        root_id: Some("e1"),
        parent_id: None,
        headers: Some(r#"{"traceparent": "00-1"}"#),
    };
    assert_eq!(
        String::from_utf8(request.to_json()).unwrap(),
        "{\"id\":\"e3\",\"task\":\"say \\\"hi\\\"\",\"retries\":2,\"redelivered\":true,\
         \"root_id\":\"e1\",\"parent_id\":null,\"headers\":{\"traceparent\": \"00-1\"},\
         \"args\":[1,  NaN],\"kwargs\":{\"a\": 12345678901234567890123}}\n"
    );
}

#[test]
fn exit_codes_and_result_forms_keep_their_meaning() {
    assert_eq!(
        [0, 75, 1, 2, 255].map(Verdict::of),
        [Verdict::Success, Verdict::Retry, Verdict::Failure, Verdict::Failure, Verdict::Failure]
    );
    for (form, text) in [
        (ResultForm::Json, r#""json""#),
        (ResultForm::Text, r#""text""#),
        (ResultForm::File, r#""file""#),
        (ResultForm::None, r#""none""#),
    ] {
        assert_eq!(serde_json::to_string(&form).unwrap(), text);
    }
}
