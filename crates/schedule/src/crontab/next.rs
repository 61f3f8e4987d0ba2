//! The next time of a crontab, through changes of the clock.
//!
//! A time of day is **paced** where the crontab goes on from hour to hour: it has every hour, or it has several minutes
//! of an hour and also the hours before and after that one. All others are times of the day, each of which a person means
//! once.
//!
//! | the clock is set | paced | others |
//! | --- | --- | --- |
//! | forward: times are left out | nothing is made up for, the next is near | one run, in the moment after |
//! | back: times come again | run again | run the first time only |

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Crontab;
use super::field::{Field, Numbers};
use crate::zone::{Change, TICK};

impl Crontab {
    /// The first time later than `after`; none before the year 10000 means never.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut from = after.checked_add(TICK).ok()?;
        // The next match by the wall's clock. It stays the next one over changes of the clock.
        let mut ahead: Option<DateTime> = None;
        loop {
            let began = Change::until(zone, from);
            let offset = zone.to_offset(from);
            let mut wall = whole_minute(offset.to_datetime(from))?;
            let mut found = None;
            if let Some(change) = began {
                if change.at == from && self.left_out(&change).is_some() {
                    return Some(from);
                }
                let (before, _) = change.walls();
                if wall < before {
                    found = self.first_wall(wall, before, self.paced());
                    wall = whole_minute(before)?;
                }
            }
            if found.is_none() {
                if ahead.is_none_or(|ahead| ahead < wall) {
                    ahead = Some(self.first_wall(wall, DateTime::MAX, self.numbers(Field::Hour))?);
                }
                found = ahead;
            }
            let instant = offset.to_timestamp(found?);
            match Change::later(zone, from).next() {
                Some(change) if instant.as_ref().map_or(true, |instant| *instant >= change.at) => {
                    from = change.at;
                }
                _ => return instant.ok(),
            }
        }
    }

    /// The hours whose times are paced: it goes on through them from hour to hour.
    pub fn paced(&self) -> Numbers {
        let (all, hours) = (Field::Hour.all(), self.numbers(Field::Hour));
        if hours == all {
            return all;
        }
        if self.numbers(Field::Minute).len() < 2 {
            return Numbers::default();
        }
        let bits = hours.bits();
        let (earlier, later) = (bits << 1 | bits >> 23, bits >> 1 | bits << 23);
        hours.and(Numbers::from_bits(earlier & later))
    }

    /// The first time in the gap of a change for which it makes up.
    pub(crate) fn left_out(&self, change: &Change) -> Option<DateTime> {
        let (begin, end) = change.walls();
        self.first_wall(whole_minute(begin)?, end, self.numbers(Field::Hour).without(self.paced()))
    }

    /// The first time of the first pass through an hour that comes again, which is left out in the second.
    pub(crate) fn not_again(&self, change: &Change) -> Option<DateTime> {
        let (end, begin) = change.walls();
        self.first_wall(whole_minute(begin)?, end, self.numbers(Field::Hour).without(self.paced()))
    }

    /// The first match by the wall's clock in these hours, from a whole minute until before an end.
    fn first_wall(&self, from: DateTime, end: DateTime, hours: Numbers) -> Option<DateTime> {
        if from >= end || hours.is_empty() {
            return None;
        }
        let (minutes, last) = (self.numbers(Field::Minute), end.date());
        let on = |day: Date, hour, minute| Some(day.at(hour, minute, 0, 0)).filter(|found| *found < end);
        let mut day = self.first_day(from.date(), last)?;
        if day == from.date() {
            let now = minutes.at_or_after(from.minute()).filter(|_| hours.contains(from.hour()));
            if let Some(minute) = now {
                return on(day, from.hour(), minute);
            }
            if let Some(hour) = hours.at_or_after(from.hour() + 1) {
                return on(day, hour, minutes.first()?);
            }
            day = self.first_day(day.tomorrow().ok()?, last)?;
        }
        on(day, hours.first()?, minutes.first()?)
    }
}

/// The first whole minute that is not earlier.
fn whole_minute(wall: DateTime) -> Option<DateTime> {
    let minute = wall.date().at(wall.hour(), wall.minute(), 0, 0);
    if minute == wall { Some(wall) } else { minute.checked_add(SignedDuration::from_mins(1)).ok() }
}
