//! What is admitted, held and discarded.

use petiole_broker::conformance;
use petiole_protocol::envelope::Envelope;
use serde_json::json;

use super::*;

/// A pool of two queues: the first has no limits of its own, the second has one minute, 30 s to end in.
fn admit() -> Admit {
    let queue = |name: &str, limits: serde_json::Value| json!({ "name": name, "prioritySteps": [0], "visibilityTimeout": 3600, "deadLetter": "dead", "limits": limits });
    let pool = json!({
        "namespace": "", "name": "", "mode": "exec", "concurrency": 1,
        "broker": { "url": { "value": "redis://redis" } },
        "queues": [queue("a", json!({})), queue("b", json!({ "hard": 60.0, "soft": 30.0 }))],
        "tasks": {
            "tasks.add": { "command": ["a"] },
            "tasks.slow": { "command": ["a"], "limits": { "hard": 300.0, "soft": 200.0 } },
        },
        "defaults": { "hard": 600.0, "soft": 500.0 },
    });
    Admit::new(&serde_json::from_value(pool).unwrap(), Accept::default()).unwrap()
}

/// The limits of a message with these of its own (`[hard, soft]`, as Celery writes them).
#[track_caller]
fn limits(queue: usize, task: &str, own: serde_json::Value) -> (Option<f64>, Option<f64>) {
    limits_of(&admit(), queue, task, own)
}

#[track_caller]
fn limits_of(admit: &Admit, queue: usize, task: &str, own: serde_json::Value) -> (Option<f64>, Option<f64>) {
    let mut message: serde_json::Value = serde_json::from_str(&conformance::message("1", 0)).unwrap();
    message["headers"]["task"] = json!(task);
    message["headers"]["timelimit"] = own;
    let envelope = Envelope::from_redis(message.to_string().as_bytes());
    let delivery = Delivery { tag: 1, queue, counted: false, envelope };
    match admit.admit(delivery, &Revoked::default(), Timestamp::UNIX_EPOCH) {
        Admission::Run(work) => (work.limits.hard, work.limits.soft),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_has_the_limits_of_the_queue_that_it_came_from() {
    let none = || json!([null, null]);
    assert_eq!(limits(0, "tasks.add", none()), (Some(600.0), Some(500.0)));
    assert_eq!(limits(1, "tasks.add", none()), (Some(60.0), Some(30.0)));
}

#[test]
fn a_tasks_own_limits_come_before_its_queues() {
    assert_eq!(limits(1, "tasks.slow", json!([null, null])), (Some(300.0), Some(200.0)));
}

#[test]
fn a_messages_own_limits_come_first_and_are_cut_to_what_its_queue_gives() {
    assert_eq!(limits(1, "tasks.add", json!([20, 10])), (Some(20.0), Some(10.0)));
    assert_eq!(limits(1, "tasks.add", json!([90, null])), (Some(60.0), Some(30.0)));
    // A soft limit that the hard one forestalls would never be heard.
    assert_eq!(limits(1, "tasks.add", json!([20, null])), (Some(20.0), None));
    assert_eq!(limits(0, "tasks.add", json!([90, null])), (Some(90.0), None));
}

#[test]
fn limits_that_were_set_by_remote_control_come_after_a_messages_own_and_are_cut_like_them() {
    let (mut admit, none) = (admit(), || json!([null, null]));
    admit.limit("tasks.add".to_owned(), Limits { soft: Some(10.0), hard: Some(20.0) });
    assert_eq!(limits_of(&admit, 1, "tasks.add", none()), (Some(20.0), Some(10.0)));
    assert_eq!(limits_of(&admit, 1, "tasks.add", json!([15, 5])), (Some(15.0), Some(5.0)));
    assert_eq!(limits_of(&admit, 1, "tasks.slow", none()), (Some(300.0), Some(200.0)));
    admit.limit("tasks.add".to_owned(), Limits { soft: None, hard: Some(90.0) });
    assert_eq!(limits_of(&admit, 1, "tasks.add", none()), (Some(60.0), Some(30.0)));
}

/// What a queue that gives a message so many deliveries makes of one that has lost so many.
fn admitted(most: Option<u32>, lost: u32, redelivered: bool) -> Admission {
    let mut admit = admit();
    admit.queues[0].max_deliveries = most;
    let mut message: serde_json::Value = serde_json::from_str(&conformance::message("1", 0)).unwrap();
    let how = json!([{ "at": "2026-11-21T10:00:00Z", "worker": "w", "host": "pod-1", "how": "it was gone" }]);
    for (name, value) in
        [("petiole-deliveries", json!(lost)), ("redelivered", json!(redelivered)), ("petiole-history", how)]
    {
        message["headers"][name] = value;
    }
    let envelope = Envelope::from_redis(message.to_string().as_bytes());
    let delivery = Delivery { tag: 1, queue: 0, counted: false, envelope };
    admit.admit(delivery, &Revoked::default(), Timestamp::UNIX_EPOCH)
}

#[test]
fn a_message_that_was_lost_too_often_is_given_up_and_says_how() {
    let Admission::Discard(discarded) = admitted(Some(3), 3, true) else { panic!("it runs") };
    assert_eq!(discarded.reason, reason::TOO_MANY_DELIVERIES);
    assert!(discarded.dead_letter);
    let why =
        "3 workers have ended while it ran; the last one, w (pod-1), at 2026-11-21T10:00:00Z: it was gone";
    assert_eq!(discarded.why, why);
    let Told::Failure(exception) = discarded.told else { panic!("no failure") };
    assert_eq!(exception, Exception::worker_lost(&format!("Worker exited prematurely: {why}.")));
}

#[test]
fn a_message_that_was_lost_less_often_or_may_be_lost_for_ever_runs() {
    let last_chance = |most, lost, redelivered| match admitted(most, lost, redelivered) {
        Admission::Run(work) => work.last_chance,
        other => panic!("{other:?}"),
    };
    assert!(last_chance(Some(3), 2, true));
    for (most, lost) in [(Some(3), 1), (Some(1), 0), (Some(0), 0), (None, 100)] {
        assert!(!last_chance(most, lost, true), "{most:?} {lost}");
    }
    // Nobody has restored it: a client has written the header.
    assert!(!last_chance(Some(1), 7, false));
}

#[test]
fn a_form_that_the_pool_does_not_accept_is_kept_and_one_that_it_does_runs() {
    let mut message: serde_json::Value = serde_json::from_str(&conformance::message("1", 0)).unwrap();
    message["headers"]["task"] = json!("tasks.add");
    message["content-type"] = json!("application/x-yaml");
    message["body"] = json!("- [1]\n- {}\n- {}\n");
    message["properties"] = json!({ "delivery_tag": "t" });
    let admission = |accept: Accept| {
        let envelope = Envelope::from_redis(message.to_string().as_bytes());
        let admit = Admit { accept, ..admit() };
        admit.admit(
            Delivery { tag: 1, queue: 0, counted: false, envelope },
            &Revoked::default(),
            Timestamp::UNIX_EPOCH,
        )
    };
    match admission(Accept::default()) {
        Admission::Discard(discarded) => {
            assert!(discarded.dead_letter);
            assert_eq!(discarded.reason, "ContentDisallowed");
        }
        other => panic!("{other:?}"),
    }
    match admission(Accept::of(["json", "yaml"], None).unwrap()) {
        Admission::Run(work) => assert_eq!(work.args(), "[1]"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_that_expired_is_told_so_even_if_it_was_revoked() {
    let mut message: serde_json::Value = serde_json::from_str(&conformance::message("1", 0)).unwrap();
    message["headers"]["task"] = json!("tasks.add");
    let mut revoked = Revoked::default();
    revoked.revoke([message["headers"]["id"].as_str().unwrap()], Timestamp::UNIX_EPOCH);
    let reason = |message: &serde_json::Value, at: i64| {
        let envelope = Envelope::from_redis(message.to_string().as_bytes());
        let delivery = Delivery { tag: 1, queue: 0, counted: false, envelope };
        match admit().admit(delivery, &revoked, Timestamp::from_second(at).unwrap()) {
            Admission::Discard(discarded) => discarded.reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reason(&message, 1), reason::REVOKED);
    message["headers"]["expires"] = json!("1970-01-01T00:00:10+00:00");
    assert_eq!(reason(&message, 1), reason::REVOKED);
    assert_eq!(reason(&message, 11), reason::EXPIRED);
}
