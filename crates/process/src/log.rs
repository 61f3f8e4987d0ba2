//! Lines for people or JSON for collectors; the chain of an error, printed once.

use std::error::Error;
use std::fmt;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Environment variable: which lines are wanted (`info`, `petiole_worker=debug`).
pub const FILTER: &str = "PETIOLE_LOG";
/// Environment variable: `json` or `text`.
pub const FORMAT: &str = "PETIOLE_LOG_FORMAT";

/// How lines are written where [`FORMAT`] does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For collectors; for people all the same on a terminal.
    Json,
}

/// Starts logging on standard error. Called once, by `main`.
pub fn start(format: Format) {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let text = std::env::var(FORMAT).map_or(terminal || format == Format::Text, |named| named == "text");
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call finds a subscriber in place and changes nothing: harmless in tests.
    let _ = if text {
        lines.with_ansi(terminal).with_target(false).try_init()
    } else {
        lines.json().flatten_event(true).try_init()
    };
}

/// Shows an error with everything that caused it: `failed to read the pool's file: permission denied`.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to read the pool's file")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_chain_names_each_cause_once() {
        let error = Outer(std::io::Error::other("permission denied"));
        assert_eq!(Chain(&error).to_string(), "failed to read the pool's file: permission denied");
    }
}
