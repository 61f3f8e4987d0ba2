//! Celery's timestamps: ISO-8601 text ↔ instant.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::fmt::temporal::{DateTimePrinter, Pieces};
use jiff::tz::Offset;

/// Why text is no timestamp.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no ISO-8601 time such as 2030-01-31T12:00:00.000000+00:00")]
pub struct NotATime {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    #[source]
    pub source: jiff::Error,
}

/// Reads what producers write: any offset, `Z`, or none, which means UTC (Celery's default zone; the zone of a
/// producer that was set up otherwise is not in its messages). A date alone is its midnight.
pub fn parse(text: &str) -> Result<Timestamp, NotATime> {
    let pieces = Pieces::parse(text);
    let timestamp = pieces.and_then(|pieces| {
        let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
        offset.to_timestamp(pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight())))
    });
    timestamp.map_err(|source| NotATime { text: text.to_owned(), source })
}

/// Writes a timestamp as Celery's clients get it: in UTC, with an offset and six digits of the second.
pub fn print(timestamp: Timestamp) -> String {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
    PRINTER.timestamp_with_offset_to_string(&timestamp, Offset::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str, utc: &str) {
        assert_eq!(parse(text).unwrap(), utc.parse().unwrap(), "{text}");
    }

    #[test]
    fn every_offset_that_producers_write_is_read() {
        reads("2026-11-21T10:24:57.488856+00:00", "2026-11-21T10:24:57.488856Z");
        reads("2026-11-21T10:24:57.488856+02:00", "2026-11-21T08:24:57.488856Z");
        reads("2026-11-21T10:24:57-0330", "2026-11-21T13:54:57Z");
        reads("2026-11-21T10:24:57Z", "2026-11-21T10:24:57Z");
        reads("2026-11-21 10:24:57+05", "2026-11-21T05:24:57Z");
        reads("2026-11-21T10:24", "2026-11-21T10:24:00Z");
    }

    #[test]
    fn a_time_without_an_offset_is_utc() {
        reads("2026-11-21T10:24:57.5", "2026-11-21T10:24:57.5Z");
        reads("2026-11-21", "2026-11-21T00:00:00Z");
    }

    #[test]
    fn what_is_no_time_is_refused_with_its_text() {
        for text in ["", "soon", "2026-13-01T00:00:00", "1700000000"] {
            assert!(parse(text).unwrap_err().to_string().contains(text), "{text}");
        }
    }

    #[test]
    fn six_digits_and_an_offset_are_always_written() {
        assert_eq!(print("2026-11-21T10:25:11Z".parse().unwrap()), "2026-11-21T10:25:11.000000+00:00");
        assert_eq!(
            print("2026-11-21T10:25:11.647670999Z".parse().unwrap()),
            "2026-11-21T10:25:11.647670+00:00"
        );
    }
}
