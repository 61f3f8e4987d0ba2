//! Schedules as users write them, and what they mean: the examples of docs/periodic-tasks.md.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use petiole_schedule::solar::{Event, NoPlace};
use petiole_schedule::{At, CatchUp, Every, Rule, Schedule, Solar, zone};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(rules: Vec<Rule>, name: &str) -> Schedule {
    Schedule { rules, zone: zone(name).unwrap(), start: None, end: None, delay: Duration::ZERO }
}

fn cron(text: &str) -> Rule {
    Rule::Crontab(text.parse().unwrap())
}

fn every(seconds: u64) -> Rule {
    Rule::Every(Every::new(Duration::from_secs(seconds), None).unwrap())
}

/// The wall's clock and its offset, from one time until before another.
fn runs(text: &str, name: &str, from: &str, end: &str) -> Vec<String> {
    let schedule = schedule(vec![cron(text)], name);
    let just_before = at(from) - SignedDuration::from_nanos(1);
    let times = schedule.later(just_before).take_while(|time| *time < at(end));
    times.map(|time| time.to_zoned(schedule.zone.clone()).strftime("%d. %H:%M %:z").to_string()).collect()
}

fn in_spring(text: &str) -> Vec<String> {
    runs(text, "Europe/Berlin", "2027-03-28T01:30:00+01:00", "2027-03-28T04:00:00+02:00")
}

fn in_autumn(text: &str) -> Vec<String> {
    runs(text, "Europe/Berlin", "2027-10-31T01:30:00+02:00", "2027-10-31T03:30:00+01:00")
}

#[test]
fn a_daily_time_in_the_gap_runs_once_right_after_it() {
    assert_eq!(in_spring("30 2 * * *"), ["28. 03:00 +02:00"]);
    assert_eq!(in_spring("0,20,40 2 * * *"), ["28. 03:00 +02:00"]);
    assert_eq!(in_spring("30 2,3 * * sun"), ["28. 03:00 +02:00", "28. 03:30 +02:00"]);
    // It would have been on another day of the week, or is not in the gap.
    assert!(in_spring("30 2 * * mon").is_empty());
    assert_eq!(in_spring("59 1 * * *"), ["28. 01:59 +01:00"]);
    // At midnight; by half an hour; a whole day, 30 December 2011, that Samoa left out.
    let santiago = |text| runs(text, "America/Santiago", "2026-09-06T00:00:00Z", "2026-09-07T00:00:00Z");
    assert_eq!(santiago("15 0 * * *"), ["06. 01:00 -03:00"]);
    let lord_howe = |text| runs(text, "Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-03T16:00:00Z");
    assert_eq!(lord_howe("15 2 * * *"), ["04. 02:30 +11:00"]);
    let apia = |text| runs(text, "Pacific/Apia", "2011-12-30T00:00:00Z", "2011-12-31T10:00:00Z");
    assert_eq!(apia("0 9 * * *"), ["31. 00:00 +14:00", "31. 09:00 +14:00"]);
}

#[test]
fn a_daily_time_that_comes_twice_runs_once() {
    assert_eq!(in_autumn("30 2 * * *"), ["31. 02:30 +02:00"]);
    assert_eq!(in_autumn("0,30 2 * * *"), ["31. 02:00 +02:00", "31. 02:30 +02:00"]);
    // Even if one begins to look in between.
    assert!(
        runs("30 2 * * *", "Europe/Berlin", "2027-10-31T02:10:00+01:00", "2027-11-01T00:00:00+01:00")
            .is_empty()
    );
}

#[test]
fn what_goes_on_from_hour_to_hour_keeps_its_pace() {
    assert_eq!(in_spring("*/30 * * * *"), ["28. 01:30 +01:00", "28. 03:00 +02:00", "28. 03:30 +02:00"]);
    assert_eq!(in_spring("5,35 0-5 * * *"), ["28. 01:35 +01:00", "28. 03:05 +02:00", "28. 03:35 +02:00"]);
    assert_eq!(in_spring("45 * * * *"), ["28. 01:45 +01:00", "28. 03:45 +02:00"]);
    assert_eq!(
        in_autumn("*/30 0-5 * * *"),
        [
            "31. 01:30 +02:00",
            "31. 02:00 +02:00",
            "31. 02:30 +02:00",
            "31. 02:00 +01:00",
            "31. 02:30 +01:00",
            "31. 03:00 +01:00"
        ]
    );
    assert_eq!(in_autumn("0 * * * *"), ["31. 02:00 +02:00", "31. 02:00 +01:00", "31. 03:00 +01:00"]);
}

#[test]
fn days_that_are_rare_are_found_and_a_century_has_its_say() {
    let next =
        |text: &str, after: &str| schedule(vec![cron(text)], "UTC").next(at(after)).unwrap().to_string();
    assert_eq!(next("0 0 29 2 *", "2096-02-29T00:00:00Z"), "2104-02-29T00:00:00Z");
    assert_eq!(next("0 0 29 2 mon", "2072-03-01T00:00:00Z"), "2112-02-29T00:00:00Z");
    assert_eq!(next("0 0 13 * fri", "2026-11-22T00:00:00Z"), "2027-08-13T00:00:00Z");
    assert!(schedule(vec![cron("* * * * *")], "UTC").never_fires(Timestamp::MAX));
}

#[test]
fn rules_that_coincide_run_once_and_start_and_end_belong_to_it() {
    let mut schedule = schedule(vec![cron("*/10 * * * *"), every(900)], "UTC");
    schedule.start = Some(at("2026-11-22T09:00:00Z"));
    schedule.end = Some(at("2026-11-22T09:40:00Z"));
    let times: Vec<_> = schedule.later(at("2026-11-01T00:00:00Z")).map(|time| time.to_string()).collect();
    let minutes = ["00", "10", "15", "20", "30", "40"];
    assert_eq!(times, minutes.map(|minute| format!("2026-11-22T09:{minute}:00Z")));
    assert!(schedule.never_fires(at("2026-11-22T09:40:00Z")));
    assert_eq!(schedule.next_five(at("2026-11-22T09:20:00Z")).len(), 2);
}

#[test]
fn an_interval_is_counted_from_its_start_or_from_1970() {
    assert_eq!(
        schedule(vec![every(900)], "UTC").next(at("2026-11-22T09:07:11Z")),
        Some(at("2026-11-22T09:15:00Z"))
    );
    let start = at("2026-11-22T09:07:11Z");
    let every = Every::new(Duration::from_mins(15), Some(start)).unwrap();
    assert_eq!(every.next(start), Some(at("2026-11-22T09:22:11Z")));
    assert_eq!(every.next(start - SignedDuration::from_nanos(1)), Some(start));
    let refused = Every::new(Duration::from_millis(999), None).unwrap_err().to_string();
    assert!(refused.contains("1 second"), "{refused}");
}

#[test]
fn an_instant_comes_once() {
    let instants = ["2026-12-24T18:00:00Z", "2026-12-06T06:00:00Z", "2026-12-24T18:00:00Z"].map(at);
    let schedule = schedule(vec![Rule::At(At::from_iter(instants))], "UTC");
    assert_eq!(schedule.next_five(at("2026-01-01T00:00:00Z")), [instants[1], instants[0]]);
}

#[test]
fn after_an_outage_runs_what_the_policy_says_and_the_rest_is_counted() {
    let schedule = schedule(vec![every(60)], "UTC");
    let (last, now) = (at("2026-11-22T09:00:00Z"), at("2026-11-22T09:30:30Z"));
    let due = |catch_up| {
        let due = schedule.due(last, now, catch_up);
        (
            due.fire.iter().map(|time| time.to_string()[14..16].to_owned()).collect::<Vec<_>>().join(" "),
            due.missed.count,
        )
    };
    assert_eq!(due(CatchUp::None), (String::new(), 30));
    assert_eq!(due(CatchUp::Last { window: Duration::from_mins(1) }), ("30".to_owned(), 29));
    assert_eq!(due(CatchUp::Last { window: Duration::from_secs(29) }), (String::new(), 30));
    let all = |minutes, limit| CatchUp::All { window: Duration::from_mins(minutes), limit };
    assert_eq!(due(all(5, 100)), ("26 27 28 29 30".to_owned(), 25));
    assert_eq!(due(all(5, 2)), ("29 30".to_owned(), 28));
    // A short delay is no outage.
    let late = schedule.due(last, at("2026-11-22T09:01:05Z"), CatchUp::None);
    assert_eq!((late.fire, late.missed.count), (vec![at("2026-11-22T09:01:00Z")], 0));
    // Nor is a clock that was set back.
    let back = schedule.due(now, last, all(5, 100));
    assert_eq!((back.fire, back.missed.count, back.until), (vec![], 0, now));
}

#[test]
fn a_year_of_seconds_is_not_counted_to_its_end() {
    let schedule = schedule(vec![every(1)], "UTC");
    let catch_up = CatchUp::All { window: Duration::from_hours(9000), limit: 3 };
    let due = schedule.due(at("2025-11-22T09:00:00Z"), at("2026-11-22T09:00:00.5Z"), catch_up);
    assert_eq!(due.fire.last(), Some(&at("2026-11-22T09:00:00Z")));
    assert_eq!((due.fire.len(), due.missed.count, due.missed.or_more), (3, 10_000, true));
}

#[test]
fn a_jitter_delays_the_run_and_leaves_the_time_as_it_is() {
    let mut schedule = schedule(vec![cron("0 9 * * *")], "UTC");
    schedule.delay = Duration::from_secs(90);
    let (last, time) = (at("2026-11-22T00:00:00Z"), at("2026-11-22T09:00:00Z"));
    assert!(schedule.due(last, at("2026-11-22T09:01:29Z"), CatchUp::None).fire.is_empty());
    assert_eq!(schedule.due(last, at("2026-11-22T09:01:30Z"), CatchUp::None).fire, [time]);
    assert_eq!(schedule.begins(time), at("2026-11-22T09:01:30Z"));
}

#[test]
fn the_times_that_a_change_of_the_clock_affects_are_named_beforehand() {
    let rules = ["30 2 * * *", "*/30 * * * *", "0 12 * * *", "15,45 2 * * sun"].map(cron);
    let affected = schedule(rules.to_vec(), "Europe/Berlin").affected(at("2026-11-22T00:00:00Z"));
    let said: Vec<_> = affected.iter().map(|one| format!("{}: {one}", one.rule)).collect();
    assert_eq!(
        said,
        [
            "0: 2027-03-28 02:30 does not exist in Europe/Berlin: it runs once at 03:00 (+02), right after the change",
            "3: 2027-03-28 02:15 does not exist in Europe/Berlin: it runs once at 03:00 (+02), right after the change",
            "0: 2027-10-31 02:30 comes twice in Europe/Berlin: it runs the first time only (+02)",
            "3: 2027-10-31 02:15 comes twice in Europe/Berlin: it runs the first time only (+02)",
        ]
    );
}

#[test]
fn the_sun_neither_rises_nor_sets_where_it_stays_up() {
    let next = |event, latitude, after| Solar::new(event, latitude, 15.6).unwrap().next(at(after));
    // Svalbard: the sun sets on 24 August for the first time since April.
    let sunset = next(Event::Sunset, 78.2, "2026-05-01T00:00:00Z").unwrap();
    assert_eq!(sunset.to_string()[..10], *"2026-08-24");
    assert_eq!(next(Event::Sunrise, 90.0, "2026-05-01T00:00:00Z"), None);
    assert!(next(Event::SolarNoon, 90.0, "2026-05-01T00:00:00Z").is_some());
    assert_eq!(Solar::new(Event::Sunset, 91.0, 0.0), Err(NoPlace::Latitude(91.0)));
    assert!(Solar::new(Event::Sunset, 0.0, f64::NAN).is_err());
}

#[test]
fn a_zone_is_one_of_the_iana_database() {
    assert!(zone("Europe/Berlin").is_ok() && zone("utc").is_ok());
    for name in ["", "CEST", "Etc/Unknown", "Mars/Olympus", "+02:00"] {
        assert!(zone(name).unwrap_err().to_string().contains("Europe/Berlin"), "{name}");
    }
}
