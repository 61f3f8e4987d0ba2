//! What a task's own code asks for instead of an end, in either mode.

use bytes::Bytes;
use petiole_contract::exec::{RESULT_LIMIT, Report, too_large};
use petiole_contract::failure::{self, Failure};
use petiole_contract::instead::{Instead, Reject};
use petiole_contract::serve::RunResult;
use petiole_protocol::json;
use petiole_protocol::message::Arguments;
use petiole_protocol::record::Exception;

use crate::outcome::{Again, Outcome};

/// What a process has asked for in its report.
pub(super) fn by_report(report: &mut Report) -> Option<Outcome> {
    let instead = report.instead()?;
    let arguments = || {
        let retry = report.retry.as_ref();
        let text = |value: Option<&serde_json::value::RawValue>| value.map(|value| value.get().to_owned());
        let args = text(retry.and_then(|retry| retry.args.as_deref()));
        let kwargs = text(retry.and_then(|retry| retry.kwargs.as_deref()));
        arguments(args, kwargs, "`retry` of the report file")
    };
    let signature = report.replace.as_deref().map(|signature| signature.get().as_bytes());
    let signature = Bytes::copy_from_slice(signature.unwrap_or_default());
    Some(asked(instead, arguments, signature, report.error.take()))
}

/// What a handler has asked for in its result.
pub(super) fn by_result(result: &mut RunResult, payload: &Bytes) -> Option<Outcome> {
    let instead = result.instead()?;
    Some(asked(instead, || read_arguments(payload), payload.clone(), result.error.take()))
}

fn asked(
    instead: Instead,
    arguments: impl FnOnce() -> Result<Arguments, Exception>,
    signature: Bytes,
    error: Option<Failure>,
) -> Outcome {
    match instead {
        Instead::Retry(asked) => match arguments() {
            Ok(arguments) => Outcome::Retry(Box::new(Again { asked, arguments, why: error.map(exception) })),
            Err(wrong) => Outcome::Failure(wrong),
        },
        Instead::Reject(Reject { requeue }) => Outcome::Rejected { requeue },
        Instead::Ignore => Outcome::Ignored,
        Instead::Replace if signature.len() > RESULT_LIMIT => {
            Outcome::Failure(builtin("ValueError", &too_large(signature.len())))
        }
        Instead::Replace => match json::check(&signature) {
            Ok(_) => Outcome::Replaced(signature),
            Err(wrong) => {
                let why = format!("the signature that is to replace the task is not JSON: {wrong}");
                Outcome::Failure(builtin("ValueError", &why))
            }
        },
    }
}

/// The payload of a `result` with `retry`.
fn read_arguments(payload: &[u8]) -> Result<Arguments, Exception> {
    const WHERE: &str = "the payload of a `result` with `retry`";
    if payload.is_empty() || payload == b"null" {
        return Ok(Arguments::default());
    }
    if payload.len() > RESULT_LIMIT {
        return Err(builtin("ValueError", &too_large(payload.len())));
    }
    match json::elements(payload).as_deref() {
        Ok([args, kwargs]) => arguments(Some((*args).to_owned()), Some((*kwargs).to_owned()), WHERE),
        _ => Err(builtin("ValueError", &format!("{WHERE} must be empty or `[args, kwargs]`"))),
    }
}

/// Arguments to be called with, as JSON texts; what is `null` stays.
fn arguments(args: Option<String>, kwargs: Option<String>, place: &str) -> Result<Arguments, Exception> {
    let given = |text: &String| text != "null";
    let (args, kwargs) = (args.filter(given), kwargs.filter(given));
    let wrong =
        |what: &str| Err(builtin("ValueError", &format!("in {place} {what}; what is null or missing stays")));
    if args.as_deref().is_some_and(|args| !args.starts_with('[')) {
        return wrong("`args` must be a list");
    }
    if kwargs.as_deref().is_some_and(|kwargs| !kwargs.starts_with('{')) {
        return wrong("`kwargs` must be an object");
    }
    Ok(Arguments { args, kwargs })
}

/// What a task's own code said of its failure.
pub(super) fn exception(failure: Failure) -> Exception {
    let Failure { kind, message, args, module, traceback } = failure;
    let exception = match args {
        Some(args) => Exception::with(module, kind, args.iter().map(ToString::to_string).collect()),
        None => Exception::new(module, kind, &message),
    };
    exception.with_traceback(traceback)
}

pub(super) fn builtin(kind: &str, message: &str) -> Exception {
    Exception::new(failure::builtins(), kind, message)
}

#[cfg(test)]
mod tests {
    use petiole_contract::instead::Retry;

    use super::*;

    fn again(args: Option<&str>, kwargs: Option<&str>) -> Outcome {
        let arguments = Arguments { args: args.map(str::to_owned), kwargs: kwargs.map(str::to_owned) };
        Outcome::Retry(Box::new(Again { arguments, ..Again::default() }))
    }

    fn by_payload(payload: &'static str) -> Outcome {
        let mut result = RunResult { retry: Some(Retry::default()), ..RunResult::default() };
        by_result(&mut result, &Bytes::from_static(payload.as_bytes())).unwrap()
    }

    fn by_text(report: &str) -> Outcome {
        by_report(&mut serde_json::from_str(report).unwrap()).unwrap()
    }

    fn message(outcome: &Outcome) -> String {
        let Outcome::Failure(exception) = outcome else { panic!("{outcome:?}") };
        exception.to_json()
    }

    #[test]
    fn the_next_try_keeps_its_arguments_unless_it_is_told_others() {
        for payload in ["", "null", "[null, null]"] {
            assert_eq!(by_payload(payload), again(None, None), "{payload}");
        }
        assert_eq!(by_payload("[[NaN], null]"), again(Some("[NaN]"), None));
        assert_eq!(by_payload(r#"[null, {"a": 1}]"#), again(None, Some(r#"{"a": 1}"#)));
        assert_eq!(by_text(r#"{"retry": {}}"#), again(None, None));
        assert_eq!(by_text(r#"{"retry": {"args": [1], "kwargs": {}}}"#), again(Some("[1]"), Some("{}")));
    }

    #[test]
    fn a_signature_stands_in_the_report_or_in_the_payload() {
        let signature = Outcome::Replaced(Bytes::from_static(br#"{"task":  "a"}"#));
        assert_eq!(by_text(r#"{"replace": {"task":  "a"}, "error": {"type": "K"}}"#), signature);
        let mut result = RunResult { replace: true, ..RunResult::default() };
        assert_eq!(by_result(&mut result, &Bytes::from_static(br#"{"task":  "a"}"#)), Some(signature));
        let none = by_result(&mut result, &Bytes::new()).unwrap();
        assert!(message(&none).contains("is not JSON"), "{none:?}");
    }

    #[test]
    fn arguments_that_are_none_fail_the_task_and_say_what_to_write() {
        for payload in ["3", "[1]", "[[1], {}, {}]"] {
            assert!(message(&by_payload(payload)).contains("must be empty or `[args, kwargs]`"), "{payload}");
        }
        assert!(message(&by_payload("[{}, {}]")).contains("`args` must be a list"));
        assert!(message(&by_text(r#"{"retry": {"kwargs": []}}"#)).contains("`kwargs` must be an object"));
    }
}
