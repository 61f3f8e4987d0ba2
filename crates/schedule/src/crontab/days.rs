//! Which days match: a month at a time, by bits.

use jiff::civil::Date;

use super::Crontab;

/// So many months are looked at. The rarest day that there is, a leap day on a given weekday, comes back after at most
/// 40 years, across a century without its leap year.
const MONTHS: usize = 41 * 12;

/// A bit for one day of each week: the first of the month and those a week, two, three and four later.
const WEEKLY: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;

impl Crontab {
    /// The first day that matches, from one day up to and with another.
    pub(super) fn first_day(&self, from: Date, last: Date) -> Option<Date> {
        let (mut year, mut month) = (from.year(), from.month());
        // Bit n is day n.
        let mut early = (1_u64 << from.day()) - 1;
        for _ in 0..MONTHS {
            if (year, month) > (last.year(), last.month()) {
                return None;
            }
            if self.months.contains(month) {
                let first = Date::new(year, month, 1).ok()?;
                let candidates = self.days_of_month.bits() & self.days_by_week(first) & !early;
                let day = i8::try_from(candidates.trailing_zeros()).ok()?;
                if day <= first.days_in_month() {
                    return Date::new(year, month, day).ok().filter(|day| *day <= last);
                }
            }
            early = 0;
            (year, month) = if month == 12 { (year.checked_add(1)?, 1) } else { (year, month + 1) };
        }
        None
    }

    /// The days of a month, by its first, whose weekday matches.
    fn days_by_week(&self, first: Date) -> u64 {
        let weekdays = self.days_of_week.bits();
        let shift = first.weekday().to_sunday_zero_offset();
        // Bit 0 is the weekday of the first.
        let turned = (weekdays >> shift | weekdays << (7 - shift)) & 0x7f;
        (turned * WEEKLY) << 1
    }
}
