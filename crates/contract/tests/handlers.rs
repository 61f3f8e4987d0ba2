//! The example handlers of mode `Serve`, run for real, with a worker that the tests play.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "Clippy takes only the functions that are tests themselves for tests"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use petiole_contract::failure::Failure;
use petiole_contract::frame;
use petiole_contract::serve::{FromHandler, HANDLER, Hello, Run, RunResult, SOCKET, ToHandler};

/// Far more than anything here takes; only a test that fails waits for it.
const BOUND: Duration = Duration::from_secs(30);

struct Worker {
    handler: Child,
    stream: UnixStream,
    buffer: Vec<u8>,
    hello: Hello,
    _folder: tempfile::TempDir,
}

impl Worker {
    fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let handler = command.env(SOCKET, &socket).env(HANDLER, "handler-7").stderr(Stdio::piped());
        let handler = handler.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, receiver) = channel();
        thread::spawn(move || sender.send(listener.accept().unwrap().0));
        let stream = receiver.recv_timeout(BOUND).expect("the handler connects");
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let hello =
            Hello { version: 0, handler: String::new(), concurrency: 0, prefetch: 0, accept: Vec::new() };
        let mut worker = Self { handler, stream, buffer: Vec::new(), hello, _folder: folder };
        match worker.receive() {
            (FromHandler::Hello(hello), _) => worker.hello = hello,
            (other, _) => panic!("{other:?} instead of hello"),
        }
        worker
    }

    fn python() -> Self {
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/handlers/python/handler.py"));
        Self::start(command)
    }

    /// Cargo builds the examples of a package with its tests, beside them.
    fn native() -> Self {
        let tests = std::env::current_exe().unwrap();
        let handler = tests.parent().unwrap().parent().unwrap().join("examples/handler");
        assert!(handler.exists(), "build it: cargo build -p petiole-contract --example handler");
        Self::start(Command::new(handler))
    }

    fn send(&mut self, frames: &[(ToHandler<'_>, &str)]) {
        let mut bytes = Vec::new();
        for (header, payload) in frames {
            frame::put(&mut bytes, header, payload.as_bytes()).unwrap();
        }
        self.stream.write_all(&bytes).unwrap();
    }

    fn run(&mut self, attempt: u64, task: &str, payload: &str) {
        self.send(&[(run(attempt, task), payload)]);
    }

    fn receive(&mut self) -> (FromHandler, String) {
        loop {
            if let Some(found) = frame::cut(&self.buffer).unwrap() {
                let payload = String::from_utf8(found.payload.to_vec()).unwrap();
                let frame = (frame::read(found.header).unwrap(), payload);
                let taken = found.taken;
                self.buffer.drain(..taken);
                return frame;
            }
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk).unwrap();
            assert!(count > 0, "the handler has hung up");
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }

    fn started(&mut self, attempt: u64) {
        assert_eq!(self.receive(), (FromHandler::Started { attempt }, String::new()));
    }

    fn value(&mut self, attempt: u64) -> String {
        match self.receive() {
            (FromHandler::Result(RunResult { attempt: ended, error: None, .. }), value) => {
                assert_eq!(ended, attempt);
                value
            }
            (other, _) => panic!("{other:?} instead of a value"),
        }
    }

    fn error(&mut self, attempt: u64) -> Failure {
        match self.receive() {
            (FromHandler::Result(RunResult { attempt: ended, error: Some(error), .. }), payload) => {
                assert_eq!((ended, payload.as_str()), (attempt, ""));
                error
            }
            (other, _) => panic!("{other:?} instead of an error"),
        }
    }

    /// Waits for a line of standard error.
    fn line(&mut self) -> String {
        let mut log = BufReader::new(self.handler.stderr.take().unwrap());
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            log.read_line(&mut line).unwrap();
            sender.send((line, log)).unwrap();
        });
        let (line, log) = receiver.recv_timeout(BOUND).expect("a line");
        self.handler.stderr = Some(log.into_inner());
        line
    }

    /// Waits until the handler has ended, and returns what it wrote to standard error.
    fn end(mut self) -> (ExitStatus, String) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
        let mut log = String::new();
        self.handler.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.handler.wait().unwrap(), log)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.handler.kill();
        let _ = self.handler.wait();
    }
}

fn run(attempt: u64, task: &str) -> ToHandler<'_> {
    ToHandler::Run(Run { attempt, id: "e3".into(), task: task.into(), ..Run::default() })
}

#[test]
fn the_python_example_runs_tasks_one_after_the_other() {
    let mut worker = Worker::python();
    let hello = Hello {
        version: 1,
        handler: "handler-7".to_owned(),
        concurrency: 1,
        prefetch: 0,
        accept: Vec::new(),
    };
    assert_eq!(worker.hello, hello);
    for (attempt, payload, value) in [(1, "[[1, 2], {}]", "3"), (2, r#"[["a"], {"y": "b"}]"#, r#""ab""#)] {
        worker.run(attempt, "demo.add", payload);
        worker.started(attempt);
        assert_eq!(worker.value(attempt), value);
    }
    worker.send(&[(ToHandler::Drain {}, "")]);
    let (status, log) = worker.end();
    assert!(status.success(), "{log}");
}

#[test]
fn the_python_example_tells_what_was_raised() {
    let mut worker = Worker::python();
    worker.run(1, "demo.add", "[[1], {}]");
    worker.started(1);
    let error = worker.error(1);
    assert_eq!((error.module.as_str(), error.kind.as_str()), ("builtins", "TypeError"));
    let [serde_json::Value::String(message)] = &error.args.unwrap()[..] else { panic!("one text") };
    assert!(message.contains("missing 1 required positional argument"), "{message}");
    assert!(error.traceback.unwrap().starts_with("Traceback (most recent call last):\n"));

    worker.run(2, "demo.none", "[[], {}]");
    worker.started(2);
    let error = worker.error(2);
    assert_eq!((error.module.as_str(), error.kind.as_str()), ("celery.exceptions", "NotRegistered"));
    assert_eq!(error.args.unwrap(), ["demo.none"]);
}

#[test]
fn the_python_example_interrupts_a_task_at_its_soft_limit() {
    let mut worker = Worker::python();
    worker.run(1, "demo.nap", "[[1000], {}]");
    worker.started(1);
    assert_eq!(worker.line(), "napping\n");
    worker.send(&[(ToHandler::Cancel { attempt: 1 }, "")]);
    assert_eq!(worker.value(1), r#""woken""#);
    // A cancel that comes too late harms nobody.
    worker.send(&[(ToHandler::Cancel { attempt: 1 }, "")]);
    worker.run(2, "demo.add", "[[1, 2], {}]");
    worker.started(2);
    assert_eq!(worker.value(2), "3");
}

#[test]
fn the_python_example_ends_when_it_is_refused_or_left() {
    let mut worker = Worker::python();
    worker.send(&[(ToHandler::Refused { reason: "too old".into() }, "")]);
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(log, "the worker refuses this handler: too old\n");

    let worker = Worker::python();
    worker.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(worker.end().0.code(), Some(1));
}

#[test]
fn the_native_example_runs_what_has_arrived_in_order() {
    let mut worker = Worker::native();
    assert_eq!((worker.hello.handler.as_str(), worker.hello.concurrency), ("handler-7", 1));
    let runs: Vec<_> = (0..500).map(|attempt| (run(attempt, "bench.noop"), "[[], {}]")).collect();
    worker.send(&runs);
    for attempt in 0..500 {
        worker.started(attempt);
        assert_eq!(worker.value(attempt), "");
    }
    worker.run(500, "bench.echo", r#"[[1, "zwei"], {"a": 3}]"#);
    worker.started(500);
    assert_eq!(worker.value(500), r#"[1, "zwei"]"#);
    worker.send(&[(ToHandler::Drain {}, "")]);
    let (status, log) = worker.end();
    assert!(status.success(), "{log}");
}

#[test]
fn the_native_example_tells_what_was_raised() {
    let mut worker = Worker::native();
    for (attempt, (task, payload, kind)) in (1..).zip([
        ("bench.fail", "[[], {}]", "ValueError"),
        ("bench.none", "[[], {}]", "NotRegistered"),
        ("bench.sleep", "[[], {}]", "TypeError"),
        ("bench.sleep", "[[-1], {}]", "ValueError"),
    ]) {
        worker.run(attempt, task, payload);
        worker.started(attempt);
        assert_eq!(worker.error(attempt).kind, kind);
    }
}

#[test]
fn the_native_example_gives_back_what_has_not_started() {
    let mut worker = Worker::native();
    let prefetched = u64::from(worker.hello.prefetch);
    assert!(prefetched > 0);
    worker.run(1, "bench.sleep", "[[1000], {}]");
    worker.started(1);
    let runs: Vec<_> = (2..=prefetched).map(|attempt| (run(attempt, "bench.noop"), "[[], {}]")).collect();
    worker.send(&runs);
    worker.send(&[(ToHandler::Recall { attempts: (1..prefetched).collect() }, "")]);
    // Also while a task runs; not the one that runs, and not what was not asked for.
    let recalled = FromHandler::Recalled { attempts: (2..prefetched).collect() };
    assert_eq!(worker.receive(), (recalled, String::new()));
    worker.send(&[(ToHandler::Cancel { attempt: 1 }, "")]);
    assert_eq!(worker.error(1).kind, "SoftTimeLimitExceeded");
    worker.started(prefetched);
    assert_eq!(worker.value(prefetched), "");
}

#[test]
fn the_native_example_ends_when_it_is_refused_or_left() {
    let mut worker = Worker::native();
    worker.send(&[(ToHandler::Refused { reason: "too old".into() }, "")]);
    let (status, log) = worker.end();
    assert_eq!((status.code(), log.as_str()), (Some(1), "handler: the worker refuses it: too old\n"));

    let worker = Worker::native();
    worker.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(worker.end().0.code(), Some(1));
}
