//! What holds for all schedules.
#![allow(clippy::unwrap_used, reason = "what is no time fails its test")]

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use petiole_schedule::crontab::{Crontab, Field};
use petiole_schedule::solar::{Event, Solar};
use petiole_schedule::{At, CatchUp, Every, Rule, Schedule, zone};
use proptest::prelude::*;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const MOMENT: SignedDuration = SignedDuration::from_nanos(1);

/// Zones of all kinds of changes: at night, at midnight, of half an hour, of two, of none.
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Asia/Kolkata",
];

fn time_zone() -> impl Strategy<Value = TimeZone> {
    prop::sample::select(ZONES).prop_map(|name| zone(name).unwrap())
}

/// Around a change of the clock, most times.
fn moment(zone: &TimeZone) -> impl Strategy<Value = Timestamp> + use<> {
    let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let changes: Vec<_> = zone.following(from).take(6).map(|change| change.timestamp()).collect();
    let anywhere = (0_i64..200_000_000).prop_map(move |second| from + SignedDuration::from_secs(second));
    if changes.is_empty() {
        return anywhere.boxed();
    }
    let around = (prop::sample::select(changes), -30 * 60_i64..4 * 60, 0_i64..60)
        .prop_map(|(change, minute, second)| change + SignedDuration::from_secs(minute * 60 + second));
    let exactly = (0_usize..6, -60_i64..90, 0_i64..2);
    let changes: Vec<_> = zone.following(from).take(6).map(|change| change.timestamp()).collect();
    let exactly = exactly.prop_map(move |(change, minute, early)| {
        changes[change % changes.len()] + SignedDuration::from_mins(minute)
            - MOMENT * i32::try_from(early).unwrap()
    });
    prop_oneof![1 => anywhere, 4 => around, 4 => exactly].boxed()
}

fn numbers(field: Field, star: u32) -> impl Strategy<Value = String> {
    let number = field.min()..=field.max();
    let part = prop_oneof![
        number.clone().prop_map(|number| number.to_string()),
        (number.clone(), number.clone()).prop_map(|(from, to)| format!("{from}-{to}")),
        (number.clone(), number, 1..12).prop_map(|(from, to, step)| format!("{from}-{to}/{step}")),
        (1..40).prop_map(|step| format!("*/{step}")),
    ];
    let parts = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join(","));
    prop_oneof![star => Just("*".to_owned()), 10 => parts]
}

fn crontab() -> impl Strategy<Value = Crontab> {
    let nightly =
        prop::sample::select(&["2", "0-5", "1-3", "0", "23", "22-2", "1,2"][..]).prop_map(str::to_owned);
    let hour = prop_oneof![numbers(Field::Hour, 10), nightly];
    let day = |field| numbers(field, 60);
    (numbers(Field::Minute, 2), hour, day(Field::DayOfMonth), day(Field::MonthOfYear), day(Field::DayOfWeek))
        .prop_map(|(minute, hour, dom, month, dow)| format!("{minute} {hour} {dom} {month} {dow}"))
        .prop_filter_map("a day that there is", |text| text.parse().ok())
}

fn matches(crontab: &Crontab, wall: DateTime) -> bool {
    wall.second() == 0
        && crontab.numbers(Field::Minute).contains(wall.minute())
        && crontab.numbers(Field::Hour).contains(wall.hour())
        && crontab.numbers(Field::DayOfMonth).contains(wall.day())
        && crontab.numbers(Field::MonthOfYear).contains(wall.month())
        && crontab.numbers(Field::DayOfWeek).contains(wall.weekday().to_sunday_zero_offset())
}

/// As docs/periodic-tasks.md defines it.
fn keeps_pace(crontab: &Crontab, hour: i8) -> bool {
    let hours = crontab.numbers(Field::Hour);
    let goes_on = hours.contains((hour + 23) % 24) && hours.contains((hour + 1) % 24);
    hours.len() == 24 || (crontab.numbers(Field::Minute).len() > 1 && goes_on)
}

/// Whether it runs at this whole minute, by nothing but the rule.
fn runs(crontab: &Crontab, zone: &TimeZone, at: Timestamp) -> bool {
    let wall = zone.to_datetime(at);
    let offset = zone.to_ambiguous_timestamp(wall).offset();
    let again = matches!(offset, AmbiguousOffset::Fold { after, .. } if zone.to_offset(at) == after);
    if matches(crontab, wall) && (!again || keeps_pace(crontab, wall.hour())) {
        return true;
    }
    // Each minute that the clock has just leapt over.
    let mut left_out = zone.to_offset(at - MOMENT).to_datetime(at);
    while left_out < wall {
        if matches(crontab, left_out) && !keeps_pace(crontab, left_out.hour()) {
            return true;
        }
        left_out += MINUTE;
    }
    false
}

fn minute_after(after: Timestamp) -> Timestamp {
    Timestamp::from_second((after.as_second().div_euclid(60) + 1) * 60).unwrap()
}

fn any_schedule() -> impl Strategy<Value = (Schedule, Timestamp)> {
    time_zone().prop_flat_map(|zone| {
        let instants = prop::collection::vec(moment(&zone), 0..4);
        let rule = prop_oneof![
            3 => crontab().prop_map(Rule::Crontab),
            1 => (60_u64..100_000).prop_map(|seconds| {
                Rule::Every(Every::new(Duration::from_secs(seconds), None).unwrap())
            }),
            1 => instants.prop_map(|instants| Rule::At(At::from_iter(instants))),
            1 => (prop::sample::select(&Event::ALL[..]), -90.0..=90.0, -180.0..=180.0).prop_map(
                |(event, latitude, longitude)| Rule::Solar(Solar::new(event, latitude, longitude).unwrap())
            ),
        ];
        let rules = prop::collection::vec(rule, 1..4);
        let limit = || prop::option::weighted(0.3, -200_000_i64..200_000);
        (rules, moment(&zone), limit(), limit(), 0_u64..600).prop_map(
            move |(rules, now, start, end, delay)| {
                let limit = |seconds| now + SignedDuration::from_secs(seconds);
                let (start, end, delay) = (start.map(limit), end.map(limit), Duration::from_secs(delay));
                (Schedule { rules, zone: zone.clone(), start, end, delay }, now)
            },
        )
    })
}

const WEEK: Duration = Duration::from_hours(7 * 24);
const ALL: CatchUp = CatchUp::All { window: WEEK, limit: usize::MAX };

proptest! {
    /// By a search minute by minute.
    #[test]
    fn the_next_time_is_later_and_matches_and_none_before_it_does(
        (zone, after) in time_zone().prop_flat_map(|zone| (Just(zone.clone()), moment(&zone))),
        crontab in crontab(),
    ) {
        let next = crontab.next(after, &zone).unwrap();
        prop_assert!(next > after);
        prop_assert!(runs(&crontab, &zone, next), "{crontab}: {next} does not match");
        let mut at = minute_after(after);
        // Days farther away have no change of the clock, or have had their own case.
        let end = next.min(after + SignedDuration::from_hours(60));
        while at < end {
            prop_assert!(!runs(&crontab, &zone, at), "{crontab}: {at} is earlier than {next}");
            at += MINUTE;
        }
    }

    #[test]
    fn a_later_question_has_no_earlier_answer((schedule, now) in any_schedule(), later in 0_i64..200_000) {
        let later = now + SignedDuration::from_secs(later);
        let (first, second) = (schedule.next(now), schedule.next(later));
        prop_assert!(second.is_none() || first <= second);
        if let Some(first) = first.filter(|first| *first > later) {
            prop_assert_eq!(second, Some(first));
        }
    }

    #[test]
    fn what_is_printed_is_read_as_the_same(crontab in crontab()) {
        prop_assert_eq!(crontab.to_string().parse::<Crontab>().unwrap(), crontab);
    }

    #[test]
    fn stretches_have_due_what_the_whole_has(
        (schedule, last) in any_schedule(),
        mut cuts in prop::collection::vec(0_i64..100_000, 1..5),
    ) {
        cuts.sort_unstable();
        let at = |second: i64| last + SignedDuration::from_secs(second);
        let end = *cuts.last().unwrap();
        let whole = schedule.due(last, at(end), ALL);
        let (mut from, mut parts) = (last, Vec::new());
        for cut in cuts {
            let due = schedule.due(from, at(cut), ALL);
            prop_assert_eq!(due.missed.count, 0);
            parts.extend(due.fire);
            from = due.until;
        }
        prop_assert_eq!(whole.fire, parts);
    }

    /// What runs are the newest that the policy lets run, and all others are counted.
    #[test]
    fn what_is_due_runs_or_is_missed(
        (schedule, last) in any_schedule(),
        away in 0_i64..100_000,
        window in 0_u64..100_000,
        limit in 0_usize..20,
    ) {
        let now = last + SignedDuration::from_secs(away);
        let all = schedule.due(last, now, ALL).fire;
        let window = Duration::from_secs(window);
        for (catch_up, window, limit) in [
            (CatchUp::None, petiole_schedule::due::ON_TIME, 1),
            (CatchUp::Last { window }, window, 1),
            (CatchUp::All { window, limit }, window, limit),
        ] {
            let due = schedule.due(last, now, catch_up);
            prop_assert!(!due.missed.or_more);
            prop_assert_eq!(due.fire.len() + usize::try_from(due.missed.count).unwrap(), all.len());
            let young = all.iter().filter(|time| schedule.begins(**time) + window >= now).count();
            prop_assert_eq!(&due.fire[..], &all[all.len() - young.min(limit)..]);
        }
    }
}
