//! A process per task: what the runner is told to start, and what its end says of the task.

use bytes::Bytes;
use petiole_contract::control::{Exited, Output, Start, Status, ToRunner};
use petiole_contract::exec::{self, Report, Request, ResultForm, Verdict};
use petiole_contract::template::Scope;
use petiole_protocol::json::{self, Object};
use petiole_protocol::record::Exception;

use super::asked::{self, builtin, exception};
use super::deadlines::Limit;
use super::{Attempt, Effects, Peer, State};
use crate::outcome::Outcome;
use crate::work::Work;

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// The processes of this worker, one per attempt. A process has its attempt's number.
#[derive(Debug)]
pub struct Exec {
    runner: Option<Peer>,
    concurrency: usize,
    running: usize,
}

impl Exec {
    pub(super) fn new(concurrency: usize) -> Self {
        Self { runner: None, concurrency, running: 0 }
    }

    pub(super) fn resize(&mut self, concurrency: usize) {
        self.concurrency = concurrency;
    }

    pub(super) fn ready(&self) -> bool {
        self.runner.is_some()
    }

    pub(super) fn runner(&self) -> Option<Peer> {
        self.runner
    }

    pub(super) fn free(&self) -> bool {
        self.places() > 0
    }

    /// How many processes may be started now.
    pub(super) fn places(&self) -> usize {
        if self.ready() { self.concurrency.saturating_sub(self.running) } else { 0 }
    }

    pub(super) fn connected(&mut self, peer: Peer) {
        self.runner = Some(peer);
        self.running = 0;
    }

    /// `true` when it was the runner's connection.
    pub(super) fn disconnected(&mut self, peer: Peer) -> bool {
        let gone = self.runner == Some(peer);
        if gone {
            self.runner = None;
            self.running = 0;
        }
        gone
    }

    pub(super) fn exited(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    pub(super) fn start(
        &mut self,
        attempt: Attempt,
        work: &Work,
        effects: &mut Effects,
    ) -> Result<(), Exception> {
        let Some(runner) = self.runner else { return Ok(()) };
        let message = &work.message;
        let scope = Scope {
            args: work.args().as_bytes(),
            kwargs: work.kwargs().as_bytes(),
            id: &message.id,
            task: work.task(),
            retries: message.retries,
        };
        let command = work
            .plan
            .command
            .iter()
            .map(|template| template.render(&scope))
            .collect::<Result<Vec<String>, _>>()
            .map_err(|error| builtin("TypeError", &format!("{}: {error}", work.task())))?;
        let request = Request {
            id: &message.id,
            task: work.task(),
            args: work.args().as_bytes(),
            kwargs: work.kwargs().as_bytes(),
            retries: message.retries,
            redelivered: message.redelivered,
            root_id: message.root_id.as_deref(),
            parent_id: message.parent_id.as_deref(),
            headers: message.user_headers.as_deref(),
        };
        let mut env = vec![
            (exec::TASK_ID.to_owned(), message.id.clone()),
            (exec::TASK_NAME.to_owned(), work.task().to_owned()),
            (exec::RETRIES.to_owned(), message.retries.to_string()),
        ];
        env.extend(message.user_headers.as_deref().map(trace_context).unwrap_or_default());
        let start = Start {
            process: attempt,
            command,
            env,
            output: match work.plan.task.result {
                ResultForm::Json | ResultForm::Text => Output::Capture,
                ResultForm::File | ResultForm::None => Output::Log,
            },
            label: message.id.clone(),
            limit: exec::RESULT_LIMIT,
            progress: true,
        };
        if !effects.send(runner, &ToRunner::Start(start), &request.to_json()) {
            return Err(builtin("ValueError", "the command's arguments are too long together: use stdin"));
        }
        self.running += 1;
        Ok(())
    }

    pub(super) fn limit(&mut self, process: u64, limit: Limit, effects: &mut Effects) {
        let Some(runner) = self.runner else { return };
        let signal = match limit {
            Limit::Soft => SIGTERM,
            Limit::Hard => SIGKILL,
        };
        effects.send(runner, &ToRunner::Signal { process, signal }, &[]);
    }
}

/// Reads a line that says how far a task is: the state's name, and its meta.
pub(super) fn progress(line: &[u8]) -> Result<(String, Bytes), String> {
    let example = || {
        format!(r#"a line of {} must be like {{"state": "PROGRESS", "meta": {{"done": 3}}}}"#, exec::PROGRESS)
    };
    let said = Object::read(line).map_err(|error| format!("{}: {error}", example()))?;
    let state = said.get("state").and_then(json::string).ok_or_else(example)?;
    let meta = said.get("meta").unwrap_or("null");
    Ok((state.into_owned(), Bytes::copy_from_slice(meta.as_bytes())))
}

/// The W3C trace context among a client's headers, as variables.
fn trace_context(headers: &str) -> Vec<(String, String)> {
    let Ok(headers) = Object::read(headers.as_bytes()) else { return Vec::new() };
    let names =
        [("traceparent", exec::TRACEPARENT), ("tracestate", exec::TRACESTATE), ("baggage", exec::BAGGAGE)];
    let value = |name: &str| json::string(headers.get(name)?).map(std::borrow::Cow::into_owned);
    names.into_iter().filter_map(|(name, variable)| Some((variable.to_owned(), value(name)?))).collect()
}

/// What the end of its process says of a task.
pub(super) fn outcome(work: &Work, state: State, exited: &Exited, payload: &Bytes) -> Outcome {
    let (soft, hard) = match state {
        State::Started { soft, hard, .. } => (soft, hard),
        State::Waiting | State::Given { .. } => (false, false),
    };
    if exited.abandoned {
        return Outcome::Returned;
    }
    if hard {
        return Outcome::HardTimeLimit(work.limits.hard.unwrap_or_default());
    }
    let stderr = (!exited.stderr.is_empty()).then(|| exited.stderr.clone());
    if exited.cut {
        return Outcome::Failure(too_large(payload.len()).with_traceback(stderr));
    }
    let output = payload.slice(..exited.output.min(payload.len()));
    let mut report = match read_report(&payload[output.len()..]) {
        Ok(report) => report,
        Err(exception) => return Outcome::Failure(exception),
    };
    if let Some(asked) = asked::by_report(&mut report) {
        return asked;
    }
    if let Some(error) = report.error {
        return Outcome::Failure(exception(error));
    }
    match &exited.status {
        Status::Code(0) => {
            let value = value(work.plan.task.result, output, report.result.as_deref());
            let adds = report.add_to_chord.iter().map(|added| Bytes::copy_from_slice(added.get().as_bytes()));
            match value {
                Outcome::Success(value) if !report.add_to_chord.is_empty() => {
                    Outcome::Adding(value, adds.collect())
                }
                other => other,
            }
        }
        Status::Code(_) | Status::Signal(SIGTERM) if soft => Outcome::SoftTimeLimit(stderr),
        Status::Code(code) => {
            let command = work.plan.task.command.join(" ");
            let exception = Exception::called_process_error(*code, &command).with_traceback(stderr);
            match Verdict::of(*code) {
                Verdict::Success | Verdict::Failure if !work.retry.exit_codes.contains(code) => {
                    Outcome::Failure(exception)
                }
                _ => Outcome::Retry(Box::new(exception.into())),
            }
        }
        Status::Signal(signal) => {
            Outcome::WorkerLost(format!("the task's process was ended by signal {signal}"))
        }
        Status::NotStarted(why) => Outcome::Failure(builtin("OSError", why)),
    }
}

fn read_report(bytes: &[u8]) -> Result<Report, Exception> {
    if bytes.is_empty() {
        return Ok(Report::default());
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let message =
            format!("the file of {} is not the JSON object that it should be: {error}", exec::RESULT);
        builtin("ValueError", &message)
    })
}

fn value(form: ResultForm, output: Bytes, report: Option<&serde_json::value::RawValue>) -> Outcome {
    const NULL: Bytes = Bytes::from_static(b"null");
    match form {
        ResultForm::None => Outcome::Success(NULL),
        ResultForm::File => {
            Outcome::Success(report.map_or(NULL, |value| Bytes::copy_from_slice(value.get().as_bytes())))
        }
        ResultForm::Text => {
            let text = String::from_utf8_lossy(&output);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Outcome::Success(serde_json::Value::from(text).to_string().into())
        }
        ResultForm::Json if output.trim_ascii().is_empty() => Outcome::Success(NULL),
        ResultForm::Json => json_value(output),
    }
}

/// Takes a JSON value that a task has written, or says what is wrong with it.
pub(super) fn json_value(bytes: Bytes) -> Outcome {
    match petiole_protocol::json::check(&bytes) {
        Ok(_) => Outcome::Success(bytes),
        Err(error) => {
            Outcome::Failure(Exception::encode_error(&format!("the task's result is not JSON: {error}")))
        }
    }
}

/// The result is too large to be stored.
pub(super) fn too_large(bytes: usize) -> Exception {
    builtin("ValueError", &exec::too_large(bytes))
}
