//! Ends: of the connection, of the work, of the container, of the runner itself.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::sys::signal::Signal;
use petiole_contract::control::{FromRunner, Status, ToRunner};

use crate::rig::{Held, RUNNER_BINARY, Rig, ended, sh};

#[test]
fn a_lost_connection_ends_every_process_before_the_worker_is_dialled_again() {
    let mut rig = Rig::new();
    let names = ["main", "child", "escaped"].map(|name| Held::new(rig.folder.path(), name));
    let [main, child, escaped] = &names;
    let script = format!("({}) & setsid sh -c '{}' & {}", child.script(), escaped.script(), main.script());
    rig.send(&ToRunner::Start(sh(1, &script)), b"");
    for held in &names {
        held.started();
    }
    rig.hang_up();
    rig.accept();
    // All are gone by now, not only in the end.
    for held in &names {
        held.gone();
    }
    // Nothing is told of them, and the new connection's numbers are its own.
    let (exited, payload) = rig.run(sh(1, "echo fresh"), b"");
    assert_eq!((exited.status, &payload[..]), (Status::Code(0), &b"fresh\n"[..]));
}

#[test]
fn bytes_that_are_no_frame_end_the_connection() {
    let mut rig = Rig::new();
    rig.send_bytes(b"GET / HTTP/1.1\r\n\r\n");
    rig.accept();
    rig.line(|line| line.contains("no frame of this contract") && line.contains("over the limit"));
}

#[test]
fn kill_all_ends_every_process_and_tells_of_each() {
    let mut rig = Rig::new();
    let held = [1, 2, 3].map(|process| {
        let held = Held::new(rig.folder.path(), &process.to_string());
        rig.send(&ToRunner::Start(sh(process, &held.script())), b"");
        held.started();
        held
    });
    rig.send(&ToRunner::KillAll {}, b"");
    let mut processes = [0; 3].map(|_| {
        let (exited, _) = rig.exited();
        assert_eq!(exited.status, Status::Signal(Signal::SIGKILL as i32));
        assert!(!exited.abandoned);
        exited.process
    });
    processes.sort_unstable();
    assert_eq!(processes, [1, 2, 3]);
    held.iter().for_each(Held::gone);
    assert_eq!(rig.run(sh(4, "true"), b"").0.status, Status::Code(0));
}

#[test]
fn a_silent_worker_is_not_trusted_with_running_processes() {
    let mut rig = Rig::new();
    let held = Held::new(rig.folder.path(), "held");
    rig.send(&ToRunner::Start(sh(1, &held.script())), b"");
    held.started();
    rig.fall_silent();
    let (exited, _) = rig.exited();
    assert_eq!(exited.status, Status::Signal(Signal::SIGKILL as i32));
    assert!(exited.abandoned);
    held.gone();
    // A worker that goes on finds the runner ready.
    rig.send(&ToRunner::Alive {}, b"");
    assert_eq!(rig.run(sh(2, "true"), b"").0.status, Status::Code(0));
}

#[test]
fn a_stopped_container_lets_the_worker_finish() {
    let mut rig = Rig::new();
    let held = Held::new(rig.folder.path(), "held");
    rig.send(&ToRunner::Start(sh(1, &held.script())), b"");
    held.started();
    rig.started(1);
    rig.signal(Signal::SIGTERM);
    assert_eq!(rig.receive().0, FromRunner::Drain {});
    rig.signal(Signal::SIGTERM);
    rig.signal(Signal::SIGINT);
    // What runs goes on, and the worker may start what it still needs.
    let (exited, payload) = rig.run(sh(2, "echo late"), b"");
    assert_eq!((exited.status, &payload[..]), (Status::Code(0), &b"late\n"[..]));
    rig.send(&ToRunner::Signal { process: 1, signal: Signal::SIGTERM as i32 }, b"");
    assert_eq!(rig.exited().0.process, 1);
    rig.send(&ToRunner::Drained {}, b"");
    assert_eq!(rig.runner_end().code(), Some(0));
    let left: Vec<_> = std::fs::read_dir(rig.folder.path()).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().starts_with("results")));
}

#[test]
fn what_runs_on_after_drained_is_killed() {
    let mut rig = Rig::new();
    let held = Held::new(rig.folder.path(), "held");
    rig.send(&ToRunner::Start(sh(1, &format!("setsid sh -c '{}' & sleep 1000", held.script()))), b"");
    held.started();
    rig.send(&ToRunner::Drained {}, b"");
    assert_eq!(rig.runner_end().code(), Some(0));
    held.gone();
}

#[test]
fn a_worker_that_starts_anew_is_told_to_drain_again() {
    let mut rig = Rig::new();
    rig.signal(Signal::SIGTERM);
    assert_eq!(rig.receive().0, FromRunner::Drain {});
    rig.hang_up();
    rig.accept();
    assert_eq!(rig.receive().0, FromRunner::Drain {});
    rig.send(&ToRunner::Drained {}, b"");
    assert_eq!(rig.runner_end().code(), Some(0));
}

#[test]
fn a_worker_that_does_not_come_back_is_not_waited_for() {
    let mut rig = Rig::new();
    rig.signal(Signal::SIGTERM);
    assert_eq!(rig.receive().0, FromRunner::Drain {});
    rig.close();
    assert_eq!(rig.runner_end().code(), Some(0));
    rig.line(|line| line.contains("has not come back"));
}

#[test]
fn a_runner_that_is_refused_says_why() {
    let mut rig = Rig::new();
    rig.send(&ToRunner::Refused { reason: "it speaks version 1, this worker 2".to_owned() }, b"");
    assert_eq!(rig.runner_end().code(), Some(76));
    rig.line(|line| line.ends_with("refuses this runner: it speaks version 1, this worker 2"));
}

#[test]
fn a_killed_runner_takes_its_processes_along() {
    let rig = Rig::new();
    let held = Held::new(rig.folder.path(), "held");
    rig.send(&ToRunner::Start(sh(1, &held.script().replace("sleep", "exec sleep"))), b"");
    held.started();
    rig.signal(Signal::SIGKILL);
    held.gone();
}

#[test]
fn the_installed_runner_runs() {
    let folder = tempfile::tempdir().unwrap();
    let installed = folder.path().join("petiole-runner");
    for _ in 0..2 {
        let mut install = Command::new(RUNNER_BINARY).arg("install").arg(folder.path()).spawn().unwrap();
        assert!(ended(&mut install).success());
    }
    assert_eq!(std::fs::metadata(&installed).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let version = Command::new(&installed).arg("--version").output().unwrap();
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        concat!("petiole-runner ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn what_cannot_be_done_is_told_with_its_cause() {
    for (arguments, code, words) in [
        (&["install", "/nowhere"][..], 1, "failed to install the runner in /nowhere: No such file"),
        (&["--fast"], 64, "unknown option --fast"),
        (&[], 64, "PETIOLE_SOCKET"),
    ] {
        let output =
            Command::new(RUNNER_BINARY).args(arguments).env_remove("PETIOLE_SOCKET").output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(words), "{text}");
        assert_eq!(output.status.code(), Some(code));
    }
}
