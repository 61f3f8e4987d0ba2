//! Several rules as one schedule.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::zone::TICK;
use crate::{At, Crontab, Every, Solar};

/// One of the rules of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// By the clock on the wall.
    Crontab(Crontab),
    /// Equally far apart.
    Every(Every),
    /// Once each.
    At(At),
    /// By the sun.
    Solar(Solar),
}

impl Rule {
    /// The first time later than `after`, by the wall clocks of a zone.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Crontab(crontab) => crontab.next(after, zone),
            Self::Every(every) => every.next(after),
            Self::At(at) => at.next(after),
            Self::Solar(solar) => solar.next(after),
        }
    }
}

/// All times of its rules, those that coincide once.
///
/// Its times are the ones that it names; `delay` is added to none of them. So a time says the same whatever the jitter
/// is, and can be what a run is known by.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// What it is made of.
    pub rules: Vec<Rule>,
    /// Whose wall clocks count.
    pub zone: TimeZone,
    /// There is no time earlier than this.
    pub start: Option<Timestamp>,
    /// There is no time later than this.
    pub end: Option<Timestamp>,
    /// How much later than its time each run begins: see [`delay`](crate::delay).
    pub delay: Duration,
}

impl Schedule {
    /// The first time later than `after`.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let before_start = self.start.and_then(|start| start.checked_sub(TICK).ok());
        let after = before_start.map_or(after, |before| before.max(after));
        let next = self.rules.iter().filter_map(|rule| rule.next(after, &self.zone)).min()?;
        self.end.is_none_or(|end| next <= end).then_some(next)
    }

    /// The times later than `after`, in their order.
    pub fn later(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next(after), |time| self.next(*time))
    }

    /// The next five, to be looked at.
    pub fn next_five(&self, after: Timestamp) -> Vec<Timestamp> {
        self.later(after).take(5).collect()
    }

    /// When the run of this time begins.
    pub fn begins(&self, time: Timestamp) -> Timestamp {
        time.checked_add(self.delay).unwrap_or(Timestamp::MAX)
    }

    /// Whether there is no time any more after this one.
    pub fn never_fires(&self, after: Timestamp) -> bool {
        self.next(after).is_none()
    }
}
