//! Ours against what real Celery answers: `tests/golden/schedule`.
//!
//! Where they differ, it is for one of the reasons in [`Why`], and no other.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::collections::BTreeMap;
use std::path::Path;

use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use petiole_schedule::crontab::{Crontab, Fault, Field, Fields, Refused};
use petiole_schedule::solar::{Event, Solar};
use petiole_schedule::zone;
use serde::de::DeserializeOwned;

fn lines<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/schedule");
    let text = std::fs::read_to_string(folder.join(name).with_extension("jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn every_field_means_what_it_means_to_celery() {
    let (mut same, mut others) = (0, BTreeMap::new());
    for (name, text, theirs) in lines::<(String, String, Option<u64>)>("fields") {
        let field = Field::ALL.into_iter().find(|field| field.name() == name).unwrap();
        let mut fields = Fields::default();
        match field {
            Field::Minute => fields.minute = &text,
            Field::Hour => fields.hour = &text,
            Field::DayOfMonth => fields.day_of_month = &text,
            Field::MonthOfYear => fields.month_of_year = &text,
            Field::DayOfWeek => fields.day_of_week = &text,
        }
        let ours = Crontab::from_fields(&fields);
        let numbers = ours.as_ref().ok().map(|crontab| {
            crontab.numbers(field).iter().fold(0_u64, |numbers, number| numbers | 1 << number)
        });
        if numbers == theirs {
            same += 1;
            continue;
        }
        // Celery reads over what follows, and Python's digits are of all scripts.
        let why = match ours {
            Err(Refused::Field { fault: Fault::GoesOn, .. }) => "goes on",
            Err(_) if !text.is_ascii() => "not ASCII",
            _ => panic!("{name} {text:?}: {numbers:?}, and Celery has {theirs:?}"),
        };
        *others.entry(why).or_insert(0) += 1;
    }
    eprintln!("fields same={same} others={others:?}");
    assert!(same > 2500 && others.len() == 2, "{same} {others:?}");
}

/// Why a time of ours is not Celery's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// It is left out by the clock. Ours runs in the moment after; Celery's as long after that as it is after the gap's
    /// beginning.
    LeftOut,
    /// It is left out by the clock, and the crontab is paced. Celery runs as above, between times that are near anyway.
    Near,
    /// It comes again, and the crontab is paced. Celery is silent for the hour.
    ComesAgain,
    /// Celery begins in the second pass of an hour. It takes the first pass for what comes, which has passed: it would run
    /// without a pause.
    Passed,
}

fn is_second_pass(zone: &TimeZone, at: Timestamp) -> bool {
    let offset = zone.to_ambiguous_timestamp(zone.to_datetime(at)).offset();
    matches!(offset, AmbiguousOffset::Fold { after, .. } if zone.to_offset(at) == after)
}

/// Whether the clock leaps over more than `into` at this moment.
fn leaves_out(zone: &TimeZone, at: Timestamp, into: SignedDuration) -> bool {
    let before = zone.to_offset(at - SignedDuration::from_nanos(1));
    let gap = i64::from(zone.to_offset(at).seconds() - before.seconds());
    into >= SignedDuration::ZERO && into < SignedDuration::from_secs(gap)
}

fn why(
    crontab: &Crontab,
    zone: &TimeZone,
    after: Timestamp,
    theirs: Timestamp,
    ours: Timestamp,
) -> Option<Why> {
    let is_paced = |at: Timestamp| crontab.paced().contains(zone.to_datetime(at).hour());
    if theirs <= after {
        is_second_pass(zone, after).then_some(Why::Passed)
    } else if ours < theirs {
        if is_second_pass(zone, ours) {
            is_paced(ours).then_some(Why::ComesAgain)
        } else {
            leaves_out(zone, ours, theirs.duration_since(ours)).then_some(Why::LeftOut)
        }
    } else {
        let changed = zone.preceding(theirs + SignedDuration::from_nanos(1)).next()?.timestamp();
        (is_paced(ours) && leaves_out(zone, changed, theirs.duration_since(changed))).then_some(Why::Near)
    }
}

#[test]
fn the_next_time_is_celerys_but_for_changes_of_the_clock() {
    let (mut same, mut others) = (0, BTreeMap::new());
    for (name, text, second, minutes) in lines::<(String, String, i64, Option<Vec<i64>>)>("crontab") {
        let crontab = text.parse::<Crontab>();
        let Some(minutes) = minutes else {
            assert!(matches!(crontab, Err(Refused::NeverFires { .. })), "{text}: {crontab:?}");
            continue;
        };
        let (crontab, zone) = (crontab.unwrap(), zone(&name).unwrap());
        let (mut after, mut minute) = (at(second), second.div_euclid(60));
        for more in minutes {
            minute += more;
            let (theirs, ours) = (at(minute * 60), crontab.next(after, &zone).unwrap());
            if ours == theirs {
                same += 1;
            } else {
                let why = why(&crontab, &zone, after, theirs, ours);
                let why = why.unwrap_or_else(|| {
                    let wall = |at| zone.to_datetime(at);
                    panic!(
                        "{name} {text} after {} {after}: {} {ours}, Celery {} {theirs}",
                        wall(after),
                        wall(ours),
                        wall(theirs)
                    )
                });
                *others.entry(why).or_insert(0) += 1;
            }
            after = theirs;
        }
    }
    eprintln!("crontab same={same} others={others:?}");
    assert!(same > 15_000, "{same}");
}

#[test]
fn the_suns_events_are_ephems_within_seconds() {
    let mut errors = Vec::new();
    for (name, latitude, longitude, second, seconds) in lines::<(String, f64, f64, i64, Vec<i64>)>("solar") {
        let solar = Solar::new(Event::named(&name).unwrap(), latitude, longitude).unwrap();
        let (mut after, mut theirs) = (second, second);
        for more in seconds {
            theirs += more;
            let ours = solar.next(at(after)).unwrap().as_second();
            let error = (ours - theirs).abs();
            // Where the sun rises or sets so flatly that a second of arc is seconds.
            let most = if latitude.abs() > 60.0 { 15 } else { 3 };
            assert!(error <= most, "{name} {latitude} {longitude}: {}, PyEphem {}", at(ours), at(theirs));
            errors.push(error);
            after = theirs + 120;
        }
    }
    errors.sort_unstable();
    let of = |part: usize| errors[(errors.len() - 1) * part / 100];
    eprintln!("solar n={} seconds off: median={} p99={} most={}", errors.len(), of(50), of(99), of(100));
    assert!(errors.len() > 1500);
}
