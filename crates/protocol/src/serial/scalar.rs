//! A plain scalar of YAML → its value, by the rules of YAML 1.1 that `PyYAML` has; and times in ISO-8601.
//!
//! No library reads these: those that are kept follow YAML 1.2, where `yes` and `1:30` are texts and `010` is ten.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::civil::{Date, DateTime, Time};

use super::write::Scalar;

/// A text that looks like a number or a time, and is none: `2024-02-30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoValue;

/// What a plain scalar says.
pub(super) fn resolve(text: &str) -> Result<Scalar<'_>, NoValue> {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Scalar::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        // The key that merges another mapping, and the default of one: PyYAML has no value for either.
        "<<" | "=" => return Err(NoValue),
        _ if !text.starts_with(['-', '+', '.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) => {
            Scalar::Text(text.into())
        }
        _ => match float(text).or_else(|| integer(text)).or_else(|| timestamp(text)) {
            Some(value) => return value,
            None => Scalar::Text(text.into()),
        },
    };
    Ok(value)
}

/// A result that is `None` where the text is not of this type at all.
type Maybe<'a> = Option<Result<Scalar<'a>, NoValue>>;

fn unsigned(text: &str) -> (bool, &str) {
    match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    }
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digits, the first of which is one, and underscores.
fn digits_and_underscores(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_digit()) && tail(text, |byte| byte.is_ascii_digit())
}

fn tail(text: &str, digit: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(|byte| byte == b'_' || digit(byte))
}

/// Parts of base 60 behind the first: `:5`, `:05`, `:59`.
fn sixties(parts: &str) -> bool {
    parts.split(':').all(|part| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
}

pub(super) fn float(text: &str) -> Maybe<'_> {
    let (negative, rest) = unsigned(text);
    let sign = if negative { -1.0 } else { 1.0 };
    if let ".inf" | ".Inf" | ".INF" = rest {
        return Some(Ok(Scalar::Float(sign * f64::INFINITY)));
    }
    if let ".nan" | ".NaN" | ".NAN" = text {
        return Some(Ok(Scalar::Float(f64::NAN)));
    }
    let (before, after) = rest.split_once('.')?;
    if let Some((first, parts)) = before.split_once(':') {
        let fits =
            digits_and_underscores(first) && sixties(parts) && tail(after, |byte| byte.is_ascii_digit());
        return fits.then(|| base_60(&plain(rest)).map(|value| Scalar::Float(sign * value)));
    }
    let (fraction, exponent) = match after.split_once(['e', 'E']) {
        Some((fraction, exponent)) => (fraction, Some(exponent)),
        None => (after, None),
    };
    let exponent = exponent.is_none_or(|exponent| {
        exponent.strip_prefix(['-', '+']).is_some_and(|rest| !rest.is_empty() && digits(rest))
    });
    // A fraction alone has digits, and no sign.
    let mantissa = if before.is_empty() {
        digits_and_underscores(fraction) && rest.len() == text.len()
    } else {
        digits_and_underscores(before)
    };
    let fits = mantissa && exponent && tail(fraction, |byte| byte.is_ascii_digit());
    fits.then(|| plain(rest).parse().map(|value: f64| Scalar::Float(sign * value)).map_err(|_| NoValue))
}

pub(super) fn integer(text: &str) -> Maybe<'_> {
    let (negative, rest) = unsigned(text);
    let radix = |digits: &str, radix| i128::from_str_radix(&plain(digits), radix).map_err(|_| NoValue);
    let value = if let Some(binary) = rest.strip_prefix("0b").filter(|rest| !rest.is_empty()) {
        tail(binary, |byte| matches!(byte, b'0' | b'1')).then(|| radix(binary, 2))?
    } else if let Some(hexadecimal) = rest.strip_prefix("0x").filter(|rest| !rest.is_empty()) {
        tail(hexadecimal, |byte| byte.is_ascii_hexdigit()).then(|| radix(hexadecimal, 16))?
    } else if let Some(octal) = rest.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        tail(octal, |byte| matches!(byte, b'0'..=b'7')).then(|| radix(rest, 8))?
    } else if let Some((first, parts)) = rest.split_once(':') {
        let fits = digits_and_underscores(first) && sixties(parts);
        fits.then(|| {
            plain(rest)
                .split(':')
                .try_fold(0_i128, |value, part| {
                    let part = part.parse::<i128>().ok()?;
                    value.checked_mul(60)?.checked_add(part)
                })
                .ok_or(NoValue)
        })?
    } else if rest.starts_with(|char: char| char.is_ascii_digit()) && tail(rest, |byte| byte.is_ascii_digit())
    {
        // Decimal digits stay as they came: they may be many.
        let digits = if rest.contains('_') { Cow::Owned(plain(rest)) } else { Cow::Borrowed(rest) };
        let digits = if negative && digits != "0" { Cow::Owned(format!("-{digits}")) } else { digits };
        return Some(Ok(Scalar::Integer(digits)));
    } else {
        return None;
    };
    Some(value.map(|value| Scalar::Integer(if negative { -value } else { value }.to_string().into())))
}

fn plain(text: &str) -> String {
    text.replace('_', "")
}

fn base_60(text: &str) -> Result<f64, NoValue> {
    text.split(':').try_fold(0.0, |value, part| Ok(value * 60.0 + part.parse::<f64>().map_err(|_| NoValue)?))
}

/// `2024-01-02`, or `2024-1-2 3:04:05.5 +01:30`: kombu's `date` or `datetime`.
pub(super) fn timestamp(text: &str) -> Maybe<'_> {
    let mut rest = Rest(text);
    let year = rest.number(4, 4)?;
    rest.take("-")?;
    let month = rest.number(1, 2)?;
    rest.take("-")?;
    let day = rest.number(1, 2)?;
    let date = i16::try_from(year).ok().and_then(|year| {
        // Python knows no year before 1.
        Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok().filter(|_| year > 0)
    });
    if rest.0.is_empty() {
        let fits = text.len() == "2024-01-02".len();
        return fits.then(|| Ok(Scalar::Typed("date", date.ok_or(NoValue)?.to_string())));
    }
    let blank = rest.blanks();
    if !blank {
        rest.take("T").or_else(|| rest.take("t"))?;
    }
    let hour = rest.number(1, 2)?;
    rest.take(":")?;
    let minute = rest.number(2, 2)?;
    rest.take(":")?;
    let second = rest.number(2, 2)?;
    let mut nanosecond = 0;
    if rest.take(".").is_some() {
        let digits = rest.digits();
        let micros = &digits[..digits.len().min(6)];
        nanosecond = format!("{micros:0<6}").parse::<i32>().ok()? * 1000;
    }
    let offset = if rest.0.is_empty() { None } else { Some(rest.offset()?) };
    let datetime = date.and_then(|date| {
        let time =
            Time::new(hour.try_into().ok()?, minute.try_into().ok()?, second.try_into().ok()?, nanosecond);
        Some(date.to_datetime(time.ok()?))
    });
    // Python's offsets are below a day.
    let offset = offset.filter(|offset| offset.abs() >= 24 * 60).map_or(Ok(offset), |_| Err(NoValue));
    Some(
        datetime
            .ok_or(NoValue)
            .and_then(|datetime| Ok(Scalar::Typed("datetime", iso_format(datetime, offset?)))),
    )
}

/// What of a text is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn digits(&mut self) -> &'a str {
        let end = self.0.find(|char: char| !char.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        digits
    }

    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let digits = self.digits();
        (least..=most).contains(&digits.len()).then(|| digits.parse().ok())?
    }

    fn blanks(&mut self) -> bool {
        let rest = self.0.trim_start_matches([' ', '\t']);
        let blanks = rest.len() < self.0.len();
        self.0 = rest;
        blanks
    }

    /// Minutes east of Greenwich, at the end of the text.
    fn offset(&mut self) -> Option<i32> {
        self.blanks();
        if self.0 == "Z" {
            return Some(0);
        }
        let sign = if self.take("-").is_some() { -1 } else { self.take("+").map(|()| 1)? };
        let hours = i32::try_from(self.number(1, 2)?).ok()?;
        let minutes = match self.take(":") {
            Some(()) => i32::try_from(self.number(2, 2)?).ok()?,
            None => 0,
        };
        self.0.is_empty().then_some(sign * (hours * 60 + minutes))
    }
}

/// A time as Python's `isoformat` writes it: six digits of the second or none, and the offset in minutes or none.
pub(super) fn iso_format(datetime: DateTime, offset: Option<i32>) -> String {
    let micros = datetime.subsec_nanosecond() / 1000;
    let mut text = datetime.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    // Writing to a String cannot fail.
    if micros > 0 {
        let _ = write!(text, ".{micros:06}");
    }
    if let Some(offset) = offset {
        let sign = if offset < 0 { '-' } else { '+' };
        let _ = write!(text, "{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60);
    }
    text
}
