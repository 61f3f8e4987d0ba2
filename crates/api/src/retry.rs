//! `retry`: when a task is tried again, and how often.

use std::borrow::Cow;
use std::fmt;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::duration::Duration;

/// When a task is tried again, and how often. The defaults are Celery's, except that Celery has jitter on where the
/// waits grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = ("duration(self.delay) <= duration(self.maxDelay)",
        "delay must not be longer than maxDelay, which is 10m when it is not written: write a longer maxDelay, or a \
         shorter delay")
)]
pub struct Retry {
    /// How many times a task is tried again before it fails (Celery's `max_retries`): a whole number, or `none` for no
    /// end. `max` in the task's report file or frame comes before it.
    #[serde(default)]
    pub max: MaxRetries,
    /// How long the task waits until it is tried again (Celery's `default_retry_delay`). `countdown` in the task's
    /// report file or frame comes before it.
    #[serde(default = "Retry::default_delay")]
    pub delay: Duration,
    /// How the waits grow. Fixed: each is delay. Exponential: each is twice the one before it.
    #[serde(default)]
    pub backoff: Backoff,
    /// The longest wait, where backoff is Exponential (Celery's `retry_backoff_max`).
    #[serde(default = "Retry::default_max_delay")]
    pub max_delay: Duration,
    /// Whether each wait is cut to a random part of itself (Celery's `retry_jitter`, which is on there where the waits
    /// grow), so that tasks that failed together are not tried again together.
    #[serde(default)]
    pub jitter: bool,
    /// Exit codes after which the task is tried again, in mode Exec. 75 (`EX_TEMPFAIL`) always is one and need not be
    /// written here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(range(min = 1, max = 255)))]
    #[x_kube(validation = ("self.all(code, code >= 1 && code <= 255)",
        "write exit codes from 1 to 255: 0 is success, and a process has no others"))]
    pub on_exit_codes: Vec<u8>,
    /// Names of the exceptions after which the task is tried again (Celery's `autoretry_for`), with their module or
    /// without: `requests.exceptions.Timeout` or `Timeout`. Each is the very class that the task fails with, as its
    /// report file or frame names it: a base class does not stand for those derived from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 255)))]
    #[x_kube(
        validation = ("self.all(name, name != '*')",
            "write the names of exceptions, such as TimeoutError or requests.exceptions.Timeout: * is not one"),
        validation = ("self.all(name, !(name in ['TimeLimitExceeded', 'billiard.exceptions.TimeLimitExceeded', \
            'WorkerLostError', 'billiard.exceptions.WorkerLostError']))",
            "a task that was killed at its timeLimit, or whose process died, is not tried again: leave \
             TimeLimitExceeded and WorkerLostError out. For a class of your own of that name write its module too")
    )]
    pub on_errors: Vec<String>,
}

/// How the waits grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Backoff {
    /// All are the same.
    #[default]
    Fixed,
    /// Each is twice the one before it.
    Exponential,
}

/// How many times a task is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxRetries {
    /// `none`: without end.
    None,
    /// That many times, at most [`MaxRetries::MOST`].
    Of(u32),
}

impl Retry {
    fn default_delay() -> Duration {
        Duration::THREE_MINUTES
    }

    fn default_max_delay() -> Duration {
        Duration::TEN_MINUTES
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max: MaxRetries::default(),
            delay: Self::default_delay(),
            backoff: Backoff::default(),
            max_delay: Self::default_max_delay(),
            jitter: false,
            on_exit_codes: Vec::new(),
            on_errors: Vec::new(),
        }
    }
}

impl MaxRetries {
    /// What is more than this is meant to have no end, and there is a word for that.
    pub const MOST: u32 = 1_000_000;

    /// How many, if there is an end.
    pub const fn finite(self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Of(times) => Some(times),
        }
    }
}

impl Default for MaxRetries {
    /// Celery's `max_retries`.
    fn default() -> Self {
        Self::Of(3)
    }
}

impl Serialize for MaxRetries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Of(times) => serializer.serialize_u32(*times),
        }
    }
}

impl<'de> Deserialize<'de> for MaxRetries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntOrNone;

        impl Visitor<'_> for IntOrNone {
            type Value = MaxRetries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a whole number from 0 to {}, or none", MaxRetries::MOST)
            }

            fn visit_u64<E: serde::de::Error>(self, times: u64) -> Result<MaxRetries, E> {
                match u32::try_from(times) {
                    Ok(times) if times <= MaxRetries::MOST => Ok(MaxRetries::Of(times)),
                    _ => Err(E::invalid_value(Unexpected::Unsigned(times), &self)),
                }
            }

            fn visit_i64<E: serde::de::Error>(self, times: i64) -> Result<MaxRetries, E> {
                match u64::try_from(times) {
                    Ok(times) => self.visit_u64(times),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(times), &self)),
                }
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MaxRetries, E> {
                match text {
                    "none" => Ok(MaxRetries::None),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(IntOrNone)
    }
}

impl JsonSchema for MaxRetries {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MaxRetries".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "x-kubernetes-validations": [{
                // A look at `type(self)` is too dear for the API server. A string that is not none has no `>=`, which is
                // an error and so a refusal as well.
                "rule": format!("self == 'none' || (self >= 0 && self <= {})", Self::MOST),
                "message": format!("write a whole number from 0 to {}, or none for no end", Self::MOST),
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn max_is_a_number_or_none() {
        for (written, max) in
            [(json!(0), MaxRetries::Of(0)), (json!(5), MaxRetries::Of(5)), (json!("none"), MaxRetries::None)]
        {
            assert_eq!(serde_json::from_value::<MaxRetries>(written.clone()).unwrap(), max);
            assert_eq!(serde_json::to_value(max).unwrap(), written);
        }
        for refused in [json!(-1), json!(1_000_001), json!(1.5), json!("3"), json!("forever"), json!(null)] {
            let error = serde_json::from_value::<MaxRetries>(refused).unwrap_err().to_string();
            assert!(error.contains("a whole number from 0 to 1000000, or none"), "{error}");
        }
    }

    #[test]
    fn a_retry_that_says_nothing_is_the_default() {
        let retry: Retry = serde_json::from_value(json!({})).unwrap();
        assert_eq!(retry, Retry::default());
        let written =
            json!({ "max": 3, "delay": "3m", "backoff": "Fixed", "maxDelay": "10m", "jitter": false });
        assert_eq!(serde_json::to_value(retry).unwrap(), written);
    }
}
