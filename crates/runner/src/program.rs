//! A command's first word → the program to start; and why one did not start, in words that say what to check.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use petiole_contract::exec::MAX_ARGUMENT;

/// Where programs are looked up when the image sets no `PATH`: what container runtimes set then.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds the program as `execvp` does: a name with a slash is a path, another is looked up in `PATH`. An error
/// says what to check.
pub(crate) fn find(name: &str, path: Option<&OsStr>) -> Result<PathBuf, String> {
    if name.is_empty() {
        return Err("the command is empty: write the program as its first word".to_owned());
    }
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut forbidden = None;
    for folder in path.as_bytes().split(|byte| *byte == b':') {
        let folder = if folder.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(folder)) };
        let program = folder.join(name);
        if !program.is_file() {
            continue;
        }
        if access(&program, AccessFlags::X_OK).is_ok() {
            return Ok(program);
        }
        forbidden = forbidden.or(Some(program));
    }
    Err(match forbidden {
        Some(program) => format!("{} is not executable for this user: check its mode", program.display()),
        None => format!(
            "there is no program {name} in the image's PATH ({}): check the name, or write its full path",
            path.display()
        ),
    })
}

/// Says why `program` did not start.
pub(crate) fn explain(program: &Path, error: &io::Error) -> String {
    let name = program.display();
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) if program.exists() => format!(
            "{name} is there, but not what it needs to start: the program in its #! line, or the dynamic loader \
             that it was linked for"
        ),
        Some(Errno::ENOENT | Errno::ENOTDIR) => {
            format!("there is no program {name} in the image: check the path")
        }
        Some(Errno::EACCES | Errno::EPERM) => {
            format!("{name} is not executable for this user: check its mode, and that it is a file")
        }
        Some(Errno::ENOEXEC) => format!(
            "{name} is no program for this machine: it was built for another architecture, or it is a script \
             without a #! line"
        ),
        Some(Errno::E2BIG) => format!(
            "the command or its environment is too long: one argument may have {MAX_ARGUMENT} bytes; use stdin"
        ),
        Some(Errno::EAGAIN) => format!("{name} was not started: the container may have no more processes"),
        _ => format!("{name} was not started: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_name_without_a_slash_is_looked_up_in_order() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = format!("{}:/nowhere:{}", first.path().display(), second.path().display());
        let path = Some(OsStr::new(&path));

        let missing = find("tool", path).unwrap_err();
        assert!(missing.contains("no program tool") && missing.contains("/nowhere"), "{missing}");

        fs::create_dir(first.path().join("tool")).unwrap();
        let program = second.path().join("tool");
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(find("tool", path).unwrap_err().contains("not executable"));

        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("tool", path).unwrap(), program);
    }

    #[test]
    fn without_a_path_the_usual_folders_are_searched() {
        assert!(find("sh", None).unwrap().ends_with("sh"));
    }

    #[test]
    fn a_name_with_a_slash_is_a_path() {
        assert_eq!(find("./tool", None).unwrap(), Path::new("./tool"));
        assert!(find("", None).unwrap_err().contains("empty"));
    }

    #[test]
    fn a_missing_interpreter_is_told_from_a_missing_program() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        let gone = io::Error::from_raw_os_error(Errno::ENOENT as i32);
        assert!(explain(&script, &gone).contains("no program"));
        fs::write(&script, "#!/nowhere\n").unwrap();
        assert!(explain(&script, &gone).contains("#!"));
    }
}
