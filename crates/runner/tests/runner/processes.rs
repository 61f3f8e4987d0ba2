//! Processes: what they get, what is told of them, what they cannot do.

use nix::sys::signal::Signal;
use petiole_contract::control::{FromRunner, Output, Start, Status, ToRunner};
use petiole_contract::exec::{MAX_ARGUMENT, STDERR_TAIL};

use crate::rig::{Held, LIMIT, Rig, sh};

#[test]
fn a_process_gets_its_input_and_environment_and_its_end_is_told() {
    let mut rig = Rig::new();
    let start = Start {
        env: vec![("PETIOLE_TASK_ID".to_owned(), "e3".to_owned())],
        ..sh(1, r#"cat; echo " $PETIOLE_TASK_ID $FROM_THE_IMAGE $PETIOLE_SOCKET"; echo oops >&2; exit 3"#)
    };
    let (exited, payload) = rig.run(start, b"input");
    assert_eq!(exited.status, Status::Code(3));
    assert_eq!(exited.stderr, "oops\n");
    assert!(!exited.cut && !exited.abandoned);
    assert_eq!(exited.output, payload.len());
    assert_eq!(String::from_utf8(payload).unwrap(), format!("input e3 yes {}\n", rig.socket().display()));
    rig.line(|line| line == "[task-1] oops");
}

#[test]
fn the_id_of_a_process_is_told_before_its_end() {
    let mut rig = Rig::new();
    rig.send(&ToRunner::Start(sh(1, "echo $$")), b"");
    let pid = rig.started(1);
    let (_, output) = rig.exited();
    assert_eq!(String::from_utf8(output).unwrap(), format!("{pid}\n"));
}

#[test]
fn output_becomes_labelled_lines_of_the_log() {
    let mut rig = Rig::new();
    let start = Start { output: Output::Log, ..sh(7, "echo one; printf two; printf three >&2") };
    let (exited, payload) = rig.run(start, b"");
    assert_eq!((exited.status, exited.output, payload.len()), (Status::Code(0), 0, 0));
    let mut lines = [0; 3].map(|_| rig.line(|line| line.starts_with("[task-7] ")));
    lines.sort_unstable();
    assert_eq!(lines, ["[task-7] one", "[task-7] three", "[task-7] two"]);
}

#[test]
fn a_signal_reaches_the_whole_group() {
    let mut rig = Rig::new();
    let (parent, child) = (Held::new(rig.folder.path(), "parent"), Held::new(rig.folder.path(), "child"));
    rig.send(&ToRunner::Start(sh(1, &format!("({}) & {}", child.script(), parent.script()))), b"");
    parent.started();
    child.started();
    rig.send(&ToRunner::Signal { process: 1, signal: Signal::SIGTERM as i32 }, b"");
    let (exited, _) = rig.exited();
    assert_eq!(exited.status, Status::Signal(Signal::SIGTERM as i32));
    child.gone();
}

#[test]
fn a_task_may_handle_the_soft_limits_signal() {
    let mut rig = Rig::new();
    let held = Held::new(rig.folder.path(), "held");
    let script = format!(
        "trap 'echo cleaned; exit 0' TERM; exec 9>{}; echo started >&9; while :; do sleep 1000 & wait; done",
        held.path.display()
    );
    rig.send(&ToRunner::Start(sh(1, &script)), b"");
    held.started();
    rig.send(&ToRunner::Signal { process: 1, signal: Signal::SIGTERM as i32 }, b"");
    let (exited, payload) = rig.exited();
    assert_eq!((exited.status, &payload[..]), (Status::Code(0), &b"cleaned\n"[..]));
}

#[test]
fn a_signal_without_a_name_is_told_by_its_number() {
    let mut rig = Rig::new();
    let (exited, _) = rig.run(sh(1, "kill -40 $$"), b"");
    assert_eq!(exited.status, Status::Signal(40));
    // So is one that ends an orphan: it is collected, and nothing stalls.
    let (exited, _) = rig.run(sh(2, "(setsid sh -c 'kill -40 $$' &)"), b"");
    assert_eq!(exited.status, Status::Code(0));
    no_children(&mut rig);
}

#[test]
fn what_cannot_be_started_is_told_in_words() {
    let mut rig = Rig::new();
    let script = rig.folder.path().join("script");
    std::fs::write(&script, "no program").unwrap();
    let script = script.display().to_string();
    let long = "a".repeat(MAX_ARGUMENT + 1);
    for (process, (command, words)) in (1..).zip([
        (vec!["no-such-program"], "no program no-such-program in the image's PATH"),
        (vec!["/no/such/program"], "no program /no/such/program"),
        (vec![&script], "not executable"),
        (vec!["true", &long], "use stdin"),
        (vec!["true", "a\0b"], "nul byte"),
        (vec![], "empty"),
    ]) {
        let command = command.into_iter().map(str::to_owned).collect();
        let (exited, payload) = rig.run(Start { command, ..sh(process, "") }, b"input");
        let Status::NotStarted(why) = exited.status else { panic!("{:?}", exited.status) };
        assert!(why.contains(words), "{why}");
        assert_eq!(payload, b"");
    }
}

#[test]
fn the_longest_argument_is_passed() {
    let mut rig = Rig::new();
    let command = vec!["printf".to_owned(), "%s".to_owned(), "a".repeat(MAX_ARGUMENT)];
    let (exited, payload) = rig.run(Start { command, ..sh(1, "") }, b"");
    assert_eq!((exited.status, payload.len()), (Status::Code(0), MAX_ARGUMENT));
}

#[test]
fn a_number_that_runs_is_not_started_again() {
    let mut rig = Rig::new();
    rig.send(&ToRunner::Start(sh(1, "sleep 1000")), b"");
    let (exited, _) = rig.run(sh(1, "true"), b"");
    assert!(matches!(exited.status, Status::NotStarted(_)));
}

#[test]
fn what_a_process_says_of_its_progress_is_passed_on() {
    let mut rig = Rig::new();
    let held = Held::new(rig.folder.path(), "held");
    let script = r#"echo '{"state": "A"}' > "$PETIOLE_PROGRESS"; "#;
    rig.send(&ToRunner::Start(sh(7, &format!("{script}{}", held.script()))), b"");
    rig.started(7);
    let (frame, line) = rig.receive();
    assert_eq!((frame, &line[..]), (FromRunner::Progress { process: 7 }, &b"{\"state\": \"A\"}\n"[..]));
    rig.send(&ToRunner::Signal { process: 7, signal: Signal::SIGKILL as i32 }, b"");
    rig.exited();
}

#[test]
fn of_many_states_the_last_is_passed_on() {
    let mut rig = Rig::new();
    let held = Held::new(rig.folder.path(), "held");
    let script =
        r#"exec 8> "$PETIOLE_PROGRESS"; for i in $(seq 5000); do echo "$i" >&8; done; echo end >&8; "#;
    rig.send(&ToRunner::Start(sh(7, &format!("{script}{}", held.script()))), b"");
    let mut frames = 0;
    while rig.receive().1 != b"end\n" {
        frames += 1;
    }
    assert!(frames < 1000, "{frames} of 5000");
    rig.send(&ToRunner::Signal { process: 7, signal: Signal::SIGKILL as i32 }, b"");
    rig.exited();
}

#[test]
fn a_process_that_has_no_progress_to_tell_has_no_pipe_for_it() {
    let mut rig = Rig::new();
    let start = Start { progress: false, ..sh(1, r#"echo "$PETIOLE_PROGRESS""#) };
    assert_eq!(rig.run(start, b"").1, b"\n");
}

#[test]
fn the_report_file_follows_the_captured_output() {
    let mut rig = Rig::new();
    let script = r#"echo out; printf '{"result": 1}' > "$PETIOLE_RESULT"; echo "$PETIOLE_RESULT" >&2"#;
    let (exited, payload) = rig.run(sh(1, script), b"");
    assert_eq!(exited.output, 4);
    assert_eq!(&payload[..], b"out\n{\"result\": 1}");
    assert!(!std::path::Path::new(exited.stderr.trim()).exists());

    let script = r#"head -c 2000 /dev/zero > "$PETIOLE_RESULT""#;
    let (exited, payload) = rig.run(Start { limit: 1000, ..sh(2, script) }, b"");
    assert_eq!((exited.cut, exited.output, payload.len()), (true, 0, 1000));
}

#[test]
fn large_input_and_output_pass_while_others_run() {
    let mut rig = Rig::new();
    let input: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    rig.send(&ToRunner::Start(sh(1, "sleep 1000")), &input);
    let (exited, payload) = rig.run(sh(2, "cat"), &input);
    assert_eq!((exited.status, exited.cut), (Status::Code(0), false));
    assert!(payload == input, "the output differs from the input");
    // One that does not read its input is no trouble either.
    let (exited, payload) = rig.run(sh(3, "echo done"), &input);
    assert_eq!((exited.status, &payload[..]), (Status::Code(0), &b"done\n"[..]));
}

#[test]
fn output_over_the_limit_is_cut_and_told() {
    let mut rig = Rig::new();
    let (exited, payload) = rig.run(Start { limit: 1000, ..sh(1, "head -c 1001 /dev/zero") }, b"");
    assert_eq!((exited.cut, exited.output, payload.len()), (true, 1000, 1000));
    let (exited, payload) = rig.run(Start { limit: 1000, ..sh(2, "head -c 1000 /dev/zero") }, b"");
    assert_eq!((exited.cut, exited.output, payload.len()), (false, 1000, 1000));
}

#[test]
fn the_tail_of_standard_error_is_kept() {
    let mut rig = Rig::new();
    let (exited, _) = rig.run(sh(1, "head -c 100000 /dev/zero | tr '\\0' a >&2; echo end >&2"), b"");
    assert_eq!(exited.stderr.len(), STDERR_TAIL);
    assert!(exited.stderr.ends_with("aaaend\n"));
}

#[test]
fn a_grandchild_ends_with_its_process() {
    let mut rig = Rig::new();
    let held = Held::new(rig.folder.path(), "held");
    let gate = rig.folder.path().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // The grandchild holds the pipe of the captured output too, and does not keep `exited` waiting. Without an
    // environment only its group says where it belongs, while another process runs.
    rig.send(&ToRunner::Start(sh(2, "sleep 1000")), b"");
    let grandchild = format!("env -i PATH=\"$PATH\" sh -c '{}'", held.script());
    let script = format!("{grandchild} & read go < {}; echo done", gate.display());
    rig.send(&ToRunner::Start(sh(1, &script)), b"");
    held.started();
    std::fs::write(&gate, "go\n").unwrap();
    let (exited, payload) = rig.exited();
    assert_eq!((exited.process, exited.status, &payload[..]), (1, Status::Code(0), &b"done\n"[..]));
    held.gone();
    rig.send(&ToRunner::KillAll {}, b"");
    assert_eq!(rig.exited().0.process, 2);
    no_children(&mut rig);
}

#[test]
fn a_grandchild_that_left_the_group_ends_with_its_process() {
    let mut rig = Rig::new();
    let (held, other) = (Held::new(rig.folder.path(), "held"), Held::new(rig.folder.path(), "other"));
    let escape = |held: &Held| format!("setsid sh -c '{}' & ", held.script());
    // Another process runs on, and keeps what it has started in the same way.
    rig.send(&ToRunner::Start(sh(1, &format!("{} sleep 1000", escape(&other)))), b"");
    other.started();
    rig.send(&ToRunner::Start(sh(2, &format!("{} sleep 1000", escape(&held)))), b"");
    held.started();
    rig.send(&ToRunner::Signal { process: 2, signal: Signal::SIGKILL as i32 }, b"");
    let (exited, _) = rig.exited();
    assert_eq!((exited.process, exited.status), (2, Status::Signal(Signal::SIGKILL as i32)));
    held.gone();

    rig.send(&ToRunner::KillAll {}, b"");
    assert_eq!(rig.exited().0.process, 1);
    other.gone();
}

#[test]
fn orphans_are_collected() {
    let mut rig = Rig::new();
    let held = Held::new(rig.folder.path(), "held");
    let script = format!("(setsid sh -c 'exec 9>{}; echo started >&9' &) ; sleep 1000", held.path.display());
    rig.send(&ToRunner::Start(sh(1, &script)), b"");
    held.started();
    held.gone();
    rig.send(&ToRunner::Signal { process: 1, signal: Signal::SIGKILL as i32 }, b"");
    assert_eq!(rig.exited().0.process, 1);
    no_children(&mut rig);
}

#[test]
fn a_flood_of_output_stalls_nothing() {
    let mut rig = Rig::unread();
    for process in [1, 2] {
        rig.send(&ToRunner::Start(Start { output: Output::Log, ..sh(process, "yes") }), b"");
    }
    rig.send(&ToRunner::Start(sh(3, "yes | head -c 20000000 >&2; echo never")), b"");
    let (exited, payload) = rig.run(sh(4, "yes | head -c 1000000"), b"");
    assert_eq!((exited.status, payload.len()), (Status::Code(0), 1_000_000));
    for process in [1, 2, 3] {
        rig.send(&ToRunner::Signal { process, signal: Signal::SIGKILL as i32 }, b"");
        let (exited, _) = rig.exited();
        assert_eq!((exited.process, exited.status), (process, Status::Signal(Signal::SIGKILL as i32)));
    }
}

#[test]
fn a_slow_log_makes_processes_wait_and_loses_nothing() {
    let mut rig = Rig::unread();
    rig.send(&ToRunner::Start(Start { output: Output::Log, ..sh(1, "seq 300000") }), b"");
    // Twice what the runner takes before it drops anything has been read from another process by then.
    assert_eq!(rig.run(sh(2, "yes | head -c 4000000"), b"").1.len(), 4_000_000);
    rig.read_log();
    for number in 1..=300_000 {
        assert_eq!(rig.line(|_| true), format!("[task-1] {number}"));
    }
    assert_eq!(rig.exited().0.status, Status::Code(0));
}

#[test]
fn memory_does_not_grow_with_the_number_of_tasks() {
    let mut rig = Rig::new();
    let mut process = 0;
    let mut some = |rig: &mut Rig| {
        for _ in 0..200 {
            process += 1;
            let start = Start { limit: LIMIT, ..sh(process, "echo a; echo b >&2; echo c > $PETIOLE_RESULT") };
            rig.run(start, b"input");
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", rig.pid())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", rig.pid())).unwrap().count();
        (resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap(), descriptors)
    };
    let (before, descriptors) = some(&mut rig);
    let (after, descriptors_after) = some(&mut rig);
    assert!(after <= before + 256, "{before} kB after 200 tasks, {after} kB after 400");
    assert_eq!(descriptors, descriptors_after);
}

/// Waits until the runner has no children. Each round is one process of its own, whose end makes it look.
fn no_children(rig: &mut Rig) {
    let pid = rig.pid();
    let children = || {
        let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        listed.split_ascii_whitespace().count()
    };
    let none = (1000..1500).any(|process| {
        rig.run(sh(process, "true"), b"");
        children() == 0
    });
    assert!(none, "{} children are left", children());
}
