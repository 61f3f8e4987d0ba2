//! A native handler of mode `Serve`: fast, and with prefetch.
//!
//! ```text
//!   worker ──frames──> reader thread ──runs──> main thread ──frames──> worker
//!                        └── recall, cancel: heard also while a task runs
//! ```
//!
//! A result leaves together with the next run's `started`, in one write: a busy handler makes one system call per
//! task, and one per batch of runs that has arrived.
//!
//! Its tasks, whatever stands before the last dot of their names: `noop` returns `null`, `echo` its positional
//! arguments, `sleep` sleeps for `args[0]` seconds or until its soft time limit, `fail` raises `ValueError`.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use petiole_contract::VERSION;
use petiole_contract::failure::Failure;
use petiole_contract::frame;
use petiole_contract::serve::{FromHandler, HANDLER, Hello, RunResult, SOCKET, ToHandler};
use serde_json::value::RawValue;

/// Runs that are taken ahead. With fewer the handler waits for the worker between two tasks.
const PREFETCH: u32 = 64;

const CHUNK: usize = 64 * 1024;

/// A run that has arrived.
struct Run {
    attempt: u64,
    task: String,
    payload: Vec<u8>,
}

/// What the reader thread has heard, and the main thread has not done yet.
#[derive(Default)]
struct Heard {
    runs: VecDeque<Run>,
    cancelled: Option<u64>,
    /// No more runs will come.
    drained: bool,
}

#[derive(Default)]
struct Inbox {
    heard: Mutex<Heard>,
    changed: Condvar,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, heard: MutexGuard<'a, Heard>) -> MutexGuard<'a, Heard> {
        self.changed.wait(heard).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frames that wait to be written. Each thread has its own, and writes them whole.
struct Outgoing {
    stream: Arc<Mutex<UnixStream>>,
    frames: Vec<u8>,
}

impl Outgoing {
    fn put(&mut self, frame: &FromHandler, payload: &[u8]) -> Result<(), Box<dyn Error>> {
        Ok(frame::put(&mut self.frames, frame, payload)?)
    }

    fn write(&mut self) -> Result<(), Box<dyn Error>> {
        if !self.frames.is_empty() {
            self.stream.lock().unwrap_or_else(PoisonError::into_inner).write_all(&self.frames)?;
        }
        self.frames.clear();
        self.frames.shrink_to(CHUNK);
        Ok(())
    }
}

fn main() -> ExitCode {
    match handle() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("handler: {error}");
            ExitCode::FAILURE
        }
    }
}

fn handle() -> Result<(), Box<dyn Error>> {
    let stream = UnixStream::connect(std::env::var(SOCKET)?)?;
    let writer = Arc::new(Mutex::new(stream.try_clone()?));
    let mut outgoing = Outgoing { stream: Arc::clone(&writer), frames: Vec::new() };
    let handler = std::env::var(HANDLER)?;
    outgoing.put(
        &FromHandler::Hello(Hello {
            version: VERSION,
            handler,
            concurrency: 1,
            prefetch: PREFETCH,
            accept: Vec::new(),
        }),
        b"",
    )?;
    outgoing.write()?;

    let inbox = Arc::new(Inbox::default());
    let mut recalled = Outgoing { stream: writer, frames: Vec::new() };
    let reader = Arc::clone(&inbox);
    std::thread::spawn(move || {
        if let Err(error) = hear(stream, &reader, &mut recalled) {
            eprintln!("handler: {error}");
        }
        // The worker is gone, and what runs here is lost: another worker runs it again.
        std::process::exit(1);
    });
    work(&inbox, &mut outgoing)
}

/// Runs what has arrived, one after the other, until the worker drains.
fn work(inbox: &Inbox, outgoing: &mut Outgoing) -> Result<(), Box<dyn Error>> {
    loop {
        let mut heard = inbox.lock();
        if heard.runs.is_empty() && !outgoing.frames.is_empty() {
            // Nothing follows, so the last result leaves alone.
            drop(heard);
            outgoing.write()?;
            heard = inbox.lock();
        }
        let run = loop {
            match heard.runs.pop_front() {
                Some(run) => break run,
                None if heard.drained => return Ok(()),
                None => heard = inbox.wait(heard),
            }
        };
        drop(heard);
        // `started` must have left before the task's code runs. It takes the result before it along.
        outgoing.put(&FromHandler::Started { attempt: run.attempt }, b"")?;
        outgoing.write()?;
        let (value, error) = match perform(&run, inbox) {
            Ok(value) => (value, None),
            Err(failure) => (Vec::new(), Some(failure)),
        };
        outgoing.put(
            &FromHandler::Result(RunResult { attempt: run.attempt, error, ..RunResult::default() }),
            &value,
        )?;
    }
}

/// The tasks' own code. An empty value is `null`.
fn perform(run: &Run, inbox: &Inbox) -> Result<Vec<u8>, Failure> {
    match run.task.rsplit('.').next() {
        Some("noop") => Ok(Vec::new()),
        Some("echo") => {
            let (args, _kwargs): (&RawValue, &RawValue) = read(&run.payload)?;
            Ok(args.get().as_bytes().to_vec())
        }
        Some("sleep") => {
            let (args, _kwargs): ((f64,), &RawValue) = read(&run.payload)?;
            let length = Duration::try_from_secs_f64(args.0)
                .map_err(|error| failure("ValueError", "builtins", error.to_string()))?;
            sleep(run.attempt, length, inbox)
        }
        Some("fail") => Err(failure("ValueError", "builtins", "this task always fails".to_owned())),
        _ => Err(failure("NotRegistered", "celery.exceptions", run.task.clone())),
    }
}

fn read<'a, T: serde::Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(payload).map_err(|error| failure("TypeError", "builtins", error.to_string()))
}

fn sleep(attempt: u64, length: Duration, inbox: &Inbox) -> Result<Vec<u8>, Failure> {
    let end = Instant::now() + length;
    let mut heard = inbox.lock();
    loop {
        if heard.cancelled == Some(attempt) {
            return Err(failure("SoftTimeLimitExceeded", "billiard.exceptions", String::new()));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Vec::new());
        }
        heard = inbox.changed.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn failure(kind: &str, module: &str, message: String) -> Failure {
    Failure { kind: kind.to_owned(), message, args: None, module: module.to_owned(), traceback: None }
}

/// Reads frames until the worker hangs up.
fn hear(mut stream: UnixStream, inbox: &Inbox, recalled: &mut Outgoing) -> Result<(), Box<dyn Error>> {
    let mut buffer = Vec::with_capacity(CHUNK);
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&chunk[..count]);
        let mut taken = 0;
        let mut heard = inbox.lock();
        while let Some(found) = frame::cut(&buffer[taken..])? {
            take(frame::read(found.header)?, found.payload, &mut heard, recalled)?;
            taken += found.taken;
        }
        drop(heard);
        inbox.changed.notify_one();
        recalled.write()?;
        buffer.drain(..taken);
    }
}

fn take(
    frame: ToHandler<'_>,
    payload: &[u8],
    heard: &mut Heard,
    recalled: &mut Outgoing,
) -> Result<(), Box<dyn Error>> {
    match frame {
        ToHandler::Run(run) => heard.runs.push_back(Run {
            attempt: run.attempt,
            task: run.task.into_owned(),
            payload: payload.to_vec(),
        }),
        ToHandler::Recall { attempts } => {
            let back = |run: &Run| attempts.contains(&run.attempt);
            let attempts = heard.runs.iter().filter(|run| back(run)).map(|run| run.attempt).collect();
            heard.runs.retain(|run| !back(run));
            recalled.put(&FromHandler::Recalled { attempts }, b"")?;
        }
        ToHandler::Cancel { attempt } => heard.cancelled = Some(attempt),
        ToHandler::Drain {} => heard.drained = true,
        ToHandler::Refused { reason } => return Err(format!("the worker refuses it: {reason}").into()),
    }
    Ok(())
}
