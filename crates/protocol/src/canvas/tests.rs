//! What the captures of real workers do not hold: ids, limits, hostile canvases, and where we do more than Celery.

use super::builtin::{Builtin, Decision, Mapping, Unlock, accumulate, expand};
use super::*;
use crate::json::{self, Object};
use crate::message::Message;
use crate::record::State;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A message with the id `id`, with these headers beside it and this body.
fn message(headers: &str, args: &str, kwargs: &str, embed: &str) -> Message {
    let headers = format!(r#"{{"task": "celery.map", "id": "id"{headers}}}"#);
    let envelope = Envelope {
        headers: Object::read(headers.as_bytes()).unwrap(),
        content_type: Some("application/json".to_owned()),
        body: format!("[{args}, {kwargs}, {embed}]").into(),
        ..Envelope::default()
    };
    Message::read(&envelope).unwrap()
}

fn following(embed: &str) -> Message {
    message("", "[]", "{}", embed)
}

fn route(task: &str) -> Target {
    Target::Queue(format!("queue of {task}"))
}

fn sender(delivery: &'static str) -> Sender<'static> {
    Sender { origin: "w@h", delivery, route: &route, inherit_priority: false, extended: false, now: NOW }
}

fn success(embed: &str) -> Result<FollowUps, CanvasError> {
    after_success(&following(embed), "[1.0]", &sender("tag"))
}

fn failure(embed: &str) -> FollowUps {
    after_failure(&following(embed), &Exception::new("m", "K", "bad"), &sender("tag"))
}

fn task(name: &str, options: &str) -> String {
    format!(
        r#"{{"task": "{name}", "args": [], "kwargs": {{}}, "options": {{{options}}}, "subtask_type": null}}"#
    )
}

fn several(kind: &str, options: &str, tasks: &[String]) -> String {
    format!(
        r#"{{"task": "celery.{kind}", "args": [], "kwargs": {{"tasks": [{}]}}, "options": {{{options}}}, "subtask_type": "{kind}"}}"#,
        tasks.join(", ")
    )
}

fn chord(options: &str, header: &[String], body: &str) -> String {
    format!(
        r#"{{"task": "celery.chord", "args": [], "kwargs": {{"kwargs": {{}}, "header": [{}], "body": {body}}}, "options": {{{options}}}, "subtask_type": "chord"}}"#,
        header.join(", ")
    )
}

fn link(signature: &str) -> String {
    format!(r#"{{"callbacks": [{signature}]}}"#)
}

fn ids(sends: &[Outgoing]) -> Vec<&str> {
    sends.iter().map(|sent| &*sent.id).collect()
}

fn record_ids(follow_ups: &FollowUps) -> Vec<&str> {
    follow_ups.records.iter().map(|record| &*record.id).collect()
}

#[test]
fn a_task_is_not_replaced_by_nothing_or_by_a_part_of_a_chord() {
    let why = |signature: &str| replaced(&following("{}"), signature, &sender("tag")).unwrap_err();
    assert_eq!(why(&several("chain", "", &[])), CanvasError::ReplacedByNothing);
    let part = why(&task("a", &format!(r#""chord": {}"#, task("b", ""))));
    assert_eq!(part, CanvasError::ReplacedByPart);
    assert!(part.exception().to_json().contains("ImproperlyConfigured"));
}

fn in_chord(signatures: &[String]) -> Result<FollowUps, CanvasError> {
    let headers = r#", "group": "g", "group_index": 3, "root_id": "r""#;
    let message = message(headers, "[]", "{}", &format!(r#"{{"chord": {}}}"#, task("body", "")));
    added_to_chord(&message, signatures.iter().map(String::as_str), &sender("tag"))
}

#[test]
fn what_is_added_to_a_chord_is_a_part_of_it() {
    let chain = several("chain", "", &[task("b", ""), task("c", r#""task_id": "last""#)]);
    let added = in_chord(&[task("a", r#""task_id": "one""#), chain]).unwrap();
    assert_eq!(added.adds, ["one", "last"]);
    let one = Message::read(&added.sends[0].envelope).unwrap();
    assert_eq!(
        (one.group.as_deref(), one.group_index, one.root_id.as_deref()),
        (Some("g"), Some(3), Some("r"))
    );
    assert!(one.follow_ups().chord.is_some());
    let first = Message::read(&added.sends[1].envelope).unwrap();
    assert!(first.follow_ups().chord.is_none());
    let rest = first.follow_ups().chain.unwrap();
    assert!(rest.contains(r#""chord": {"task": "body""#) && rest.contains(r#""group_id": "g""#), "{rest}");
    assert!(added.starts.is_empty());
}

#[test]
fn nothing_is_added_to_no_chord_and_no_group_to_one() {
    let none = added_to_chord(&following("{}"), ["{}"], &sender("tag")).unwrap_err();
    assert_eq!(none, CanvasError::NotInChord);
    assert_eq!(in_chord(&[several("group", "", &[])]).unwrap_err(), CanvasError::AddsGroup);
}

#[test]
fn errbacks_of_a_task_are_not_copied_without_end() {
    let errback = task(&"e".repeat(1 << 20), "");
    let message = following(&format!(r#"{{"errbacks": [{errback}]}}"#));
    let steps = several("chain", "", &vec![task("a", ""); 300]);
    assert_eq!(replaced(&message, &steps, &sender("tag")).unwrap_err(), CanvasError::TooLarge);
}

#[test]
fn a_delivery_that_comes_again_replaces_its_task_by_the_same_tasks() {
    let group = several("group", "", &[task("a", ""), task("b", "")]);
    let made = |delivery| replaced(&following("{}"), &group, &sender(delivery)).unwrap();
    assert_eq!(made("tag"), made("tag"));
    assert_ne!(ids(&made("tag").sends), ids(&made("other").sends));
}

#[test]
fn the_same_delivery_makes_the_same_ids_and_another_makes_others() {
    let embed = link(&several("group", "", &[task("a", ""), chord("", &[task("b", "")], &task("c", ""))]));
    let message = following(&embed);
    let follow_ups = |delivery| after_success(&message, "1", &sender(delivery)).unwrap();
    assert_eq!(follow_ups("tag"), follow_ups("tag"));
    let (one, other) = (follow_ups("tag"), follow_ups("other"));
    assert!(ids(&one.sends).iter().all(|id| !ids(&other.sends).contains(id)));
    let failed = after_failure(
        &following(&embed.replace("callbacks", "errbacks")),
        &Exception::revoked(),
        &sender("tag"),
    );
    assert!(
        ids(&one.sends).iter().all(|id| !ids(&failed.sends).contains(id)),
        "each purpose has its own ids"
    );
}

#[test]
fn a_value_and_options_that_nobody_knows_go_along_as_they_came() {
    let options = r#""x": [1e5,NaN], "headers": {"x-a": {"b":1}, "lang": "rs"}, "origin": "o""#;
    let sent = success(&link(&task("a", options))).unwrap().sends.remove(0);
    let envelope = sent.envelope;
    assert_eq!(envelope.properties.other.as_str(), r#"{"x": [1e5,NaN], "origin": "o"}"#);
    assert_eq!(envelope.headers.get("x-a"), Some(r#"{"b":1}"#));
    assert_eq!(
        [envelope.headers.get("lang"), envelope.headers.get("origin")],
        [Some("\"rs\""), Some("\"o\"")]
    );
    let expected = r#"[[[1.0]], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]"#;
    assert_eq!(envelope.body, expected);
    let step = task("b", r#""y": {"z":NaN}"#);
    let embed = format!(r#"{{"chain": [{step}, {}]}}"#, task("a", ""));
    let sent = success(&embed).unwrap().sends.remove(0);
    assert!(String::from_utf8_lossy(&sent.envelope.body).contains(&step));
}

#[test]
fn a_message_goes_where_its_signature_says_and_else_where_the_worker_does() {
    let to = |options: &str| success(&link(&task("a", options))).unwrap().sends.remove(0).to;
    let queue = |queue: &str| Target::Queue(queue.to_owned());
    assert_eq!(to(""), queue("queue of a"));
    assert_eq!(to(r#""route_name": "b""#), queue("queue of b"));
    assert_eq!(to(r#""queue": "q""#), queue("q"));
    assert_eq!(to(r#""queue": "q", "exchange": "e""#), queue("q"));
    assert_eq!(to(r#""routing_key": "r""#), queue("queue of a"));
    let exchange = Target::Exchange { exchange: "e".to_owned(), routing_key: "r".to_owned() };
    assert_eq!(to(r#""exchange": "e", "routing_key": "r""#), exchange);
}

#[test]
fn a_priority_is_inherited_only_where_that_is_set() {
    let mut parent = following(&link(&task("a", "")));
    parent.priority = Some(7);
    let priority = |inherit_priority| {
        let sender = Sender { inherit_priority, ..sender("tag") };
        after_success(&parent, "1", &sender).unwrap().sends.remove(0).envelope.properties.priority
    };
    assert_eq!((priority(false), priority(true)), (Some(0), Some(7)));
}

#[test]
fn a_time_that_is_none_is_refused() {
    for options in
        [r#""countdown": "soon""#, r#""countdown": 1e300"#, r#""expires": "soon""#, r#""expires": []"#]
    {
        let refused = success(&link(&task("a", options)));
        assert!(matches!(refused, Err(CanvasError::Shape { .. })), "{options}: {refused:?}");
    }
    let sent =
        success(&link(&task("a", r#""countdown": 0, "eta": null, "expires": -5"#))).unwrap().sends.remove(0);
    let headers = sent.envelope.headers;
    assert_eq!(headers.get("eta"), Some("null"));
    assert_eq!(headers.get("expires"), Some("\"1969-12-31T23:59:55.000000+00:00\""));
}

#[test]
fn what_would_be_too_much_is_refused() {
    let tasks = |number: usize| vec![task("a", ""); number];
    let refused = |signature: &str| success(&link(signature)).unwrap_err();
    assert_eq!(refused(&several("group", "", &tasks(MAX_MESSAGES + 1))), CanvasError::TooManyMessages);

    let large = task("b", &format!(r#""x": "{}""#, "x".repeat(1 << 20)));
    assert_eq!(refused(&chord("", &tasks(1000), &large)), CanvasError::TooLarge);
    // Each step of the inner group would have a copy of the body, in one message.
    let inner = several("chain", "", &[task("a", ""), several("group", "", &tasks(1000))]);
    assert_eq!(refused(&chord("", &[inner], &large)), CanvasError::TooLarge);

    let errback = format!(r#""link_error": [{large}]"#);
    assert_eq!(refused(&several("chain", &errback, &tasks(1000))), CanvasError::TooLarge);
    let errbacks = format!(r#""link_error": [{}]"#, tasks(129).join(", "));
    assert_eq!(refused(&task("a", &errbacks)), CanvasError::TooManyOptions);
    let headers = (0..129).map(|n| format!("\"h{n}\": 1")).collect::<Vec<_>>().join(", ");
    assert_eq!(refused(&task("a", &format!(r#""headers": {{{headers}}}"#))), CanvasError::TooManyOptions);

    let nested = (0..MAX_DEPTH).fold(task("a", ""), |inner, _| several("chain", "", &[inner]));
    assert_eq!(refused(&nested), CanvasError::TooDeep);
}

#[test]
fn a_canvas_as_deep_and_as_long_as_it_may_be_needs_little_stack() {
    let deep = |levels| {
        (0..levels).fold(task("a", ""), |inner, _| chord("", &[task("b", ""), inner.clone()], &task("c", "")))
    };
    let long: Vec<_> = (0..20_000).map(|_| task("a", "")).collect();
    let work = move || {
        let follow_ups = success(&link(&deep(MAX_DEPTH - 1))).unwrap();
        assert_eq!((follow_ups.sends.len(), follow_ups.starts.len()), (MAX_DEPTH, MAX_DEPTH - 1));
        json::check(follow_ups.children[0].as_bytes()).unwrap();
        let group = several("group", "", &[several("chain", "", &long)]);
        let follow_ups = success(&link(&group)).unwrap();
        assert_eq!(follow_ups.sends.len(), 1);
        json::check(follow_ups.children[0].as_bytes()).unwrap();
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn nothing_follows_a_chain_or_a_group_of_nothing() {
    for kind in ["chain", "group"] {
        assert_eq!(success(&link(&several(kind, "", &[]))).unwrap(), FollowUps::default());
    }
    let follow_ups =
        success(&link(&several("chain", "", &[several("group", "", &[]), task("a", "")]))).unwrap();
    assert_eq!(follow_ups.sends.len(), 1);
    assert_eq!(success(&link(&chord("", &[task("a", "")], "null"))), Err(CanvasError::NoBody));
}

#[test]
fn a_part_counts_in_every_ready_state_and_only_in_a_chord() {
    let embed = format!(r#"{{"chord": {}}}"#, task("body", ""));
    let in_group = message(r#", "group": "g", "group_index": 3"#, "[]", "{}", &embed);
    let part = |state| part(&in_group, state, "null").unwrap();
    let revoked = part(State::Revoked);
    assert_eq!((&*revoked.group, revoked.index, &*revoked.id), ("g", Some(3), "id"));
    assert_eq!(revoked.member, r#"[1, "id", "REVOKED", null]"#);
    assert_eq!(part(State::Success).body, task("body", ""));
    assert_eq!(super::part(&following(&embed), State::Success, "1"), None, "no group");
    assert_eq!(
        super::part(&message(r#", "group": "g""#, "[]", "{}", "{}"), State::Success, "1"),
        None,
        "no body"
    );
}

#[test]
fn values_stay_text_and_a_part_that_failed_is_named() {
    let one = r#"[1, "a", "SUCCESS", {"b":NaN}]"#;
    assert_eq!(values([one, r#"[1, "c", "RETRY", 1.0]"#]).unwrap(), [r#"{"b":NaN}"#, "1.0"]);
    let failed = r#"[1, "c", "FAILURE", {"exc_type": "K", "exc_message": "old", "exc_module": "m"}]"#;
    let failure = values([one, failed]).unwrap_err();
    assert_eq!(failure.exception.repr(), r#"ChordError("Dependency c raised K('old')")"#);
    assert_eq!(failure.cause, Some(Exception::new("m", "K", "old")));
    assert!(values(["[]"]).is_err() && values(["5"]).is_err() && values([r#"[1, "a", 5, 6]"#]).is_err());
}

#[test]
fn a_body_that_is_a_part_of_another_chord_fails_that_one_too() {
    let outer = task("outer", r#""task_id": "outer""#);
    let body =
        task("body", &format!(r#""task_id": "body", "group_id": "g", "group_index": 1, "chord": {outer}"#));
    let chord_error =
        ChordFailure::dependency("id", r#"{"exc_type": "K", "exc_message": [], "exc_module": "m"}"#);
    let last = following(&format!(r#"{{"chord": {body}}}"#));
    let follow_ups = chord_failed(&last, &body, &chord_error, Some(&[]), &sender("tag"));
    assert_eq!(record_ids(&follow_ups), ["body"]);
    let [part] = &follow_ups.parts[..] else { panic!("{:?}", follow_ups.parts) };
    assert_eq!((&*part.group, part.index, &*part.id, &*part.body), ("g", Some(1), "body", &*outer));
    assert!(part.member.contains("Dependency id raised K()"));
    // A body that is a chord ends with its own body.
    let body = chord(r#""task_id": "inner""#, &[task("a", r#""task_id": "a""#)], &body);
    let follow_ups = chord_failed(&last, &body, &chord_error, None, &sender("tag"));
    assert_eq!(record_ids(&follow_ups), ["inner", "body"]);
    assert_eq!(follow_ups.parts.len(), 1);
    assert!(follow_ups.records[0].document.contains("\"children\": null"));
}

#[test]
fn an_errback_is_not_called_again_for_the_chord_around_one_that_failed() {
    let errback = format!(r#""task_id": "body", "link_error": [{}]"#, task("told", ""));
    let failed = |exc_type: &str, body: &str| {
        let result =
            format!(r#"{{"exc_type": "{exc_type}", "exc_message": [], "exc_module": "celery.exceptions"}}"#);
        let failure = ChordFailure::dependency("id", &result);
        let follow_ups = chord_failed(&following("{}"), body, &failure, Some(&[]), &sender("tag"));
        (follow_ups.sends.len(), follow_ups.records.len())
    };
    let (one, group) = (task("body", &errback), several("group", "", &[task("body", &errback)]));
    assert_eq!([failed("TaskRevokedError", &one), failed("ChordError", &one)], [(1, 1), (0, 1)]);
    assert_eq!([failed("TaskRevokedError", &group), failed("ChordError", &group)], [(1, 2), (0, 2)]);
    let nested = chord(r#""task_id": "outer""#, &[], &one);
    assert_eq!(failed("TaskRevokedError", &nested), (1, 2), "a body of a body is told");
}

#[test]
fn a_group_that_will_not_run_is_all_its_parts_of_a_chord() {
    let body = task("body", "");
    let member = |id: &str, index: usize| {
        task("a", &format!(r#""task_id": "{id}", "group_id": "g", "group_index": {index}, "chord": {body}"#))
    };
    let options = format!(r#""task_id": "inner", "group_id": "g", "chord": {body}"#);
    let group = several("group", &options, &[member("a", 0), member("b", 1)]);
    let follow_ups = failure(&format!(r#"{{"chain": [{group}]}}"#));
    assert_eq!(record_ids(&follow_ups), ["inner", "a", "b"]);
    let parts: Vec<_> = follow_ups.parts.iter().map(|part| (&*part.group, part.index, &*part.id)).collect();
    assert_eq!(parts, [("g", Some(0), "a"), ("g", Some(1), "b")]);
}

#[test]
fn steps_that_will_not_run_have_the_documents_that_celery_writes() {
    let step = task("step", r#""task_id": "s", "group_id": "g", "parent_id": "p""#);
    let parent = following(&format!(r#"{{"chain": [{step}]}}"#));
    let exception = Exception::new("m", "K", "bad").with_traceback(Some("lines".to_owned()));
    let sender = Sender { extended: true, ..sender("tag") };
    let follow_ups = after_failure(&parent, &exception, &sender);
    assert_eq!(
        follow_ups.records[0].document,
        r#"{"status": "FAILURE", "result": {"exc_type": "K", "exc_message": ["bad"], "exc_module": "m"}, "traceback": "lines", "children": [], "date_done": "1970-01-01T00:00:00.000000+00:00", "group_id": "g", "parent_id": "p", "name": "step", "args": [], "kwargs": {}, "worker": null, "retries": 0, "queue": null, "task_id": "s"}"#
    );
}

#[test]
fn a_chain_can_be_an_errback() {
    let follow_ups =
        failure(&format!(r#"{{"errbacks": [{}]}}"#, several("chain", "", &[task("a", ""), task("b", "")])));
    assert_eq!(follow_ups.sends.len(), 1);
    assert!(follow_ups.sends[0].envelope.body.starts_with(br#"[["id"], {}, "#));
}

#[test]
fn an_errback_or_a_step_that_cannot_be_read_leaves_the_others() {
    let follow_ups = failure(&format!(
        r#"{{"errbacks": [5, {}], "chain": [{{}}, {}]}}"#,
        task("a", ""),
        task("b", r#""task_id": "b""#)
    ));
    assert_eq!((follow_ups.sends.len(), record_ids(&follow_ups)), (1, vec!["b"]));
    assert!(follow_ups.refused.is_some());
    let failed = chord_failed(
        &following("{}"),
        "5",
        &ChordFailure::callback(&CanvasError::NoBody),
        None,
        &sender("tag"),
    );
    assert!(failed.records.is_empty() && failed.refused.is_some());
    assert!(success(r#"{"callbacks": [5]}"#).is_err() && success(r#"{"chain": [5]}"#).is_err());
}

#[test]
fn an_argument_is_chosen_as_python_chooses_it() {
    let value = |kwargs: &str| accumulate(&message("", "[1, [NaN], 3]", kwargs, "{}")).map(str::to_owned);
    assert_eq!(value("{}").unwrap(), "[1, [NaN], 3]");
    assert_eq!(value(r#"{"index": 1}"#).unwrap(), "[NaN]");
    assert_eq!(value(r#"{"index": -3}"#).unwrap(), "1");
    for index in ["3", "-4", "-9223372036854775808"] {
        assert_eq!(value(&format!(r#"{{"index": {index}}}"#)).unwrap_err().kind(), "IndexError");
    }
    assert_eq!(value(r#"{"index": "a"}"#).unwrap_err().kind(), "TypeError");
}

#[test]
fn a_mapped_task_runs_once_for_each_item_and_their_values_are_the_value() {
    let kwargs = format!(r#"{{"task": {}, "it": [[1, 2], [NaN]]}}"#, task("add", ""));
    let message = message("", "[]", &kwargs, "{}");
    for (stars, calls) in [(false, ["[[1, 2]]", "[[NaN]]"]), (true, ["[1, 2]", "[NaN]"])] {
        let mut mapping = Mapping::read(&message, stars).unwrap();
        assert_eq!(mapping.task(), "add");
        for call in calls {
            assert_eq!(mapping.next().as_deref(), Some(call));
            mapping.push("1.0");
        }
        assert_eq!((mapping.next(), mapping.value()), (None, "[1.0, 1.0]".to_owned()));
    }
    let flat = super::tests::message("", &format!("[{}, [1]]", task("add", "")), "{}", "{}");
    assert!(Mapping::read(&flat, false).is_ok() && Mapping::read(&flat, true).is_err());
}

#[test]
fn builtins_with_arguments_that_nobody_writes_are_refused() {
    let nothing = following("{}");
    for builtin in [Builtin::Group, Builtin::Chord, Builtin::Chunks] {
        assert!(expand(builtin, &nothing, &sender("tag")).is_err(), "{builtin:?}");
    }
    assert!(Mapping::read(&nothing, false).is_err() && Unlock::read(&nothing).is_err());
    assert_eq!(Builtin::of("celery.starmap"), Some(Builtin::Starmap));
    assert_eq!((Builtin::of("starmap"), Builtin::of("celery.ping")), (None, None));
}

#[test]
fn a_chord_that_nobody_counts_ends_when_all_of_its_header_have() {
    let args = format!(r#"["g", {}]"#, task("body", ""));
    let kwargs = r#"{"interval": 1.5, "result": [[["a", null], null], [["b", null], null]]}"#;
    let unlock = Unlock::read(&message("", &args, kwargs, "{}")).unwrap();
    assert_eq!((&*unlock.group, unlock.interval, unlock.max_retries), ("g", Some(1.5), None));
    let success = r#"{"status": "SUCCESS", "result": 1.0}"#;
    let failure =
        r#"{"status": "FAILURE", "result": {"exc_type": "K", "exc_message": [], "exc_module": "m"}}"#;
    let decide =
        |a: &'static str, b: Option<&'static str>| unlock.decide(|id| if id == "a" { Some(a) } else { b });
    assert_eq!(decide(success, None), Decision::Again);
    assert_eq!(decide(failure, None), Decision::Again);
    assert_eq!(decide(success, Some(success)), Decision::Body(vec!["1.0".to_owned(), "1.0".to_owned()]));
    let Decision::Failed(failed) = decide(success, Some(failure)) else { panic!("not failed") };
    assert_eq!(failed.exception.repr(), "ChordError('Dependency b raised K()')");
}
