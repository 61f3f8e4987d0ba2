//! Messages that stock clients do not send: hybrids, gaps, and what is refused. The rest stands in `tests/golden`.

use super::*;

const BODY: &str =
    r#"[[1, "é"], {"a": NaN}, {"callbacks": null, "errbacks": [], "chain": null, "chord": null}]"#;

fn envelope(headers: &str, body: &str) -> Envelope {
    Envelope {
        headers: Object::read(headers.as_bytes()).unwrap(),
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        body: body.to_owned().into(),
        ..Envelope::default()
    }
}

fn read(headers: &str, body: &str) -> Result<Message, Refused> {
    Message::read(&envelope(headers, body))
}

fn refused(headers: &str, body: &str) -> Refused {
    read(headers, body).unwrap_err()
}

#[test]
fn two_headers_make_a_task() {
    let message = read(r#"{"task": "t", "id": "i"}"#, BODY).unwrap();
    assert_eq!((&*message.task, &*message.id), ("t", "i"));
    assert_eq!((message.args(), message.kwargs()), (r#"[1, "é"]"#, r#"{"a": NaN}"#));
    assert_eq!(message.arguments(), r#"[[1, "é"], {"a": NaN}]"#.as_bytes());
    assert_eq!(message.limits, TimeLimits::default());
    assert_eq!((message.retries, message.ignore_result, message.redelivered), (0, None, false));
    assert_eq!(message.stamps, Object::default());
    assert!(!message.has_follow_ups(), "an empty list is nothing to send");
}

#[test]
fn what_follows_a_task_stays_text() {
    let body = r#"[[], {}, {"chain": [{"task": "b"}, {"task": "a"}], "errbacks": [ ], "chord": {"task": "c"}, "x": 1}]"#;
    let message = read(r#"{"task": "t", "id": "i"}"#, body).unwrap();
    let expected = FollowUps {
        chain: Some(r#"[{"task": "b"}, {"task": "a"}]"#),
        chord: Some(r#"{"task": "c"}"#),
        ..FollowUps::default()
    };
    assert_eq!(message.follow_ups(), expected);
    assert!(message.has_follow_ups());
    assert!(!read(r#"{"task": "t", "id": "i"}"#, "[[], {}, null]").unwrap().has_follow_ups());
}

#[test]
fn a_hybrid_has_its_headers_over_its_body() {
    let headers = r#"{"task": "t", "id": "i", "retries": 2, "group": null}"#;
    let body = r#"{"task": "old", "id": "old", "retries": 1, "eta": "2031-02-03T04:05:06", "group": "old",
                   "args": [5], "callbacks": [{"task": "c"}]}"#;
    let message = read(headers, body).unwrap();
    assert_eq!((&*message.task, &*message.id, message.retries), ("t", "i", 2));
    assert_eq!(message.group, None);
    assert_eq!(message.eta, Some("2031-02-03T04:05:06Z".parse().unwrap()));
    assert_eq!((message.args(), message.kwargs()), ("[5]", "{}"));
    assert_eq!(message.follow_ups().callbacks, Some(r#"[{"task": "c"}]"#));
}

#[test]
fn a_header_of_a_fields_name_counts_more_than_a_body_with_args() {
    let headers = r#"{"id": "mine", "retries": 7, "group": null}"#;
    let body =
        r#"{"task": "t", "id": "i", "retries": 1, "group": "old", "shadow": "s", "args": [], "chain": [1]}"#;
    let message = read(headers, body).unwrap();
    assert_eq!((&*message.task, &*message.id, message.retries), ("t", "mine", 7));
    assert_eq!((message.group.as_deref(), message.shadow.as_deref()), (None, Some("s")));
    assert!(!message.has_follow_ups(), "protocol 1 knows no chain");
    let group = |body: &str| read("{}", body).unwrap().group;
    let both = r#"{"task": "t", "id": "i", "group": "new", "taskset": "old", "args": []}"#;
    assert_eq!(group(both).as_deref(), Some("new"));
    let alone = r#"{"task": "t", "id": "i", "group": null, "taskset": "old", "args": []}"#;
    assert_eq!(group(alone).as_deref(), Some("old"));
}

#[test]
fn a_users_headers_do_not_touch_a_body_without_args() {
    let body = r#"{"task": "t", "id": "i", "group": "old", "taskset": "new", "chain": [1]}"#;
    let message = read(r#"{"id": "mine", "retries": 7, "shadow": "s"}"#, body).unwrap();
    assert_eq!((&*message.id, message.retries, message.shadow.as_deref()), ("i", 0, None));
    assert_eq!(message.group.as_deref(), Some("new"));
    assert_eq!((message.args(), message.kwargs(), message.has_follow_ups()), ("[]", "{}", false));
}

#[test]
fn a_time_that_the_serializer_wrote_is_a_time() {
    let body = r#"{"task": "t", "id": "i", "args": [], "eta": {"__type__": "datetime", "__value__": "2031-02-03T04:05:06"},
                   "expires": null}"#;
    let message = read("{}", body).unwrap();
    assert_eq!(message.eta, Some("2031-02-03T04:05:06Z".parse().unwrap()));
    let date = r#"{"task": "t", "id": "i", "args": [], "eta": {"__type__": "decimal", "__value__": "5"}}"#;
    assert_eq!(refused("{}", date).reason, Reason::InvalidTask);
}

#[test]
fn both_places_of_the_redelivered_mark_count() {
    let mut envelope = envelope(r#"{"task": "t", "id": "i", "redelivered": true}"#, BODY);
    assert!(Message::read(&envelope).unwrap().redelivered);
    envelope.headers.set("redelivered", b"false").unwrap();
    assert!(!Message::read(&envelope).unwrap().redelivered);
    envelope.properties.delivery_info.redelivered = Some(true);
    assert!(Message::read(&envelope).unwrap().redelivered);
}

#[test]
fn limits_stand_with_the_hard_one_first_and_zero_is_none() {
    let limits = |text: &str| read(&format!(r#"{{"task": "t", "id": "i", "timelimit": {text}}}"#), BODY);
    let both = TimeLimits { hard: Some(10.0), soft: Some(5.5) };
    assert_eq!(limits("[10, 5.5]").unwrap().limits, both);
    for none in ["null", "[]", "[null, null]", "[0, 0.0]"] {
        assert_eq!(limits(none).unwrap().limits, TimeLimits::default());
    }
    for wrong in
        ["[10]", "[1, 2, 3]", "5", "[-1, null]", "[NaN, null]", "[Infinity, null]", "[\"5\", null]", "{}"]
    {
        let refused = limits(wrong).unwrap_err();
        assert_eq!(refused.reason, Reason::InvalidTask);
        let expected = format!("`timelimit` must be [hard, soft], each in seconds or null, not {wrong}");
        assert_eq!(refused.message, expected);
    }
}

#[test]
fn a_field_of_a_wrong_type_is_named_with_what_to_write() {
    let cases = [
        (r#""id": 5"#, "`id` must be a string or null, not 5"),
        (r#""id": null"#, "`id` must be a string, not null"),
        (r#""retries": -1"#, "`retries` must be a whole number that is not negative, or null, not -1"),
        (
            r#""group_index": "a""#,
            "`group_index` must be a whole number that is not negative, or null, not \"a\"",
        ),
        (r#""ignore_result": 1"#, "`ignore_result` must be a boolean or null, not 1"),
        (
            r#""eta": "soon""#,
            "`eta` must be an ISO-8601 time such as \"2030-01-31T12:00:00+00:00\", or null, not soon",
        ),
        (
            r#""expires": 5"#,
            "`expires` must be an ISO-8601 time such as \"2030-01-31T12:00:00+00:00\", or null, not 5",
        ),
    ];
    for (field, message) in cases {
        let refused = refused(&format!(r#"{{"task": "t", "id": "i", {field}}}"#), BODY);
        assert_eq!((refused.reason, &*refused.message), (Reason::InvalidTask, message));
        assert_eq!(refused.task.as_deref(), Some("t"));
    }
}

#[test]
fn what_only_people_read_may_have_any_type() {
    let headers = r#"{"task": "t", "id": "i", "origin": 5, "argsrepr": [1], "kwargsrepr": "{}", "eta": ""}"#;
    let message = read(headers, BODY).unwrap();
    assert_eq!((message.origin, message.argsrepr, message.eta), (None, None, None));
    assert_eq!(message.kwargsrepr.as_deref(), Some("{}"));
}

#[test]
fn a_body_that_cannot_be_read_is_undecodable() {
    for body in ["", "{", "[[], {}, {}", "[[], {}, {}] x", "nonsense"] {
        for headers in [r#"{"task": "t", "id": "i"}"#, "{}"] {
            assert_eq!(refused(headers, body).reason, Reason::Undecodable, "{body}");
        }
    }
    let mut latin = envelope(r#"{"task": "t", "id": "i"}"#, "");
    latin.body = b"[[\"\xe9\"], {}, {}]"[..].into();
    let refused = Message::read(&latin).unwrap_err();
    assert_eq!(
        refused.message,
        "the body is not JSON in UTF-8, as its content type says: no JSON at byte 3: expected UTF-8"
    );
    assert_eq!((refused.id.as_deref(), refused.task.as_deref()), (Some("i"), Some("t")));
}

#[test]
fn a_body_of_another_shape_is_no_task_or_an_invalid_one() {
    for body in ["[]", "[[], {}]", "[[], {}, {}, {}]", "[[], {}, 5]", "{\"a\": 1}", "5"] {
        let refused = refused(r#"{"task": "t", "id": "i"}"#, body);
        assert_eq!((refused.reason, &*refused.message), (Reason::InvalidTask, body::NOT_A_TRIPLE), "{body}");
    }
    for body in ["[[], {}, {}]", "{\"id\": \"i\"}", "5", "null"] {
        assert_eq!(refused("{}", body).reason, Reason::NotATask, "{body}");
    }
    let headers = r#"{"task": "t", "id": "i"}"#;
    let message = refused(headers, "[{}, {}, {}]").message;
    assert_eq!(message, "the positional arguments must be an array");
    let message = refused(headers, "[[], null, {}]").message;
    assert_eq!(message, "the keyword arguments must be an object");
}

#[test]
fn a_refusal_says_whose_task_it_was() {
    let mut foreign = envelope("{}", "{");
    foreign.properties.correlation_id = Some("waiting".to_owned());
    let refused = Message::read(&foreign).unwrap_err();
    assert_eq!((refused.id.as_deref(), refused.task.as_deref()), (Some("waiting"), None));
    let body = r#"{"task": "t", "id": "i", "retries": "x"}"#;
    let refused = read("{}", body).unwrap_err();
    assert_eq!((refused.id.as_deref(), refused.task.as_deref()), (Some("i"), Some("t")));
}

/// What comes of a body of this content type where these are accepted.
fn typed(accepted: &[&str], headers: &str, content_type: &str, body: &[u8]) -> Result<Message, Refused> {
    let mut envelope = envelope(headers, "");
    envelope.content_type = Some(content_type.to_owned());
    envelope.body = body.to_vec().into();
    Accept::of(accepted.iter().copied(), None).unwrap().read(&envelope, Timestamp::UNIX_EPOCH)
}

const TASK: &str = r#"{"task": "t", "id": "i"}"#;
const PICKLE: &str = "application/x-python-serialize";

#[test]
fn another_content_type_is_refused_in_kombus_words() {
    let why = |accepted: &[&str], content_type: &str| {
        let refused = typed(accepted, TASK, content_type, b"").unwrap_err();
        assert_eq!(refused.reason, Reason::ContentDisallowed);
        refused.message
    };
    assert_eq!(
        why(&["json"], "application/x-yaml"),
        "Refusing to deserialize untrusted content of type yaml (application/x-yaml): send the task as JSON, by \
         `task_serializer = \"json\"` in the client's configuration or `serializer=\"json\"` in the call; or let the \
         pool accept `yaml`"
    );
    assert!(why(&["json"], PICKLE).ends_with(
        "in the call; a pickle runs code when it is read, so that only a Serve handler may take it, whose pool accepts \
         `pickle`"
    ));
    assert_eq!(
        why(&["yaml"], "application/json"),
        "Refusing to deserialize untrusted content of type json (application/json): send the task by a serializer that \
         this pool accepts; or let the pool accept `json`"
    );
    assert!(why(&["json"], "text/plain").contains("content of type text/plain: send the task as JSON"));
}

#[test]
fn plain_text_is_trusted_and_no_task() {
    for content_type in ["application/data", "application/text", ""] {
        let refused = typed(&["json"], TASK, content_type, b"[[], {}, {}]").unwrap_err();
        assert_eq!(refused.reason, Reason::InvalidTask);
        assert!(refused.message.starts_with("the body is plain text"), "{}", refused.message);
        let refused = typed(&["json"], "{}", content_type, b"{\"task\": \"t\"}").unwrap_err();
        assert_eq!(refused.reason, Reason::NotATask);
    }
}

#[test]
fn an_accepted_form_is_read_as_its_content_type_says_and_not_as_it_looks() {
    let all = ["json", "yaml", "msgpack"];
    let yaml = typed(&all, TASK, "application/x-yaml", b"- [1]\n- {a: yes}\n- {}\n").unwrap();
    assert_eq!(yaml.arguments(), br#"[[1], {"a": true}]"#);
    let msgpack = typed(&all, TASK, "application/x-msgpack", b"\x93\x91\x01\x81\xa1a\xc3\x80").unwrap();
    assert_eq!(msgpack.arguments(), yaml.arguments());
    for lying in [&b"\x93\x91\x01\x80\x80"[..], b"\x80\x04N."] {
        for content_type in ["application/json", "application/x-yaml"] {
            assert_eq!(typed(&all, TASK, content_type, lying).unwrap_err().reason, Reason::Undecodable);
        }
    }
    let refused = typed(&all, TASK, "application/x-msgpack", b"[[], {}, {}]").unwrap_err();
    assert_eq!(
        refused.message,
        "the body cannot be read as msgpack, as its content type says: byte 1: more than one value"
    );
    let refused = typed(&all, TASK, "application/x-yaml", b"").unwrap_err();
    assert_eq!((refused.reason, &*refused.message), (Reason::InvalidTask, body::NOT_A_TRIPLE));
}

#[test]
fn a_pickle_passes_untouched_to_whom_accepts_it() {
    let pickle = b"\x80\x04]}N\x87.";
    let headers = r#"{"task": "t", "id": "i", "retries": 2, "eta": "2031-02-03T04:05:06"}"#;
    let message = typed(&["pickle"], headers, PICKLE, pickle).unwrap();
    assert_eq!(message.pickled().unwrap(), &pickle[..]);
    assert_eq!((message.args(), message.kwargs(), message.has_follow_ups()), ("[]", "{}", false));
    assert_eq!((message.retries, message.eta), (2, Some("2031-02-03T04:05:06Z".parse().unwrap())));
    let refused = typed(&["pickle"], "{}", PICKLE, pickle).unwrap_err();
    assert_eq!(refused.reason, Reason::InvalidTask);
    assert!(refused.message.contains("protocol 2"));
    assert_eq!(read(TASK, BODY).unwrap().pickled(), None);
}

#[test]
fn compression_is_undone_by_any_of_kombus_names() {
    let read = |compression: &str, body: Vec<u8>| {
        let headers = format!(r#"{{"task": "t", "id": "i", "compression": {compression}}}"#);
        let mut envelope = envelope(&headers, "");
        envelope.body = body.into();
        Message::read(&envelope)
    };
    let zlib = |text: &[u8]| miniz_oxide::deflate::compress_to_vec_zlib(text, 1);
    for name in ["\"application/x-gzip\"", "\"gzip\"", "\"zlib\""] {
        assert_eq!(read(name, zlib(BODY.as_bytes())).unwrap().args(), r#"[1, "é"]"#);
    }
    assert_eq!(read("null", BODY.into()).unwrap().args(), r#"[1, "é"]"#);
    let refused = read("\"zlib\"", BODY.into()).unwrap_err();
    assert_eq!(refused.message, "the body is not the zlib stream that its `compression` says");
    for name in ["\"snappy\"", "5"] {
        assert_eq!(read(name, BODY.into()).unwrap_err().reason, Reason::UnsupportedCompression);
    }
    assert_eq!(
        read("\"snappy\"", BODY.into()).unwrap_err().message,
        "the body is compressed by \"snappy\", which is not supported: send the task with `compression=\"gzip\"`, \
         \"bzip2\", \"lzma\", \"zstd\" or \"brotli\", or without"
    );
}
