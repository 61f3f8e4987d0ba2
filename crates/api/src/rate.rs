//! `rateLimit`: how many of a task start in a time, in Celery's words: `10/s`, `100/m`, `5/h`.

use std::fmt;
use std::str::FromStr;

use crate::written::written_as_text;

/// What a rate looks like to the API server. Nothing in a time is none at all, and whoever means no limit writes none.
const PATTERN: &str = "[1-9][0-9]{0,6}/[smh]";
/// The longest text that [`PATTERN`] matches.
const MAX_LENGTH: usize = 9;

/// How many of a task start in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    tasks: u32,
    per: Per,
}

/// A time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
}

/// The text is no rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotARate(String);

impl RateLimit {
    /// That many a minute; nothing, when it is none at all, or more than can be written.
    pub const fn per_minute(tasks: u32) -> Option<Self> {
        if tasks == 0 || tasks > 9_999_999 { None } else { Some(Self { tasks, per: Per::Minute }) }
    }
}

impl FromStr for RateLimit {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let refuse = || NotARate(text.to_owned());
        let (tasks, per) = text.split_once('/').ok_or_else(refuse)?;
        let per = match per {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(refuse()),
        };
        let digits = tasks.len() <= 7 && tasks.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || tasks.starts_with('0') {
            return Err(refuse());
        }
        Ok(Self { tasks: tasks.parse().map_err(|_| refuse())?, per })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Per::Second => 's',
            Per::Minute => 'm',
            Per::Hour => 'h',
        };
        write!(formatter, "{}/{per}", self.tasks)
    }
}

impl fmt::Display for NotARate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} is not a rate: write 10/s, 100/m or 5/h", self.0)
    }
}

impl std::error::Error for NotARate {}

written_as_text!(
    RateLimit,
    PATTERN,
    3,
    MAX_LENGTH,
    "write how many start in a time, such as 10/s, 100/m or 5/h"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_printed_as_it_was_written() {
        for text in ["1/s", "10/s", "100/m", "9999999/h"] {
            assert_eq!(text.parse::<RateLimit>().unwrap().to_string(), text);
            assert!(text.len() <= MAX_LENGTH);
        }
        assert_eq!(RateLimit::per_minute(100), "100/m".parse().ok());
    }

    #[test]
    fn what_is_not_a_rate_is_refused_with_what_to_write() {
        for text in [
            "",
            "10",
            "/s",
            "0/s",
            "010/s",
            "1.5/s",
            "-1/s",
            "+1/s",
            "10/d",
            "10/ms",
            "10 /s",
            "12345678/s",
            "none",
        ] {
            assert!(text.parse::<RateLimit>().is_err(), "{text}");
        }
        let error = "10".parse::<RateLimit>().unwrap_err();
        assert_eq!(error.to_string(), r#""10" is not a rate: write 10/s, 100/m or 5/h"#);
        assert_eq!(RateLimit::per_minute(0), None);
        assert_eq!(RateLimit::per_minute(10_000_000), None);
    }
}
