//! The values that JSON has no type for, as Celery's serializer marks them: `{"__type__": "uuid", "__value__": ...}`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;

use super::text::text;
use crate::json;

/// A marked value.
pub(super) enum Typed {
    Bytes(Vec<u8>),
    /// What Python prints.
    Other(String),
}

impl Typed {
    /// Reads an object that may be one; `None` when Celery would not read it as such.
    pub(super) fn read(object: &str) -> Option<Self> {
        let members = json::members(object.as_bytes()).ok()?;
        let [(first, one), (second, two)] = &members[..] else {
            return None;
        };
        let (kind, value) = match (&**first, &**second) {
            ("__type__", "__value__") => (one, two),
            ("__value__", "__type__") => (two, one),
            _ => return None,
        };
        let value_text = || json::string(value);
        match &*json::string(kind)? {
            "bytes" => Some(Self::Bytes(value_text()?.into_owned().into_bytes())),
            "base64" => Some(Self::Bytes(STANDARD.decode(&*value_text()?).ok()?)),
            "datetime" => datetime(&value_text()?).map(Self::Other),
            "date" => date(&value_text()?).map(Self::Other),
            "time" => time(&value_text()?).map(Self::Other),
            "decimal" => {
                let value = value_text()?;
                let is_decimal = value.parse::<f64>().is_ok() || value.ends_with("NaN");
                is_decimal.then(|| Self::Other(format!("Decimal({})", text(&value))))
            }
            "uuid" => uuid(value).map(Self::Other),
            _ => None,
        }
    }
}

fn datetime(value: &str) -> Option<String> {
    let (at, offset) = pieces(value)?;
    let day = format!("{}, {}, {}", at.year(), at.month(), at.day());
    Some(format!("datetime.datetime({day}, {}{})", clock(at.time()), zone(offset)))
}

fn date(value: &str) -> Option<String> {
    let date: Date = pieces(value)?.0.date();
    Some(format!("datetime.date({}, {}, {})", date.year(), date.month(), date.day()))
}

fn time(value: &str) -> Option<String> {
    let (at, offset) = pieces(&format!("1970-01-01T{value}"))?;
    Some(format!("datetime.time({}{})", clock(at.time()), zone(offset)))
}

fn pieces(value: &str) -> Option<(DateTime, Option<Offset>)> {
    let pieces = Pieces::parse(value).ok()?;
    Some((pieces.date().to_datetime(pieces.time().unwrap_or_default()), pieces.to_numeric_offset()))
}

/// Seconds and microseconds are only there where they are not zero.
fn clock(time: Time) -> String {
    let micros = time.subsec_nanosecond() / 1000;
    let mut parts = vec![time.hour().to_string(), time.minute().to_string()];
    if time.second() != 0 || micros != 0 {
        parts.push(time.second().to_string());
    }
    if micros != 0 {
        parts.push(micros.to_string());
    }
    parts.join(", ")
}

fn zone(offset: Option<Offset>) -> Cow<'static, str> {
    let Some(offset) = offset else {
        return Cow::Borrowed("");
    };
    let seconds = offset.seconds();
    let delta = match (seconds.div_euclid(86_400), seconds.rem_euclid(86_400)) {
        (0, 0) => return Cow::Borrowed(", tzinfo=datetime.timezone.utc"),
        (0, seconds) => format!("seconds={seconds}"),
        (days, seconds) => format!("days={days}, seconds={seconds}"),
    };
    Cow::Owned(format!(", tzinfo=datetime.timezone(datetime.timedelta({delta}))"))
}

fn uuid(value: &str) -> Option<String> {
    let members = json::members(value.as_bytes()).ok()?;
    let [(name, hex)] = &members[..] else {
        return None;
    };
    let hex = json::string(hex).filter(|_| name == "hex")?;
    let is_uuid = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_uuid.then(|| {
        let hex = hex.to_ascii_lowercase();
        format!("UUID('{}-{}-{}-{}-{}')", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    })
}
