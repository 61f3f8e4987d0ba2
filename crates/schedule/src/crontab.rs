//! Celery's crontab: five fields that must all match, the day of the month AND the day of the week.

mod days;
mod field;
mod next;
mod parse;
mod print;

use std::str::FromStr;

pub use self::field::{Field, Numbers};
pub use self::parse::{Fault, LONGEST};

/// The most days that a month can have, from January.
const LONGEST_MONTHS: [i8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// When a task is due, by the clock on the wall.
///
/// It is compared and printed by what it means: `0,30` and `*/30` are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Crontab {
    minutes: Numbers,
    hours: Numbers,
    days_of_month: Numbers,
    months: Numbers,
    days_of_week: Numbers,
}

/// The texts of the five fields, `*` where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are Celery's names")]
pub struct Fields<'a> {
    pub minute: &'a str,
    pub hour: &'a str,
    pub day_of_week: &'a str,
    pub day_of_month: &'a str,
    pub month_of_year: &'a str,
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self { minute: "*", hour: "*", day_of_week: "*", day_of_month: "*", month_of_year: "*" }
    }
}

/// Why a text is no crontab, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not five fields.
    #[error(
        "a crontab has five fields with blanks between them, minute hour day_of_month month_of_year day_of_week, \
         such as \"30 2 * * mon-fri\"; this one has {0}"
    )]
    FieldCount(usize),
    /// Something in a field.
    #[error("{field}: {part:?} {fault}; allowed are {}", field.allowed())]
    Field {
        /// Which field.
        field: Field,
        /// What of it.
        part: String,
        /// What is wrong with that.
        fault: Fault,
    },
    /// No month has such a day.
    #[error(
        "this never fires: no month of month_of_year {months:?} has a day of day_of_month {days:?}; choose one that there is"
    )]
    NeverFires {
        /// What stands for the days.
        days: String,
        /// What stands for the months.
        months: String,
    },
}

impl Crontab {
    /// From five fields.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, Refused> {
        let read = |field: Field, text: &str| {
            let refused =
                |(part, fault): (&str, Fault)| Refused::Field { field, part: part.to_owned(), fault };
            parse::numbers(field, text).map_err(refused)
        };
        let crontab = Self {
            minutes: read(Field::Minute, fields.minute)?,
            hours: read(Field::Hour, fields.hour)?,
            days_of_month: read(Field::DayOfMonth, fields.day_of_month)?,
            months: read(Field::MonthOfYear, fields.month_of_year)?,
            days_of_week: read(Field::DayOfWeek, fields.day_of_week)?,
        };
        let first = crontab.days_of_month.first();
        let mut longest = (1..).zip(LONGEST_MONTHS).filter(|(month, _)| crontab.months.contains(*month));
        if longest.any(|(_, days)| first.is_some_and(|first| first <= days)) {
            Ok(crontab)
        } else {
            let (days, months) = (fields.day_of_month.to_owned(), fields.month_of_year.to_owned());
            Err(Refused::NeverFires { days, months })
        }
    }

    /// The numbers that a field stands for.
    pub const fn numbers(&self, field: Field) -> Numbers {
        match field {
            Field::Minute => self.minutes,
            Field::Hour => self.hours,
            Field::DayOfMonth => self.days_of_month,
            Field::MonthOfYear => self.months,
            Field::DayOfWeek => self.days_of_week,
        }
    }
}

impl FromStr for Crontab {
    type Err = Refused;

    /// From the five fields in their usual order: minute, hour, day of the month, month, day of the week.
    fn from_str(text: &str) -> Result<Self, Refused> {
        let fields: Vec<_> = text.split_ascii_whitespace().take(Field::ALL.len() + 1).collect();
        let [minute, hour, day_of_month, month_of_year, day_of_week] = fields[..] else {
            return Err(Refused::FieldCount(text.split_ascii_whitespace().count()));
        };
        Self::from_fields(&Fields { minute, hour, day_of_week, day_of_month, month_of_year })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Crontab>().unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_says_which_field_and_what_is_allowed() {
        assert_eq!(
            refused("61 * * * *"),
            "minute: \"61\" is too high; allowed are 0 to 59, ranges (0-29), steps (*/15, 0-29/10), lists (0,30), *"
        );
        assert!(
            refused("* * * * 7").starts_with("day_of_week: \"7\" is too high; allowed are 0 (Sunday) to 6")
        );
        assert!(refused("0 5/15 * * *").starts_with("hour: \"5/15\" is neither a number nor"));
        assert!(refused("0 0 10-20-30 * *").starts_with("day_of_month: \"10-20-30\" goes on after"));
        assert!(refused("@daily").contains("five fields"));
        assert!(
            refused("0 0 31 2,4,jun *")
                .starts_with("this never fires: no month of month_of_year \"2,4,jun\"")
        );
    }

    #[test]
    fn it_is_printed_shortly() {
        for (text, printed) in [
            ("*/15 0-23 1-31/2 jan-mar mon-fri", "*/15 * */2 1-3 1-5"),
            ("0,30 22-2 1 nov-feb *", "0,30 0-2,22,23 1 1,2,11,12 *"),
            (
                "0-59/20  8-18/2 2-30/2 */3 fri-mon",
                "*/20 8,10,12,14,16,18 2,4,6,8,10,12,14,16,18,20,22,24,26,28,30 */3 0,1,5,6",
            ),
        ] {
            assert_eq!(text.parse::<Crontab>().unwrap().to_string(), printed);
        }
    }
}
