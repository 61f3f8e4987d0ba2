//! What is said: a list of figures, or why there is none. Pure.

use jiff::Timestamp;
use kube::core::{Selector, SelectorExt as _};
use serde_json::{Value, json};

use super::route::{GROUP, VERSION};
use super::series::Series;

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its status.
    pub code: u16,
    /// Its body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// For a probe.
    Text(&'static str),
    /// An object.
    Json(Value),
}

impl Answer {
    /// What was asked for.
    pub fn object(object: Value) -> Self {
        Self { code: 200, body: Body::Json(object) }
    }

    /// This server lives.
    pub fn alive() -> Self {
        Self { code: 200, body: Body::Text("ok") }
    }

    /// Why not, as a `Status` of the API.
    pub fn refusal(why: Why, message: impl Into<String>) -> Self {
        let (code, reason) = why.code_and_reason();
        Self {
            code,
            body: Body::Json(json!({
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": message.into(),
                "reason": reason,
                "code": code,
            })),
        }
    }
}

/// Why something is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The question cannot be read.
    BadRequest,
    /// Nobody knows who asks.
    Unauthorized,
    /// Who asks may not know.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// It can only be read.
    MethodNotAllowed,
    /// The API server did not say whether who asks may know.
    InternalError,
    /// It is not known now.
    ServiceUnavailable,
}

impl Why {
    fn code_and_reason(self) -> (u16, &'static str) {
        match self {
            Self::BadRequest => (400, "BadRequest"),
            Self::Unauthorized => (401, "Unauthorized"),
            Self::Forbidden => (403, "Forbidden"),
            Self::NotFound => (404, "NotFound"),
            Self::MethodNotAllowed => (405, "MethodNotAllowed"),
            Self::InternalError => (500, "InternalError"),
            Self::ServiceUnavailable => (503, "ServiceUnavailable"),
        }
    }
}

/// Those figures that were selected. When one of them is not known, none is: their sum would be too small.
pub fn figures(metric: &str, series: &[Series], selector: &Selector) -> Answer {
    let selected = series.iter().filter(|one| selector.matches(&one.labels));
    let items: Result<Vec<Value>, &String> =
        selected.map(|one| one.value.as_ref().map(|value| item(metric, one, *value))).collect();
    match items {
        Ok(items) => Answer::object(json!({
            "kind": "ExternalMetricValueList",
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "metadata": {},
            "items": items,
        })),
        Err(why) => Answer::refusal(Why::ServiceUnavailable, format!("{metric} is not known: {why}")),
    }
}

fn item(metric: &str, one: &Series, (value, at): (u64, Timestamp)) -> Value {
    json!({
        "metricName": metric,
        "metricLabels": one.labels,
        // The API has whole seconds.
        "timestamp": Timestamp::from_second(at.as_second()).unwrap_or(at).to_string(),
        // A quantity holds no more.
        "value": value.min(i64::MAX.unsigned_abs()).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::selector;
    use super::*;

    fn series(queue: &str, value: Result<u64, &str>) -> Series {
        Series {
            labels: [("queue".to_owned(), queue.to_owned())].into(),
            value: value
                .map(|value| (value, Timestamp::from_millisecond(1500).unwrap()))
                .map_err(ToOwned::to_owned),
        }
    }

    #[test]
    fn what_was_selected_is_listed_as_the_api_has_it() {
        let all = [series("a", Ok(7)), series("b", Ok(u64::MAX))];
        let answer = figures("m", &all, &selector::parse("queue=a").unwrap());
        let item = json!({ "metricName": "m", "metricLabels": { "queue": "a" }, "timestamp": "1970-01-01T00:00:01Z",
            "value": "7" });
        let list = json!({ "kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1",
            "metadata": {}, "items": [item] });
        assert_eq!(answer, Answer::object(list));
        let Body::Json(list) = figures("m", &all, &Selector::default()).body else { panic!() };
        assert_eq!(list["items"][1]["value"], i64::MAX.to_string());
    }

    #[test]
    fn what_is_not_known_is_an_error_and_no_part_of_a_sum() {
        let all = [series("a", Ok(7)), series("b", Err("refused"))];
        let answer = |text: &str| figures("m", &all, &selector::parse(text).unwrap());
        assert_eq!(answer("queue=a").code, 200);
        let Answer { code, body: Body::Json(status) } = answer("") else { panic!() };
        assert_eq!((code, &status["reason"]), (503, &json!("ServiceUnavailable")));
        assert_eq!(status["message"], "m is not known: refused");
    }
}
