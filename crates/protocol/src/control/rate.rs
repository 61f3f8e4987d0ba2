//! Rate limits: `10/m`.

use super::Answer;
use crate::json;
use crate::repr;

/// How often a task may start on a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimit {
    /// As it was given, for `registered`. Empty when it was turned off.
    text: String,
    per_second: Option<f64>,
}

/// Why a value is no rate limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRate {
    /// There is no number.
    #[error("{0:?} is no number: write a rate limit as 10/s, 10/m or 10/h")]
    Number(String),
    /// There is no such unit.
    #[error("there is no rate limit per {0:?}: write s, m or h")]
    Unit(String),
    /// Nothing would ever run.
    #[error("a rate limit must not be negative: {0}")]
    Negative(String),
}

impl RateLimit {
    /// Reads `10/m`, `10/s`, `10/h`, or a number of tasks a second. What is empty or 0 is no limit.
    pub fn parse(text: &str) -> Result<Self, InvalidRate> {
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        if text.is_empty() {
            return Ok(Self { text: String::new(), per_second: None });
        }
        let seconds = match unit {
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            other => return Err(InvalidRate::Unit(other.to_owned())),
        };
        let rate: f64 = number.trim().parse().map_err(|_| InvalidRate::Number(number.to_owned()))?;
        if rate.is_nan() || rate < 0.0 {
            return Err(InvalidRate::Negative(text.to_owned()));
        }
        let per_second = Some(rate / seconds).filter(|rate| *rate > 0.0 && rate.is_finite());
        Ok(Self { text: text.to_owned(), per_second })
    }

    /// Reads a JSON value: a text, a number, or null.
    pub(super) fn read(value: &str) -> Result<Self, InvalidRate> {
        if let Some(text) = json::string(value) {
            return Self::parse(&text);
        }
        match value {
            "null" | "false" | "0" | "0.0" => Self::parse(""),
            number if number.parse::<f64>().is_ok() => Self::parse(&repr::python(number)),
            other => Err(InvalidRate::Number(repr::python(other))),
        }
    }

    /// Tasks a second; `None` for no limit.
    pub fn per_second(&self) -> Option<f64> {
        self.per_second
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it was given as nothing, which Celery says in other words than a limit of 0.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl InvalidRate {
    /// What `rate_limit` answers.
    pub(super) fn answer(&self) -> Answer {
        let message = match self {
            // Celery does not catch this one.
            Self::Unit(unit) => return Answer::raised("KeyError", unit),
            Self::Number(number) => format!("could not convert string to float: {}", repr::text(number)),
            Self::Negative(_) => self.to_string(),
        };
        let error = repr::exception("ValueError", &format!("[{}]", json::quote(&message)));
        Answer::error(&format!("Invalid rate limit string: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_second(value: &str) -> Option<f64> {
        RateLimit::read(value).unwrap().per_second()
    }

    #[test]
    fn a_rate_is_so_many_tasks_a_unit() {
        assert_eq!(per_second("\"10/s\""), Some(10.0));
        assert_eq!(per_second("\"30/m\""), Some(0.5));
        assert_eq!(per_second("\" 1.8e3 /h\""), Some(0.5));
        assert_eq!(per_second("\"7\""), Some(7.0));
        assert_eq!(per_second("2.5"), Some(2.5));
        assert_eq!(RateLimit::read("7").unwrap().as_str(), "7");
    }

    #[test]
    fn nothing_and_zero_are_no_limit() {
        for value in ["null", "0", "0.0", "\"\"", "\"0/m\"", "false", "\"inf\""] {
            assert_eq!(per_second(value), None, "{value}");
        }
    }

    #[test]
    fn what_is_no_rate_says_what_to_write() {
        let why = |text| RateLimit::parse(text).unwrap_err().to_string();
        assert_eq!(why("xx"), "\"xx\" is no number: write a rate limit as 10/s, 10/m or 10/h");
        assert_eq!(why("5/d"), "there is no rate limit per \"d\": write s, m or h");
        assert_eq!(why("-1/s"), "a rate limit must not be negative: -1/s");
        assert_eq!(why("nan"), "a rate limit must not be negative: nan");
        assert_eq!(RateLimit::read("[]").unwrap_err(), InvalidRate::Number("[]".to_owned()));
    }
}
