//! Lengths of time as people write them: `90s`, `10m`, `1h30m`.
//!
//! The units are Go's (`h`, `m`, `s`, `ms`), as everywhere in Kubernetes, each at most once and in this order.

use std::fmt;
use std::str::FromStr;
use std::time;

use crate::written::written_as_text;

/// What a duration looks like to the API server. No part may be zero or start with zero, so none at all is zero.
const PATTERN: &str = "([1-9][0-9]{0,6}h)?([1-9][0-9]{0,6}m)?([1-9][0-9]{0,6}s)?([1-9][0-9]{0,6}ms)?";
/// The longest text that [`PATTERN`] matches.
const MAX_LENGTH: usize = 33;

/// The units, the largest first, and how many milliseconds they have.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A length of time that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(time::Duration);

/// The text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotADuration(String);

impl Duration {
    /// That many seconds; nothing, when it is none at all.
    pub const fn from_secs(seconds: u64) -> Option<Self> {
        if seconds == 0 { None } else { Some(Self(time::Duration::from_secs(seconds))) }
    }

    /// One minute.
    pub const MINUTE: Self = Self(time::Duration::from_mins(1));

    /// Three minutes: Celery's `default_retry_delay`.
    pub const THREE_MINUTES: Self = Self(time::Duration::from_mins(3));

    /// Ten minutes: Celery's `retry_backoff_max`.
    pub const TEN_MINUTES: Self = Self(time::Duration::from_mins(10));

    /// One hour.
    pub const HOUR: Self = Self::hours(1);

    /// That many hours, at least one.
    const fn hours(hours: u64) -> Self {
        Self(time::Duration::from_secs(hours.saturating_mul(3600)))
    }

    /// As the standard library has it.
    pub const fn get(self) -> time::Duration {
        self.0
    }

    /// In whole seconds, rounded up.
    pub const fn whole_seconds(self) -> u64 {
        self.0.as_secs() + (self.0.subsec_nanos() > 0) as u64
    }
}

impl FromStr for Duration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let refuse = || NotADuration(text.to_owned());
        let mut rest = text;
        let mut units = UNITS.iter();
        let mut milliseconds: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, tail) = rest.split_at(digits);
            if number.starts_with('0') || digits > 7 {
                return Err(refuse());
            }
            let number: u64 = number.parse().map_err(|_| refuse())?;
            let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_lowercase()).len();
            let (unit, tail) = tail.split_at(letters);
            let (_, size) = units.find(|(name, _)| *name == unit).ok_or_else(refuse)?;
            milliseconds += number * size;
            rest = tail;
        }
        if milliseconds == 0 { Err(refuse()) } else { Ok(Self(time::Duration::from_millis(milliseconds))) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        for (unit, size) in UNITS {
            let size = u128::from(size);
            if rest >= size {
                write!(formatter, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl fmt::Display for NotADuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} is not a duration: write 90s, 10m or 1h30m", self.0)
    }
}

impl std::error::Error for NotADuration {}

/// How long a task may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeLimit {
    /// `none`: for ever.
    None,
    /// As long as this.
    After(Duration),
}

impl TimeLimit {
    /// One hour: what a pool has that says nothing.
    pub const HOUR: Self = Self::After(Duration::hours(1));

    /// The limit, if there is one.
    pub const fn finite(self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::After(limit) => Some(limit),
        }
    }
}

impl FromStr for TimeLimit {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        if text == "none" { Ok(Self::None) } else { text.parse().map(Self::After) }
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::After(limit) => limit.fmt(formatter),
        }
    }
}

/// How long a result is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// `0`: for ever, as Celery's `result_expires` has it.
    Never,
    /// As long as this.
    After(Duration),
}

impl Expiry {
    /// Celery's default.
    pub const DAY: Self = Self::After(Duration::hours(24));
}

impl FromStr for Expiry {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        if text == "0" { Ok(Self::Never) } else { text.parse().map(Self::After) }
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => formatter.write_str("0"),
            Self::After(expiry) => expiry.fmt(formatter),
        }
    }
}

written_as_text!(Duration, PATTERN, 2, MAX_LENGTH, "write a duration such as 90s, 10m or 1h30m");
written_as_text!(
    TimeLimit,
    format!("(none|{PATTERN})"),
    2,
    MAX_LENGTH,
    "write a duration such as 90s, 10m or 1h30m, or none"
);
written_as_text!(
    Expiry,
    format!("(0|{PATTERN})"),
    1,
    MAX_LENGTH,
    "write a duration such as 90s, 10m or 24h, or 0 to keep results for ever"
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn milliseconds(text: &str) -> u128 {
        text.parse::<Duration>().unwrap().get().as_millis()
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        assert_eq!(milliseconds("90s"), 90_000);
        assert_eq!(milliseconds("10m"), 600_000);
        assert_eq!(milliseconds("1h30m"), 5_400_000);
        assert_eq!(milliseconds("1h1s500ms"), 3_601_500);
        assert_eq!(milliseconds("500ms"), 500);
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_what_to_write() {
        for text in [
            "",
            "0",
            "0s",
            "10",
            "m",
            "1h0m",
            "1.5h",
            "-1s",
            "1 h",
            "1m1h",
            "1h1h",
            "1d",
            "99999999s",
            "none",
        ] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
        let error = "10".parse::<Duration>().unwrap_err();
        assert_eq!(error.to_string(), r#""10" is not a duration: write 90s, 10m or 1h30m"#);
    }

    #[test]
    fn seconds_are_rounded_up_so_that_a_grace_period_is_never_too_short() {
        assert_eq!("1s1ms".parse::<Duration>().unwrap().whole_seconds(), 2);
        assert_eq!("1s".parse::<Duration>().unwrap().whole_seconds(), 1);
    }

    #[test]
    fn words_stand_for_what_has_no_end() {
        assert_eq!("none".parse(), Ok(TimeLimit::None));
        assert_eq!("0".parse(), Ok(Expiry::Never));
        assert_eq!(serde_json::to_string(&TimeLimit::HOUR).unwrap(), "\"1h\"");
        assert_eq!(serde_json::from_str::<Expiry>("\"24h\"").unwrap(), Expiry::DAY);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_the_same(milliseconds in 1_u64..36_000_000_000) {
            let duration = Duration(time::Duration::from_millis(milliseconds));
            prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
        }
    }
}
