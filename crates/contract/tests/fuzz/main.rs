//! Every decoder of this crate under bytes that nobody meant: no panic, no answer that contradicts itself. See
//! [`petiole_testkit::fuzz`].
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use petiole_contract::control::{FromRunner, ToRunner};
use petiole_contract::exec::{MAX_ARGUMENT, Report};
use petiole_contract::frame::{self, FrameError};
use petiole_contract::serve::{FromHandler, Hello, Run, RunResult, ToHandler};
use petiole_contract::template::{Scope, Template};
use serde::{Deserialize, Serialize};

fn fuzz(target: &str, seeds: Vec<Vec<u8>>, outcome: impl Fn(&[u8]) -> String) {
    petiole_testkit::fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), target, seeds, outcome);
}

fn framed<T: Serialize>(header: &T, payload: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::new();
    frame::put(&mut buffer, header, payload).unwrap();
    buffer
}

/// Reads a header as one of the kinds. What was read is written so that it reads the same.
fn read<'a, T: Deserialize<'a> + Serialize>(header: &'a [u8]) -> Result<String, FrameError> {
    let frame: T = frame::read(header)?;
    let written = framed(&frame, b"");
    let again = frame::cut(&written).unwrap().unwrap();
    assert_eq!(again.taken, written.len());
    Ok(String::from_utf8(again.header.to_vec()).unwrap().split(':').next().unwrap().to_owned())
}

#[test]
fn any_bytes_are_frames_or_are_not() {
    let hello =
        Hello { version: 1, handler: "3".to_owned(), concurrency: 1, prefetch: 4, accept: Vec::new() };
    let run = Run { attempt: 7, id: "e3".into(), task: "add".into(), ..Run::default() };
    let failed = br#"{"result":{"attempt":7,"error":{"type":"ValueError","message":"bad","args":["bad",1],"module":"builtins","traceback":"at 1"}}}"#;
    let seeds = vec![
        framed(&FromHandler::Hello(hello), b""),
        framed(&FromHandler::Started { attempt: 7 }, b""),
        framed(&FromHandler::Result(RunResult { attempt: 7, ..RunResult::default() }), b"[1, {}]"),
        framed(&serde_json::from_slice::<serde_json::Value>(failed).unwrap(), b"3"),
        framed(&ToHandler::Run(run), b"[[1], {}]"),
        framed(&ToHandler::Recall { attempts: vec![7, 8] }, b""),
        framed(&ToRunner::Signal { process: 1, signal: 9 }, b""),
        framed(&ToRunner::Refused { reason: "old".to_owned() }, b""),
        [framed(&ToRunner::Alive {}, b""), framed(&FromRunner::Drain {}, b"")].concat(),
    ];
    fuzz("frame", seeds, |bytes| {
        let mut rest = bytes;
        let mut outcome = String::new();
        for _ in 0..8 {
            match frame::cut(rest) {
                Ok(Some(cut)) => {
                    assert_eq!(cut.taken, frame::PREFIX + cut.header.len() + cut.payload.len());
                    rest = &rest[cut.taken..];
                    let read = [
                        read::<FromHandler>(cut.header),
                        read::<ToHandler<'_>>(cut.header),
                        read::<FromRunner>(cut.header),
                        read::<ToRunner>(cut.header),
                    ];
                    for kind in read {
                        outcome += &kind.unwrap_or_else(|error| {
                            let why = std::error::Error::source(&error).map(ToString::to_string);
                            why.unwrap_or_default().chars().take(12).collect()
                        });
                    }
                }
                Ok(None) => return outcome + "more",
                Err(error) => return outcome + &error.to_string(),
            }
        }
        outcome
    });
}

#[test]
fn any_report_is_one_or_is_not() {
    let seeds = [
        r#"{"result": [1, {"a": null}]}"#,
        r#"{"error": {"type": "ValueError", "message": "bad", "module": "builtins", "traceback": "at 1"}, "retry": {"countdown": 1.5, "max": 4}}"#,
        r#"{"reject": {"requeue": true}, "ignore": true}"#,
    ];
    fuzz(
        "report",
        seeds.map(|seed| seed.as_bytes().to_vec()).to_vec(),
        |bytes| match serde_json::from_slice::<Report>(bytes) {
            Ok(report) => format!(
                "{} {} {:?}",
                report.result.is_some(),
                report.error.is_some(),
                report.instead().map(|instead| std::mem::discriminant(&instead))
            ),
            // What it found may be what was mutated.
            Err(error) => error.to_string().chars().take(12).collect(),
        },
    );
}

#[test]
fn any_text_is_a_template_or_is_not() {
    let scope = Scope {
        args: br#"["a b", 1.50, {"user": {"name": "n"}}, [1, [2]], null]"#,
        kwargs: br#"{"size": "3x3", "odd key": true, "tags": ["x", "y", "z"]}"#,
        id: "e3",
        task: "add",
        retries: 2,
    };
    let seeds = [
        "$(args[0])",
        "$(kwargs.size)",
        "$(kwargs[\"odd key\"])",
        "$(args[2].user.name)",
        "$(kwargs.tags[2])",
        "$(args)",
        "--size=$(kwargs.size) $$(a) $(task.id)$(task.name)$(task.retries)",
    ];
    fuzz("template", seeds.map(|seed| seed.as_bytes().to_vec()).to_vec(), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return "no text".to_owned() };
        match Template::parse(text) {
            Ok(template) => match (template.literal(), template.render(&scope)) {
                (Some(literal), Ok(rendered)) => {
                    assert_eq!(literal, rendered);
                    "literal".to_owned()
                }
                (_, Ok(rendered)) => {
                    assert!(rendered.len() <= MAX_ARGUMENT);
                    format!("{}", rendered.len().min(20))
                }
                (_, Err(error)) => error.to_string().chars().take(20).collect(),
            },
            Err(error) => {
                assert!(error.column <= text.chars().count() + 1, "{error}");
                error.advice
            }
        }
    });
}
