//! The runner: starts a task's processes inside its own container. PID 1 there; a plain process under
//! `petiole dev`.
//!
//! ```text
//!                 frames (petiole_contract::control)             pipes
//!   worker  <──────────── connection ────────────>  runner  <──────────────>  processes, each a group of its own
//!                                                     │
//!                              signals ──────────────>│────────────> log (its own standard output)
//! ```
//!
//! One thread, one `poll`:
//!
//! - `runner`: what is known, and what is done when something happens. `wait` tells it what happens.
//! - `connection`: the worker's socket; `link`: whether there is one. `signals`: `SIGTERM`, `SIGCHLD`, and what a child inherits of them.
//! - `process`: one process, from its start to its `exited`. `program` finds what to start, `stream` takes
//!   what it writes (`lines`, `keep`), `report` is the file that it may leave.
//! - `orphans`: processes that left their group and were adopted.
//! - `log`: the container's log. `outbox`: bytes that wait to be written, there and elsewhere.
//! - `install`: puts this binary into another container's folder. `args`: the command line.

mod args;
mod connection;
mod install;
mod keep;
mod lines;
mod link;
mod log;
mod orphans;
mod outbox;
mod process;
mod program;
mod progress;
mod report;
mod runner;
mod signals;
mod stream;
mod wait;

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use args::Invocation;

/// `EX_USAGE` of sysexits: the command line cannot be read.
const USAGE: u8 = 64;

/// Does what the command line says. The exit code is 0 when the worker has drained, 64 for a command line that
/// cannot be read, 76 when the worker refuses this runner, and 1 for anything else.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let invocation = match args::parse(arguments, std::env::var_os(petiole_contract::serve::SOCKET)) {
        Ok(invocation) => invocation,
        Err(advice) => return fail(USAGE, &advice),
    };
    let outcome: Result<u8, Box<dyn Error>> = match invocation {
        Invocation::Run { socket } => runner::run(socket).map_err(Into::into),
        Invocation::Install { folder } => install::install(&folder).map(|()| 0).map_err(Into::into),
        Invocation::Say(text) => std::io::stdout().write_all(text.as_bytes()).map(|()| 0).map_err(Into::into),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(1, &chain(&*error)),
    }
}

/// An error and its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn fail(code: u8, text: &str) -> ExitCode {
    // Nothing is left to tell it to when standard error is gone.
    let _ = writeln!(std::io::stderr(), "petiole-runner: {text}");
    ExitCode::from(code)
}
