//! The text of a field → the numbers that it stands for: the grammar of `celery.schedules.crontab_parser`.
//!
//! ```text
//!   list  = part { "," part }
//!   part  = "*" | "*" "/" step | word | word "-" word | word "-" word "/" step
//!   word  = a number as Python's int() reads it, or letters of which the first three name a month or a weekday
//! ```
//!
//! A range whose end is lower than its beginning wraps around. A step takes each n-th of what the range is, in its
//! order: `nov-feb/2` is November and January.

use super::field::{Field, Numbers};

/// The longest text of a field: a list of all minutes has less than half of it.
pub const LONGEST: usize = 512;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What is wrong with a part of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing stands between two commas.
    #[error("is empty")]
    Empty,
    /// Neither a number nor a name.
    #[error("is neither a number nor a month or weekday")]
    NotANumber,
    /// A number below the field's lowest.
    #[error("is too low")]
    TooLow,
    /// A number above the field's highest.
    #[error("is too high")]
    TooHigh,
    /// A step that is not 1 or more.
    #[error("has a step that is not a number of at least 1")]
    Step,
    /// Text after what could be read. Celery reads over it: `1-5-7` is `1-5` to it, and `mon#2` is `mon`.
    #[error("goes on after what can be read")]
    GoesOn,
    /// A text of a length that nobody means.
    #[error("is longer than 512 bytes")]
    TooLong,
}

/// The numbers that a field's text stands for, or the part of it that is refused.
pub(super) fn numbers(field: Field, text: &str) -> Result<Numbers, (&str, Fault)> {
    if text.len() > LONGEST {
        let end = text.char_indices().nth(40).map_or(text.len(), |(at, _)| at);
        return Err((&text[..end], Fault::TooLong));
    }
    let mut bits = 0;
    for part in text.split(',') {
        bits |= expanded(field, part).map_err(|fault| (part, fault))?.bits();
    }
    Ok(Numbers::from_bits(bits))
}

fn expanded(field: Field, part: &str) -> Result<Numbers, Fault> {
    if part.is_empty() {
        return Err(Fault::Empty);
    }
    if let Some(rest) = part.strip_prefix('*') {
        return match rest.strip_prefix('/') {
            Some(rest) => Ok(range(field, field.min(), field.max()).step_by(step(rest)?).collect()),
            None if rest.is_empty() => Ok(field.all()),
            None => Err(Fault::NotANumber),
        };
    }
    let (from, rest) = word(part);
    let Some(rest) = rest.strip_prefix('-').filter(|rest| !from.is_empty() && !word(rest).0.is_empty())
    else {
        // Neither a range nor a star: all of it is one number, as Python reads it, blanks included.
        return Ok(std::iter::once(number(field, part)?).collect());
    };
    let (to, rest) = word(rest);
    let (from, to) = (number(field, from)?, number(field, to)?);
    match rest.strip_prefix('/') {
        Some(rest) => Ok(range(field, from, to).step_by(step(rest)?).collect()),
        None if rest.is_empty() => Ok(range(field, from, to).collect()),
        None => Err(Fault::GoesOn),
    }
}

/// What `\w*` takes, and what follows.
fn word(text: &str) -> (&str, &str) {
    let end = text.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(text.len());
    text.split_at(end)
}

fn range(field: Field, from: i8, to: i8) -> impl Iterator<Item = i8> {
    let wraps = to < from;
    let end = if wraps { field.max() } else { to };
    (from..=end).chain((field.min()..=to).filter(move |_| wraps))
}

fn step(text: &str) -> Result<usize, Fault> {
    let (step, rest) = word(text);
    match integer(step) {
        Some(step) if step >= 1 && rest.is_empty() => Ok(usize::try_from(step).unwrap_or(usize::MAX)),
        Some(step) if step >= 1 => Err(Fault::GoesOn),
        _ => Err(Fault::Step),
    }
}

fn number(field: Field, text: &str) -> Result<i8, Fault> {
    let number = match integer(text) {
        Some(number) => number,
        None => named(text)?,
    };
    match i8::try_from(number) {
        _ if number < i64::from(field.min()) => Err(Fault::TooLow),
        Ok(number) if number <= field.max() => Ok(number),
        _ => Err(Fault::TooHigh),
    }
}

/// As Python's `int()` reads ASCII: blanks around it, a sign, underscores between digits. What is too large for any field
/// is the largest that there is.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.split('_').any(str::is_empty) {
        return None;
    }
    let value = digits.bytes().filter(|byte| *byte != b'_').try_fold(0_i64, |value, byte| {
        byte.is_ascii_digit().then(|| value.saturating_mul(10).saturating_add(i64::from(byte - b'0')))
    })?;
    Some(if negative { -value } else { value })
}

/// The first three letters count, and months come before weekdays, in each field.
fn named(text: &str) -> Result<i64, Fault> {
    let (name, rest) = word(text);
    let name: String = name.chars().take(3).collect::<String>().to_ascii_lowercase();
    let month = (1..).zip(MONTHS).find(|(_, month)| *month == name);
    let weekday = (0..).zip(WEEKDAYS).find(|(_, weekday)| *weekday == name);
    let (number, _) = month.or(weekday).ok_or(Fault::NotANumber)?;
    if rest.trim().is_empty() { Ok(number) } else { Err(Fault::GoesOn) }
}
