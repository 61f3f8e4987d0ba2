use petiole_broker::{Load, Wish};
use petiole_protocol::json::quote;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn pool() -> Pool {
    ("photos".to_owned(), "own".to_owned())
}

fn expecting(pods: &[&str]) -> Fleet {
    let mut fleet = Fleet::default();
    expect(&mut fleet, pods, 0);
    fleet
}

fn expect(fleet: &mut Fleet, pods: &[&str], second: i64) {
    let pods = pods.iter().map(|&pod| pod.to_owned()).collect();
    fleet.expect(pool(), pods, vec!["mail".to_owned(), "print".to_owned()], at(second));
}

fn envelope(body: String) -> Envelope {
    Envelope { body: body.into(), ..Envelope::default() }
}

fn beat(pod: &str, active: u64, processed: u64) -> Envelope {
    envelope(format!(
        r#"{{"hostname": "celery@{pod}", "clock": 7, "freq": 2.0, "active": {active}, "processed": {processed}, "type": "worker-heartbeat"}}"#
    ))
}

fn answer(pod: &str, method: &str, answer: &str) -> Envelope {
    let mut envelope = envelope(format!(r#"{{"celery@{pod}": {answer}}}"#));
    envelope.headers.set("ticket", quote(method).as_bytes()).unwrap();
    envelope
}

fn said(events: Vec<Envelope>, answers: Vec<Envelope>) -> Said {
    Said { whole: true, events, answers }
}

fn word(fleet: &Fleet) -> Option<Word> {
    fleet.word("own-1", at(100))
}

/// What is asked, and whom.
fn asked(fleet: &mut Fleet, second: i64) -> Vec<(String, String)> {
    let requests = fleet.requests("key", at(second));
    let read = |envelope: &Envelope| {
        let body = Object::read(&envelope.body).unwrap();
        (body.get("method").unwrap().to_owned(), body.get("destination").unwrap().to_owned())
    };
    requests.iter().map(read).collect()
}

fn load(fleet: &Fleet, second: i64) -> Load {
    let reports = fleet.reports(at(second));
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports[0].load
}

#[test]
fn a_worker_is_reported_as_ours_are_once_it_was_heard() {
    let mut fleet = expecting(&["own-1", "own-2"]);
    fleet.take(Some(&said(Vec::new(), Vec::new())), at(0));
    fleet.requests("key", at(0));
    assert!(fleet.reports(at(0)).is_empty());
    fleet.take(Some(&said(vec![beat("own-1", 2, 5), beat("of-others", 1, 1)], Vec::new())), at(1));
    let reports = fleet.reports(at(1));
    let [Report { namespace, pool, host, load, .. }] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((namespace.as_str(), pool.as_str(), host.as_str()), ("photos", "own", "own-1"));
    assert_eq!((load.running, load.held, load.ended), (2, 2, 3));
}

#[test]
fn what_waits_in_a_worker_is_asked_for_and_counted() {
    let mut fleet = expecting(&["own-1"]);
    fleet.take(Some(&said(Vec::new(), Vec::new())), at(0));
    fleet.requests("key", at(0));
    fleet.take(Some(&said(vec![beat("own-1", 1, 1)], Vec::new())), at(1));
    assert!(asked(&mut fleet, 1).is_empty(), "just asked");
    let to = r#"["celery@own-1"]"#.to_owned();
    let methods = ["active_queues", "active", "reserved", "scheduled"]
        .map(|method| (format!("\"{method}\""), to.clone()));
    assert_eq!(asked(&mut fleet, 5), methods);
    let started = r#"[{"id": "a", "time_start": 1800000003.0}]"#;
    let answers = vec![
        answer("own-1", "active", started),
        answer("own-1", "reserved", "[{}, {}]"),
        answer("own-1", "scheduled", "[{}]"),
    ];
    fleet.take(Some(&said(Vec::new(), answers)), at(6));
    let Load { held, running, running_ms, .. } = load(&fleet, 6);
    assert_eq!((held, running, running_ms), (3, 1, 3000));
    assert!(fleet.waits(&pool()));
}

#[test]
fn how_long_tasks_took_follows_from_heartbeats() {
    let mut fleet = expecting(&["own-1"]);
    fleet.take(Some(&said(Vec::new(), Vec::new())), at(0));
    fleet.requests("key", at(0));
    // Two at a time for ten seconds, ten tasks.
    for (second, begun) in [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)] {
        fleet.take(Some(&said(vec![beat("own-1", 2, begun)], Vec::new())), at(second));
    }
    fleet.take(Some(&said(vec![beat("own-1", 0, 10)], Vec::new())), at(10));
    let Load { ended, ended_ms, .. } = load(&fleet, 10);
    assert_eq!((ended, ended_ms), (10, 20_000));
    // Another life begins to count anew; what was done stays done.
    fleet.take(Some(&said(vec![beat("own-1", 0, 0)], Vec::new())), at(12));
    fleet.take(Some(&said(vec![beat("own-1", 0, 3)], Vec::new())), at(14));
    let Load { ended, ended_ms, .. } = load(&fleet, 14);
    assert_eq!((ended, ended_ms), (13, 20_000));
}

#[test]
fn who_is_quiet_is_asked_whether_it_lives() {
    let mut fleet = expecting(&["own-1"]);
    fleet.take(Some(&said(Vec::new(), Vec::new())), at(0));
    assert!(asked(&mut fleet, 0).is_empty());
    assert!(asked(&mut fleet, 9).is_empty());
    assert_eq!(asked(&mut fleet, 14), [("\"ping\"".to_owned(), r#"["celery@own-1"]"#.to_owned())]);
    assert_eq!(word(&fleet).unwrap().owes, Some(at(14)));
    asked(&mut fleet, 19);
    assert_eq!(word(&fleet).unwrap().owes, Some(at(14)), "since the first");
    fleet.take(Some(&said(Vec::new(), vec![answer("own-1", "ping", r#"{"ok": "pong"}"#)])), at(20));
    let word = word(&fleet).unwrap();
    assert_eq!((word.heard, word.owes), (Some(at(20)), None));
}

#[test]
fn nobody_owes_a_word_that_could_not_be_heard() {
    let mut fleet = expecting(&["own-1"]);
    fleet.take(Some(&said(Vec::new(), Vec::new())), at(0));
    asked(&mut fleet, 20);
    assert!(word(&fleet).unwrap().owes.is_some());
    fleet.take(None, at(21));
    assert_eq!(word(&fleet), None);
    assert!(asked(&mut fleet, 22).is_empty(), "nobody would hear the answers");
    fleet.take(Some(&Said { whole: false, ..Said::default() }), at(30));
    assert_eq!(word(&fleet), Some(Word { heard: None, listening: at(30), owes: None, drained: false }));
}

#[test]
fn what_nobody_wants_to_know_any_more_is_forgotten() {
    let mut fleet = expecting(&["own-1", "own-2"]);
    fleet.take(Some(&said(Vec::new(), Vec::new())), at(0));
    fleet.requests("key", at(0));
    fleet.take(Some(&said(vec![beat("own-1", 0, 0), beat("own-2", 0, 0)], Vec::new())), at(1));
    expect(&mut fleet, &["own-2"], 2);
    assert!(fleet.is_wanted(at(3)));
    assert_eq!(fleet.reports(at(3)).len(), 1);
    assert!(!fleet.is_wanted(at(13)));
    assert!(fleet.reports(at(13)).is_empty());
}

/// It takes from these queues, and says what it holds.
fn inspected(queues: &str, active: &str, reserved: &str) -> Said {
    let answers = vec![
        answer("own-1", "active_queues", queues),
        answer("own-1", "active", active),
        answer("own-1", "reserved", reserved),
    ];
    said(Vec::new(), answers)
}

fn methods(fleet: &mut Fleet, second: i64) -> Vec<String> {
    asked(fleet, second).into_iter().map(|(method, _)| method.trim_matches('"').to_owned()).collect()
}

#[test]
fn who_is_wished_to_drain_is_told_to_take_from_no_queue_until_it_does() {
    const BOTH: &str = r#"[{"name": "mail"}, {"name": "print"}]"#;
    const RUNS: &str = r#"[{"id": "a", "time_start": 1800000000.0}]"#;
    let mut fleet = expecting(&["own-1"]);
    fleet.take(Some(&said(vec![beat("own-1", 1, 1)], Vec::new())), at(0));
    fleet.take(Some(&inspected(BOTH, RUNS, "[{}]")), at(1));
    fleet.wish("celery@own-1", Wish::Drain, SignedDuration::from_secs(15), at(1));
    let told = ["cancel_consumer", "cancel_consumer", "active_queues", "active", "reserved", "scheduled"];
    assert_eq!(methods(&mut fleet, 1), told);
    assert!(!load(&fleet, 1).draining);
    fleet.take(Some(&inspected("[]", RUNS, "[{}]")), at(2));
    assert_eq!(methods(&mut fleet, 2), told[2..], "it does: each second it is asked what is left");
    assert!(!load(&fleet, 2).draining, "something may be under way to it");
    fleet.take(Some(&inspected("[]", RUNS, "[]")), at(4));
    let Load { draining, held, .. } = load(&fleet, 4);
    assert!(draining && held == 1);
    fleet.take(Some(&inspected("[]", "[]", "[]")), at(5));
    let Load { draining, held, running, .. } = load(&fleet, 5);
    assert!(draining && held == 0 && running == 0);
    assert!(word(&fleet).unwrap().drained);
    // It is wanted again.
    fleet.wish("celery@own-1", Wish::Work, SignedDuration::ZERO, at(6));
    assert_eq!(methods(&mut fleet, 6)[..2], ["add_consumer", "add_consumer"]);
    fleet.take(Some(&inspected(BOTH, "[]", "[]")), at(7));
    assert!(!load(&fleet, 7).draining);
    assert!(methods(&mut fleet, 7).is_empty());
}

#[test]
fn who_drains_though_nobody_wishes_it_is_told_to_work() {
    let mut fleet = expecting(&["own-1"]);
    fleet.take(Some(&said(vec![beat("own-1", 0, 0)], Vec::new())), at(0));
    // An operator before this one has wished it.
    fleet.take(Some(&inspected("[]", "[]", "[]")), at(1));
    assert_eq!(methods(&mut fleet, 1)[..2], ["add_consumer", "add_consumer"]);
    // Somebody has cancelled one of two by hand.
    fleet.take(Some(&inspected(r#"[{"name": "print"}]"#, "[]", "[]")), at(2));
    assert!(methods(&mut fleet, 2).is_empty());
    // A wish that is not said again.
    fleet.wish("celery@own-1", Wish::Drain, SignedDuration::from_secs(15), at(2));
    assert_eq!(methods(&mut fleet, 3)[..2], ["cancel_consumer", "cancel_consumer"]);
    expect(&mut fleet, &["own-1"], 17);
    assert!(fleet.is_wanted(at(17)));
    fleet.take(Some(&said(vec![beat("own-1", 0, 0)], Vec::new())), at(17));
    fleet.take(Some(&inspected("[]", "[]", "[]")), at(17));
    assert_eq!(methods(&mut fleet, 17)[..2], ["add_consumer", "add_consumer"]);
}
