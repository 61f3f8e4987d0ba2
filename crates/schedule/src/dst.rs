//! Which times of a schedule a change of the clock leaves out or brings twice: what a user should know beforehand.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::schedule::{Rule, Schedule};
use crate::zone::Change;

/// How far one looks ahead: each change of a year, once.
const AHEAD: SignedDuration = SignedDuration::from_hours(366 * 24);

/// No zone sets its clocks more often in a year, and nobody reads more warnings.
const MOST: usize = 8;

/// A time of a crontab that does not come on a day, or comes twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// Which of the schedule's rules.
    pub rule: usize,
    /// The first time that the change affects, by the clock on the wall.
    pub wall: DateTime,
    /// What becomes of it.
    pub how: How,
    /// When the rule runs instead.
    pub runs: Timestamp,
    zone: TimeZone,
}

/// What a change of the clock does to a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It does not come, with all others in the gap: there is one run in the moment after.
    LeftOut,
    /// It comes twice, and runs the first time.
    Twice,
}

impl Schedule {
    /// The times that changes of the clock affect in the year after `now`, a change and a rule once. Rules that go on from
    /// hour to hour keep their pace, and are not among them.
    pub fn affected(&self, now: Timestamp) -> Vec<Affected> {
        let year = now.checked_add(AHEAD).unwrap_or(Timestamp::MAX);
        let last = self.end.map_or(year, |end| end.min(year));
        let from = self.start.map_or(now, |start| start.max(now));
        let changes = Change::later(&self.zone, from).take_while(|change| change.at <= last);
        changes.flat_map(|change| self.affected_by(change)).take(MOST).collect()
    }

    fn affected_by(&self, change: Change) -> Vec<Affected> {
        let rules = self.rules.iter().enumerate();
        let affected = rules.filter_map(|(rule, what)| {
            let Rule::Crontab(crontab) = what else { return None };
            let left_out = crontab.left_out(&change).map(|wall| (wall, How::LeftOut, change.at));
            let (wall, how, runs) = left_out.or_else(|| {
                let wall = crontab.not_again(&change)?;
                Some((wall, How::Twice, change.before.to_timestamp(wall).ok()?))
            })?;
            Some(Affected { rule, wall, how, runs, zone: self.zone.clone() })
        });
        affected.collect()
    }
}

impl fmt::Display for Affected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.wall.date(), clock(self.wall));
        let zone = self.zone.iana_name().unwrap_or("its zone");
        let offset: Offset = self.zone.to_offset(self.runs);
        let runs = clock(self.zone.to_datetime(self.runs));
        match self.how {
            How::LeftOut => write!(
                f,
                "{date} {time} does not exist in {zone}: it runs once at {runs} ({offset}), right after the change"
            ),
            How::Twice => {
                write!(f, "{date} {time} comes twice in {zone}: it runs the first time only ({offset})")
            }
        }
    }
}

fn clock(wall: DateTime) -> String {
    format!("{:02}:{:02}", wall.hour(), wall.minute())
}
