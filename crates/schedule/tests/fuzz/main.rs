//! Any text is a crontab or is refused: see [`petiole_testkit::fuzz`] for how it is run.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use petiole_schedule::crontab::{Crontab, Refused};

const SEEDS: &[&str] = &[
    "* * * * *",
    "*/15 0-5/2 1,15 jan-mar mon-fri",
    "0,30 22-2 29 feb sun",
    "1-5-7 * * * *",
    "0 0 31 2 *",
    "+5 1_0 * nov-feb/2 fri-mon",
    "5/15 */0 32 dec 7",
    ",, 1- -1 */ mon#2",
    "@daily",
];

#[test]
fn any_text_is_a_crontab_or_is_refused() {
    let seeds = SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    petiole_testkit::fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), "crontab", seeds, |bytes| {
        match String::from_utf8_lossy(bytes).parse::<Crontab>() {
            Ok(crontab) => {
                let printed = crontab.to_string();
                assert_eq!(printed.parse(), Ok(crontab));
                assert!(crontab.next(Timestamp::UNIX_EPOCH, &TimeZone::UTC).unwrap() > Timestamp::UNIX_EPOCH);
                // What kind each field is of: all, a step, or another.
                let kinds = printed.split(' ').map(|field| match field.strip_prefix('*') {
                    Some("") => '*',
                    Some(_) => '/',
                    None => 'n',
                });
                kinds.collect()
            }
            Err(Refused::Field { field, fault, .. }) => format!("{field} {fault}"),
            Err(Refused::FieldCount(count)) => format!("{} fields", count.min(9)),
            Err(Refused::NeverFires { .. }) => "never".to_owned(),
        }
    });
}
