//! Processes that left their group (`setsid`) and whose parents have ended: the kernel gives them to the runner.
//!
//! An orphan belongs to the process in whose environment it was started, which is read off the path of its result
//! file. It may run for as long as that one does. One that cleared its environment may run as long as anything
//! does.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::SplitAsciiWhitespace;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use petiole_contract::exec::RESULT;

/// Which field of `/proc/PID/stat` says where the environment begins, from the state on (`env_start`, the 50th of all); the
/// next one says where it ends.
const ENV_START: usize = 47;

/// A child of the runner that it has not started itself.
#[derive(Debug)]
pub(crate) struct Orphan {
    pid: Pid,
    /// The process that it belongs to.
    pub(crate) owner: Option<u64>,
    /// It is about to become another program, and nobody can say whose it is before it has.
    pub(crate) loading: bool,
}

impl Orphan {
    pub(crate) fn kill(&self) {
        // It is a child that has not been collected: the number is still its own.
        let _ = kill(self.pid, Signal::SIGKILL);
    }
}

/// The living orphans. `started` says which children the runner started itself, `reports` is the folder of the
/// result files.
pub(crate) fn find(started: impl Fn(Pid) -> bool, reports: &Path) -> Vec<Orphan> {
    children()
        .filter(|child| !child.zombie && !started(child.pid))
        .map(|child| {
            let environment = environment(child.pid);
            let owner = environment.as_ref().and_then(|environment| owner(environment, reports));
            Orphan { pid: child.pid, owner, loading: environment.is_none() }
        })
        .collect()
}

/// The environment of a process, an empty one where it may not be read; nothing, while the process is about to become another
/// program (`execve`). Then the kernel says for a while that it has none, and in `/proc/PID/stat` that it has no place for
/// one: those of a process that was started without any have a place.
fn environment(pid: Pid) -> Option<Vec<u8>> {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    if !environment.is_empty() {
        return Some(environment);
    }
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let place = after_name(&stat).and_then(|mut fields| Some((fields.nth(ENV_START)?, fields.next()?)));
    // Between the two looks it may have got one.
    place.is_none_or(|(start, end)| start == end && end != "0").then_some(environment)
}

/// Collects the orphans that have ended.
pub(crate) fn reap(started: impl Fn(Pid) -> bool) {
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::All, ended) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) if !started(pid) => {
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            }
            Err(Errno::EINVAL) => {
                // Ended by a signal that nix has no name for, nor a process id then.
                for child in children().filter(|child| child.zombie && !started(child.pid)) {
                    let _ = waitpid(child.pid, Some(WaitPidFlag::WNOHANG));
                }
                return;
            }
            // Nobody; or one that was started itself and has ended since it was last asked: SIGCHLD says so again.
            _ => return,
        }
    }
}

/// Whether the runner has any child.
pub(crate) fn exist() -> bool {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, look) != Err(Errno::ECHILD)
}

struct Relative {
    pid: Pid,
    zombie: bool,
}

/// The runner's children. Not every kernel lists them by parent; where it does not, all processes are looked at.
fn children() -> impl Iterator<Item = Relative> {
    among(listed().unwrap_or_else(|_| everything()))
}

fn listed() -> io::Result<Vec<i32>> {
    let listed = fs::read_to_string("/proc/thread-self/children")?;
    Ok(listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

fn everything() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn among(candidates: Vec<i32>) -> impl Iterator<Item = Relative> {
    let own = std::process::id().to_string();
    candidates.into_iter().filter_map(move |pid| {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let (state, parent) = state_and_parent(&stat)?;
        (parent == own).then(|| Relative { pid: Pid::from_raw(pid), zombie: state == "Z" })
    })
}

/// Reads `/proc/PID/stat`: `7 (any (name)) S 1 …`.
fn state_and_parent(stat: &[u8]) -> Option<(&str, &str)> {
    let mut fields = after_name(stat)?;
    Some((fields.next()?, fields.next()?))
}

/// The fields of `/proc/PID/stat` from the state on.
fn after_name(stat: &[u8]) -> Option<SplitAsciiWhitespace<'_>> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    Some(std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace())
}

/// Reads the owner off `/proc/PID/environ`.
fn owner(environment: &[u8], reports: &Path) -> Option<u64> {
    environment.split(|byte| *byte == 0).find_map(|variable| {
        let path = variable.strip_prefix(RESULT.as_bytes())?.strip_prefix(b"=")?;
        let name = path.strip_prefix(reports.as_os_str().as_bytes())?.strip_prefix(b"/")?;
        std::str::from_utf8(name).ok()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_are_found_with_and_without_the_kernels_list() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(exist());
        for candidates in listed().into_iter().chain([everything()]) {
            assert!(candidates.len() > 1 || candidates == [pid]);
            let found: Vec<_> = among(candidates).filter(|found| found.pid.as_raw() == pid).collect();
            assert!(matches!(&found[..], [Relative { zombie: false, .. }]));
        }
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    /// Whoever was looked at in the middle of `execve` had none, and its orphans outlived it.
    #[test]
    fn a_process_that_becomes_another_program_is_not_taken_for_one_without_environment() {
        for _ in 0..100 {
            let mut shell = Command::new("sh");
            shell.args(["-c", "exec cat"]).env_clear().env("A", "b");
            let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            for _ in 0..50 {
                assert!(environment(pid).is_none_or(|environment| environment.starts_with(b"A=b")));
            }
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(b"x").unwrap();
            child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
            assert!(environment(pid).unwrap().starts_with(b"A=b"));
            drop(stdin);
            child.wait().unwrap();
        }
    }

    #[test]
    fn a_process_without_environment_has_an_empty_one() {
        let mut child =
            Command::new("cat").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"x").unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        assert_eq!(environment(Pid::from_raw(i32::try_from(child.id()).unwrap())), Some(Vec::new()));
        drop(stdin);
        child.wait().unwrap();
    }

    #[test]
    fn a_name_with_parentheses_does_not_hide_the_parent() {
        assert_eq!(state_and_parent(b"7 (a) b) Z 42 1 1\n"), Some(("Z", "42")));
        assert_eq!(state_and_parent(b"7"), None);
    }

    #[test]
    fn the_owner_is_read_off_the_environment() {
        let reports = Path::new("/run/results-1");
        let environment = b"A=b\0PETIOLE_RESULT=/run/results-1/12\0C=d\0";
        assert_eq!(owner(environment, reports), Some(12));
        assert_eq!(owner(environment, Path::new("/run/results-2")), None);
        assert_eq!(owner(b"PETIOLE_RESULT=/run/results-1/x\0", reports), None);
        assert_eq!(owner(b"", reports), None);
    }
}
