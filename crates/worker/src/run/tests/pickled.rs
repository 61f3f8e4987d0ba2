//! Pickled messages: what their handler tells of them.

use jiff::Timestamp;
use petiole_protocol::message::Accept;

use super::*;

/// A handler that has been given a task whose message is a pickle.
fn served() -> Served {
    let raw = r#"{"body": "gASVAA==", "content-type": "application/x-python-serialize", "headers": {"task": "a", "id": "1"}, "properties": {"body_encoding": "base64"}}"#;
    let envelope = Envelope::from_redis(raw.as_bytes()).unwrap();
    let message = Accept::of(["pickle"], None).unwrap().read(&envelope, Timestamp::UNIX_EPOCH).unwrap();
    let mut served = Served::of(1);
    served.hello(0, 1, 0);
    let work = Work { message, ..work(Limits::default()) };
    served.runs.take(7, Box::new(work), served.now, &mut Effects::default());
    served
}

/// How the task ends whose handler says this when it starts.
fn ended(embed: &'static str) -> Ended {
    let mut served = served();
    let mut effects = Effects::default();
    let started = FromHandler::Started { attempt: 1 };
    served.runs.handler_says(started, embed.as_bytes().into(), served.now, &mut effects);
    let result = FromHandler::Result(RunResult { attempt: 1, ..RunResult::default() });
    served.runs.handler_says(result, Bytes::new(), served.now, &mut effects);
    effects.ended.remove(0)
}

#[test]
fn what_follows_a_pickled_task_is_known_from_its_start_on() {
    let ended = ended(r#"{"callbacks": [{"task": "c"}], "errbacks": null, "chain": null, "chord": null}"#);
    assert_eq!(ended.outcome, Outcome::Success(Bytes::from_static(b"null")));
    assert_eq!(ended.work.message.follow_ups().callbacks, Some(r#"[{"task": "c"}]"#));
    assert!(ended.work.message.pickled().is_some());
}

#[test]
fn a_handler_need_not_say_what_follows() {
    let ended = self::ended("");
    assert_eq!(ended.outcome, Outcome::Success(Bytes::from_static(b"null")));
    assert!(!ended.work.message.has_follow_ups());
}

#[test]
fn what_cannot_be_read_of_it_fails_the_task() {
    for none in ["[]", "{", "null"] {
        let Outcome::Failure(why) = ended(none).outcome else { panic!("{none}") };
        assert!(why.to_json().contains("what follows the pickled task"), "{}", why.to_json());
    }
}
