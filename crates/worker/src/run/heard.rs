//! What the runner and the handlers say of attempts.

use std::time::Instant;

use bytes::Bytes;
use petiole_contract::control::{Exited, FromRunner, Status};
use petiole_contract::exec::{RESULT_LIMIT, too_large};
use petiole_contract::serve::FromHandler;
use petiole_protocol::canvas::MAX_MESSAGES;

use super::attempt::{Run, State};
use super::{Attempt, Effects, Executor, Progress, Runs, Stopping, asked, exec, serve};

impl Runs {
    /// The runner has said something.
    pub fn runner_says(&mut self, frame: FromRunner, payload: &Bytes, now: Instant, effects: &mut Effects) {
        match frame {
            FromRunner::Started { process, pid } => self.runs_as(process, pid, effects),
            FromRunner::Exited(exited) => self.exited(exited, payload, now, effects),
            FromRunner::Progress { process } if matches!(self.executor, Executor::Exec(_)) => {
                match exec::progress(payload) {
                    Ok((state, meta)) => self.progress(process, state, meta, effects),
                    Err(why) => {
                        let id = self.attempts.get(&process).map(|run| run.work.message.id.as_str());
                        tracing::warn!(id, why, "a task's progress is not recorded");
                    }
                }
            }
            FromRunner::Progress { .. } | FromRunner::Hello { .. } | FromRunner::Drain {} => {}
        }
        self.give(now, effects);
    }

    /// A process has ended.
    fn exited(&mut self, mut exited: Exited, payload: &Bytes, now: Instant, effects: &mut Effects) {
        self.pids.remove(&exited.process);
        // What was killed because we wanted that is not to blame; what has ended by itself meanwhile has ended.
        exited.abandoned |= self.killing && matches!(exited.status, Status::Signal(_));
        match &mut self.executor {
            Executor::Exec(exec) => {
                let attempt = exited.process;
                exec.exited();
                if let Some(run) = self.attempts.get(&attempt) {
                    let outcome = exec::outcome(&run.work, run.state, &exited, payload);
                    self.end(attempt, outcome, now, effects);
                }
            }
            Executor::Serve(serve) => {
                let why = serve.exited(&exited, self.stopping == Stopping::Draining, now, effects);
                let of_handler: Vec<Attempt> = self.held_by(exited.process).collect();
                for attempt in of_handler {
                    self.lose(attempt, &why, exited.abandoned, now, effects);
                }
            }
        }
    }

    /// A handler has said something.
    pub fn handler_says(&mut self, frame: FromHandler, payload: Bytes, now: Instant, effects: &mut Effects) {
        match frame {
            FromHandler::Hello(_) => {}
            FromHandler::Started { attempt } => {
                self.unpickled(attempt, &payload);
                self.started(attempt, now, effects);
            }
            FromHandler::Result(result) => {
                if let Some(process) = self.attempts.get(&result.attempt).and_then(Run::process)
                    && let Executor::Serve(serve) = &mut self.executor
                {
                    serve.finished(process);
                    self.end(result.attempt, serve::outcome(result, payload), now, effects);
                }
            }
            FromHandler::Progress { attempt, state } => {
                self.progress(attempt, state, payload, effects);
            }
            FromHandler::AddToChord { attempt } => self.adds(attempt, payload),
            FromHandler::Recalled { attempts } => {
                for attempt in attempts.into_iter().rev() {
                    self.wait_again(attempt);
                }
            }
        }
    }

    /// A handler has read a pickle: what follows its task.
    fn unpickled(&mut self, attempt: Attempt, embed: &Bytes) {
        let Some(run) = self.attempts.get_mut(&attempt) else { return };
        if embed.is_empty() || run.work.message.pickled().is_none() {
            return;
        }
        let wrong = if embed.len() > RESULT_LIMIT {
            Some(too_large(embed.len()))
        } else {
            let read = run.work.message.set_embed(embed);
            read.err().map(|error| {
                format!(
                    "the payload of `started` must be what follows the pickled task, a JSON object such as \
                     {{\"callbacks\": null, \"errbacks\": null, \"chain\": null, \"chord\": null}}: {error}"
                )
            })
        };
        run.wrong = wrong.map(|wrong| Box::new(asked::builtin("ValueError", &wrong)));
    }

    /// A task adds to its chord.
    fn adds(&mut self, attempt: Attempt, signature: Bytes) {
        let Some(run) = self.attempts.get_mut(&attempt) else { return };
        let bytes = run.adds.iter().map(Bytes::len).sum::<usize>() + signature.len();
        if bytes > RESULT_LIMIT || run.adds.len() >= MAX_MESSAGES {
            run.wrong = Some(Box::new(asked::builtin("ValueError", &too_large(bytes))));
        } else {
            run.adds.push(signature);
        }
    }

    /// A task has said how far it is.
    fn progress(&self, attempt: Attempt, state: String, meta: Bytes, effects: &mut Effects) {
        if let Some(run) = self.attempts.get(&attempt)
            && matches!(run.state, State::Started { .. })
        {
            effects.progress.push(Progress { tag: run.tag, work: run.work.clone(), state, meta });
        }
    }
}
