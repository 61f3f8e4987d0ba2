//! Lines for people or JSON for collectors; the chain of an error, printed once.

use std::error::Error;
use std::fmt;
use std::io::IsTerminal;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Environment variable: which lines are wanted, by level and by module (`info`, `warn,petiole_worker=debug`).
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

/// What is logged where [`FILTER`] does not say it.
const DEFAULT_FILTER: &str = "info";

/// Starts logging on standard error. Called once, by `main`.
pub fn start(format: Format) {
    let wanted = std::env::var(FILTER).ok().filter(|wanted| !wanted.is_empty());
    let wanted = wanted.as_deref().unwrap_or(DEFAULT_FILTER);
    let (filter, refused) = filter(wanted);
    let terminal = std::io::stderr().is_terminal();
    let text = std::env::var(FORMAT).map_or(terminal || format == Format::Text, |named| named == "text");
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if text {
        lines.with_ansi(terminal).with_target(false).boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    };
    // A second call finds a subscriber in place and changes nothing: harmless in tests.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
    if let Some(error) = refused {
        tracing::warn!(
            wanted,
            %error,
            "{FILTER} cannot be read and is passed over: write levels and modules, like warn,petiole_worker=debug"
        );
    }
}

/// The filter that these words name; [`DEFAULT_FILTER`] and the reason, where they name none. Not `EnvFilter`: its
/// regular expressions, for spans, which we do not have, are a tenth of the worker's program.
fn filter(wanted: &str) -> (Targets, Option<ParseError>) {
    match wanted.parse() {
        Ok(filter) => (filter, None),
        Err(error) => (Targets::new().with_default(tracing::Level::INFO), Some(error)),
    }
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
    fn a_filter_names_levels_and_modules() {
        let (filter, refused) = filter("warn,petiole_worker=debug");
        assert!(refused.is_none());
        assert!(filter.would_enable("petiole_worker::run", &tracing::Level::DEBUG));
        assert!(!filter.would_enable("redis", &tracing::Level::INFO));
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_the_usual_one() {
        let (filter, refused) = filter("petiole_worker=loud");
        assert!(refused.is_some());
        assert!(filter.would_enable("petiole_worker", &tracing::Level::INFO));
        assert!(!filter.would_enable("petiole_worker", &tracing::Level::DEBUG));
    }

    #[test]
    fn a_chain_names_each_cause_once() {
        let error = Outer(std::io::Error::other("permission denied"));
        assert_eq!(Chain(&error).to_string(), "failed to read the pool's file: permission denied");
    }
}
