//! A crontab → its shortest text in the one form that each set of numbers has here.

use std::fmt;

use super::Crontab;
use super::field::{Field, Numbers};

impl fmt::Display for Crontab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, field) in Field::ALL.into_iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            write_field(f, field, self.numbers(field))?;
        }
        Ok(())
    }
}

fn write_field(f: &mut fmt::Formatter<'_>, field: Field, numbers: Numbers) -> fmt::Result {
    if numbers == field.all() {
        return f.write_str("*");
    }
    if let Some(step) = step(field, numbers) {
        return write!(f, "*/{step}");
    }
    let mut next = numbers.first();
    while let Some(from) = next {
        let to = (from..=field.max()).take_while(|number| numbers.contains(*number)).last().unwrap_or(from);
        match to - from {
            0 => write!(f, "{from}")?,
            1 => write!(f, "{from},{to}")?,
            _ => write!(f, "{from}-{to}")?,
        }
        next = numbers.at_or_after(to + 1);
        if next.is_some() {
            f.write_str(",")?;
        }
    }
    Ok(())
}

/// The n of `*/n`, where that is what they are, and more than two: `0,12` says more than `*/12`.
fn step(field: Field, numbers: Numbers) -> Option<i8> {
    let second = numbers.at_or_after(field.min() + 1)?;
    let step = second - field.min();
    let stepped = (field.min()..=field.max()).step_by(usize::try_from(step).ok()?);
    (numbers.len() > 2 && stepped.collect::<Numbers>() == numbers).then_some(step)
}
