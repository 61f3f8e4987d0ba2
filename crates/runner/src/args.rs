//! The command line → what to do.

use std::ffi::OsString;
use std::path::PathBuf;

const HELP: &str = "\
Starts a task's processes, as the Petiole worker says.

  petiole-runner [SOCKET]       dial the worker's unix socket (default: $PETIOLE_SOCKET)
  petiole-runner install DIR    copy this program to DIR/petiole-runner
  petiole-runner --version
";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    Run { socket: PathBuf },
    Install { folder: PathBuf },
    Say(String),
}

/// Reads the arguments, without the program's own name. An error says what to write.
pub(crate) fn parse(
    mut arguments: impl Iterator<Item = OsString>,
    socket: Option<OsString>,
) -> Result<Invocation, String> {
    let first = arguments.next();
    let second = arguments.next();
    if let Some(extra) = arguments.next() {
        return Err(format!("unexpected argument {}; see --help", extra.display()));
    }
    let socket = socket.filter(|path| !path.is_empty());
    match (first, second) {
        (Some(word), Some(folder)) if word == "install" => Ok(Invocation::Install { folder: folder.into() }),
        (Some(word), None) if word == "install" => Err("say where to: petiole-runner install DIR".to_owned()),
        (_, Some(extra)) => Err(format!("unexpected argument {}; see --help", extra.display())),
        (Some(word), None) if word == "--help" || word == "-h" => Ok(Invocation::Say(HELP.to_owned())),
        (Some(word), None) if word == "--version" => {
            Ok(Invocation::Say(format!("petiole-runner {}\n", env!("CARGO_PKG_VERSION"))))
        }
        (Some(word), None) if word.as_encoded_bytes().starts_with(b"-") => {
            Err(format!("unknown option {}; see --help", word.display()))
        }
        (Some(path), None) => Ok(Invocation::Run { socket: path.into() }),
        (None, None) => match socket {
            Some(path) => Ok(Invocation::Run { socket: path.into() }),
            None => Err("give the path of the worker's socket, or set PETIOLE_SOCKET; see --help".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_all(arguments: &[&str], socket: Option<&str>) -> Result<Invocation, String> {
        parse(arguments.iter().map(OsString::from), socket.map(OsString::from))
    }

    #[test]
    fn the_socket_is_the_argument_before_the_environment() {
        let run = |path: &str| Ok(Invocation::Run { socket: path.into() });
        assert_eq!(parse_all(&["/a"], Some("/b")), run("/a"));
        assert_eq!(parse_all(&[], Some("/b")), run("/b"));
        assert!(parse_all(&[], Some("")).unwrap_err().contains("PETIOLE_SOCKET"));
        assert!(parse_all(&[], None).unwrap_err().contains("PETIOLE_SOCKET"));
    }

    #[test]
    fn install_needs_a_folder() {
        assert_eq!(parse_all(&["install", "/d"], None), Ok(Invocation::Install { folder: "/d".into() }));
        assert!(parse_all(&["install"], None).unwrap_err().contains("install DIR"));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for arguments in [&["--fast"][..], &["/a", "/b"], &["install", "/d", "/e"]] {
            assert!(parse_all(arguments, None).unwrap_err().contains("--help"), "{arguments:?}");
        }
    }
}
