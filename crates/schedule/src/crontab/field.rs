//! The five fields of a crontab, and the sets of numbers that they stand for.

use std::fmt;

/// One field of a crontab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12.
    MonthOfYear,
    /// 0 to 6, from Sunday.
    DayOfWeek,
}

impl Field {
    /// In the order in which they stand in a crontab's text.
    pub const ALL: [Self; 5] =
        [Self::Minute, Self::Hour, Self::DayOfMonth, Self::MonthOfYear, Self::DayOfWeek];

    /// Celery's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day_of_month",
            Self::MonthOfYear => "month_of_year",
            Self::DayOfWeek => "day_of_week",
        }
    }

    /// The lowest number that it may hold.
    pub const fn min(self) -> i8 {
        match self {
            Self::Minute | Self::Hour | Self::DayOfWeek => 0,
            Self::DayOfMonth | Self::MonthOfYear => 1,
        }
    }

    /// The highest.
    pub const fn max(self) -> i8 {
        match self {
            Self::Minute => 59,
            Self::Hour => 23,
            Self::DayOfMonth => 31,
            Self::MonthOfYear => 12,
            Self::DayOfWeek => 6,
        }
    }

    /// What to write instead, in a sentence.
    pub const fn allowed(self) -> &'static str {
        match self {
            Self::Minute => "0 to 59, ranges (0-29), steps (*/15, 0-29/10), lists (0,30), *",
            Self::Hour => "0 to 23, ranges (9-17, 22-2), steps (*/6, 8-18/2), lists (8,20), *",
            Self::DayOfMonth => "1 to 31, ranges (1-7), steps (*/2, 2-30/2), lists (1,15), *",
            Self::MonthOfYear => "1 to 12 or jan to dec, ranges (nov-feb), steps (*/3), lists (1,7), *",
            Self::DayOfWeek => "0 (Sunday) to 6 or sun to sat, ranges (mon-fri), steps (*/2), lists (1,3), *",
        }
    }

    /// All numbers that it may hold: `*`.
    pub const fn all(self) -> Numbers {
        Numbers(((1 << (self.max() + 1)) - 1) & !((1 << self.min()) - 1))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of numbers from 0 to 59, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Numbers(u64);

impl Numbers {
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Whether this number is in it.
    pub const fn contains(self, number: i8) -> bool {
        number >= 0 && number < 64 && self.0 >> number & 1 == 1
    }

    /// How many there are.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The lowest.
    pub fn first(self) -> Option<i8> {
        // There are at most 64 zeros.
        i8::try_from(self.0.trailing_zeros()).ok().filter(|_| self.0 != 0)
    }

    /// The lowest that is not below this one.
    pub fn at_or_after(self, number: i8) -> Option<i8> {
        let below = 1_u64.checked_shl(u32::try_from(number).unwrap_or(0)).unwrap_or(0).wrapping_sub(1);
        Self(self.0 & !below).first()
    }

    /// All of them, from the lowest.
    pub fn iter(self) -> impl Iterator<Item = i8> {
        std::iter::successors(self.first(), move |number| self.at_or_after(number + 1))
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl FromIterator<i8> for Numbers {
    /// Those outside of 0 to 63 are left out.
    fn from_iter<I: IntoIterator<Item = i8>>(numbers: I) -> Self {
        let within = numbers.into_iter().filter(|number| (0..64).contains(number));
        Self(within.fold(0, |bits, number| bits | 1 << number))
    }
}
