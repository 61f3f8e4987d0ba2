//! Time zones by name, and the moments at which their clocks are set.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase, TimeZoneTransition};
use jiff::{SignedDuration, Timestamp};

/// The smallest step of time.
pub(crate) const TICK: SignedDuration = SignedDuration::from_nanos(1);

/// A name that stands for no zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no time zone of the IANA database; write one such as Europe/Berlin, America/New_York or UTC"
)]
pub struct UnknownZone(pub String);

/// The zone of this name, of the database that comes with the program.
pub fn zone(name: &str) -> Result<TimeZone, UnknownZone> {
    let known = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown());
    known.ok_or_else(|| UnknownZone(name.to_owned()))
}

/// The clocks are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// When.
    pub(crate) at: Timestamp,
    /// What they showed until then.
    pub(crate) before: Offset,
    /// What they show from then on.
    pub(crate) after: Offset,
}

impl Change {
    /// The last one that is not later than this.
    pub(crate) fn until(zone: &TimeZone, at: Timestamp) -> Option<Self> {
        let after = at.checked_add(TICK).ok()?;
        zone.preceding(after).next().and_then(|transition| Self::of(zone, &transition))
    }

    /// Those that are later than this.
    pub(crate) fn later(zone: &TimeZone, than: Timestamp) -> impl Iterator<Item = Self> {
        zone.following(than).filter_map(|transition| Self::of(zone, &transition))
    }

    fn of(zone: &TimeZone, transition: &TimeZoneTransition<'_>) -> Option<Self> {
        let at = transition.timestamp();
        let before = zone.to_offset(at.checked_sub(TICK).ok()?);
        Some(Self { at, before, after: transition.offset() })
    }

    /// What clocks would have shown at it, and what they do show: of a gap, its beginning and its end; of an hour that comes
    /// again, its end and its beginning.
    pub(crate) fn walls(&self) -> (DateTime, DateTime) {
        (self.before.to_datetime(self.at), self.after.to_datetime(self.at))
    }
}
