//! Our reading and writing against what real Celery releases read and wrote: `tests/golden`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use petiole_protocol::envelope::Envelope;
use petiole_protocol::json::{self, Object, quote};
use petiole_protocol::keys::{self, BrokerKeys, PRIORITY_STEPS, ResultKeys, priority_step};
use petiole_protocol::message::{Accept, FollowUps, Message, Reason, Refused};
use petiole_protocol::record::{Document, Exception, Extended};
use petiole_protocol::redis::{mark_redelivered, with_header};
use petiole_protocol::serial;
use petiole_protocol::signed::{Certificates, Digest};
use petiole_protocol::time;

/// A line of a file of captures.
struct Capture {
    release: String,
    case: String,
    line: Object,
}

impl Capture {
    /// The captures of one kind, which every release has.
    fn all(kind: &str) -> Vec<Self> {
        let captures = Self::some(kind);
        let releases: BTreeSet<_> = captures.iter().map(|capture| &*capture.release).collect();
        assert!(releases.len() >= 6, "captures of kind {kind}: {releases:?}");
        captures
    }

    /// The captures of one kind, of the releases that have any.
    fn some(kind: &str) -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        let mut captures = Vec::new();
        for file in files {
            let release = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let lines = fs::read_to_string(&file).unwrap();
            let lines: Vec<_> = lines.lines().map(|line| Object::read(line.as_bytes()).unwrap()).collect();
            captures.extend(lines.into_iter().filter(|line| line.get("kind") == Some(&quote(kind))).map(
                |line| Self {
                    release: release.clone(),
                    case: json::string(line.get("case").unwrap()).unwrap().into_owned(),
                    line,
                },
            ));
        }
        captures
    }

    fn name(&self) -> String {
        format!("{}, {}", self.release, self.case)
    }

    fn raw(&self, member: &str) -> &str {
        self.line.get(member).unwrap_or_else(|| panic!("{} has no {member}", self.name()))
    }

    fn text(&self, member: &str) -> String {
        json::string(self.raw(member)).unwrap().into_owned()
    }

    fn object(&self, member: &str) -> Object {
        Object::read(self.raw(member).as_bytes()).unwrap()
    }

    fn is_signed(&self) -> bool {
        self.case.starts_with("signed")
    }

    /// What accepts nothing but what the signer of this capture has signed.
    fn signatures(&self) -> Accept {
        Accept::of(["auth"], Some(&self.certificates())).unwrap()
    }

    /// The certificate of the signer of this capture.
    fn certificates(&self) -> Arc<Certificates> {
        let by = if self.case.starts_with("signed by") { &*self.case } else { "signed" };
        let all = Self::some("certificate");
        let found = all.iter().find(|capture| capture.release == self.release && capture.case == by).unwrap();
        let mut certificates = Certificates::new(Digest::named(&found.text("digest")).unwrap());
        certificates.add_pem(found.text("pem").as_bytes()).unwrap();
        Arc::new(certificates)
    }

    fn envelope(&self) -> Envelope {
        Envelope::from_redis(self.raw("envelope").as_bytes()).unwrap()
    }
}

/// What is neither null nor 0 nor empty, by name: the form in which the captures hold what Celery read.
fn said<'a>(members: impl IntoIterator<Item = (&'a str, Option<String>)>) -> BTreeMap<String, String> {
    let some = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    some.filter(|(_, value)| !matches!(&**value, "null" | "0" | "\"\"" | "[]" | "{}")).collect()
}

/// A time at which the certificates of the captures are valid.
fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

/// The form in which the captures hold what Celery read.
fn of_celery(wanted: &Object) -> BTreeMap<String, String> {
    said(wanted.members().iter().map(|(name, value)| (&**name, Some((*value).to_owned()))))
}

fn what_we_read(accept: &Accept, envelope: &Envelope) -> BTreeMap<String, String> {
    let message = match accept.read(envelope, now()) {
        Ok(message) => message,
        Err(Refused { reason, id, task, .. }) => {
            let error = Some(quote(reason.as_str()));
            return said([
                ("error", error),
                ("id", id.as_deref().map(quote)),
                ("task", task.as_deref().map(quote)),
            ]);
        }
    };
    let text = |text: &Option<String>| text.as_deref().map(quote);
    let instant = |instant: Option<Timestamp>| instant.map(|instant| quote(&time::print(instant)));
    let FollowUps { callbacks, errbacks, chain, chord } = message.follow_ups();
    let info = &envelope.properties.delivery_info;
    let arguments = String::from_utf8(message.arguments()).unwrap();
    assert_eq!(arguments, format!("[{}, {}]", message.args(), message.kwargs()));
    said([
        ("id", Some(quote(&message.id))),
        ("task", Some(quote(&message.task))),
        ("shadow", text(&message.shadow)),
        ("root_id", text(&message.root_id)),
        ("parent_id", text(&message.parent_id)),
        ("group", text(&message.group)),
        ("group_index", message.group_index.map(|index| index.to_string())),
        ("origin", text(&message.origin)),
        ("ignore_result", message.ignore_result.map(|ignored| ignored.to_string())),
        ("retries", Some(message.retries.to_string())),
        ("stamped_headers", message.stamped_headers.clone()),
        ("stamps", Some(message.stamps.as_str().to_owned())),
        ("eta", instant(message.eta)),
        ("expires", instant(message.expires)),
        ("hard", message.limits.hard.map(|seconds| seconds.to_string())),
        ("soft", message.limits.soft.map(|seconds| seconds.to_string())),
        ("reply_to", text(&message.reply_to)),
        ("priority", message.priority.map(|priority| priority.to_string())),
        ("exchange", text(&info.exchange)),
        ("routing_key", text(&info.routing_key)),
        ("args", Some(message.args().to_owned())),
        ("kwargs", Some(message.kwargs().to_owned())),
        ("callbacks", callbacks.map(str::to_owned)),
        ("errbacks", errbacks.map(str::to_owned)),
        ("chain", chain.map(str::to_owned)),
        ("chord", chord.map(str::to_owned)),
    ])
}

#[test]
fn every_message_is_read_as_celery_reads_it() {
    for capture in Capture::all("message") {
        let accept = if capture.is_signed() { capture.signatures() } else { Accept::default() };
        let read = what_we_read(&accept, &capture.envelope());
        assert_eq!(read, of_celery(&capture.object("want")), "{}", capture.name());
    }
}

#[test]
fn what_is_not_accepted_by_default_is_read_as_celery_reads_it_where_it_is() {
    let accept = Accept::of(["json", "yaml", "msgpack"], None).unwrap();
    let mut seen = BTreeSet::new();
    for capture in Capture::all("message") {
        let Some(accepted) = capture.line.get("accepted") else { continue };
        let envelope = capture.envelope();
        if capture.case.contains("pickle") {
            continue;
        }
        let wanted = of_celery(&Object::read(accepted.as_bytes()).unwrap());
        assert_eq!(what_we_read(&accept, &envelope), wanted, "{}", capture.name());
        seen.insert(envelope.content_type.unwrap());
    }
    let forms = ["application/x-msgpack", "application/x-yaml"].map(str::to_owned);
    assert_eq!(seen, BTreeSet::from(forms));
}

#[test]
fn of_a_pickle_the_headers_are_read_as_celery_reads_them() {
    let accept = Accept::of(["pickle"], None).unwrap();
    for capture in Capture::all("message").iter().filter(|capture| capture.case.contains("pickle")) {
        let envelope = capture.envelope();
        if capture.case.starts_with("protocol 1") {
            assert_eq!(accept.read(&envelope, now()).unwrap_err().reason, Reason::InvalidTask);
            continue;
        }
        let mut wanted = of_celery(&capture.object("accepted"));
        wanted.retain(|name, _| !["args", "kwargs", "callbacks", "errbacks"].contains(&&**name));
        assert_eq!(what_we_read(&accept, &envelope), wanted, "{}", capture.name());
        let message = accept.read(&envelope, now()).unwrap();
        let pickle = message.pickled().unwrap();
        assert!(pickle.starts_with(b"\x80\x04") && pickle.ends_with(b"."), "{}", capture.name());
    }
}

#[test]
fn every_form_of_a_message_has_the_arguments_of_the_plain_one() {
    let accept = Accept::of(["json", "yaml", "msgpack"], None).unwrap();
    let captures = Capture::all("message");
    let forms = |case: &str| {
        let same = [
            "serializer yaml",
            "serializer msgpack",
            "protocol 1",
            "protocol 1 in yaml",
            "protocol 1 in msgpack",
        ];
        same.contains(&case)
            || case == "protocol 1, compressed"
            || case == "signed"
            || case == "signed, protocol 1"
    };
    let mut count = 0;
    for capture in captures.iter().filter(|capture| forms(&capture.case)) {
        let accept = if capture.is_signed() { &capture.signatures() } else { &accept };
        let message = accept.read(&capture.envelope(), now()).unwrap();
        assert_eq!(message.arguments(), b"[[1, 2], {}]", "{}", capture.name());
        count += 1;
    }
    assert!(count >= 6 * 4, "{count}");
}

#[test]
fn a_signature_counts_where_its_certificate_does() {
    for capture in Capture::all("message").iter().filter(|capture| capture.is_signed()) {
        let mut envelope = capture.envelope();
        let accept = capture.signatures();
        let why = |accept: &Accept, envelope: &Envelope, now: &str| {
            let refused = accept.read(envelope, now.parse().unwrap()).unwrap_err();
            assert_eq!(refused.reason, Reason::Untrusted, "{}: {}", capture.name(), refused.message);
            refused.message
        };
        let (valid, early, late) = ("2030-01-01T00:00:00Z", "2019-12-31T23:59:59Z", "2120-01-01T00:00:00Z");
        assert!(why(&Accept::default(), &envelope, valid).contains("no certificates to verify it by"));
        for time in [early, late] {
            let dates = "is valid from 2020-01-01T00:00:00Z to 2120-01-01T00:00:00Z";
            assert!(why(&accept, &envelope, time).contains(dates), "{}", capture.name());
        }
        if envelope.headers.get("compression").is_none() {
            // The last letters are those of the signed body.
            let mut changed = envelope.body.to_vec();
            let last = changed.len() - 8;
            changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
            envelope.body = changed.into();
            assert!(why(&accept, &envelope, valid).contains("the signature is not one of the body"));
        }
        envelope.headers.set("compression", b"null").unwrap();
        envelope.body = "[[], {}, {}]".into();
        assert!(why(&accept, &envelope, valid).starts_with("the body is not signed"));
        envelope.content_type = Some("application/json".to_owned());
        assert!(why(&accept, &envelope, valid).contains("this pool takes only signed tasks"));
    }
}

#[test]
fn a_pool_that_demands_signatures_may_list_other_forms() {
    let captures = Capture::some("message");
    let signed = captures.iter().find(|capture| capture.case == "signed").unwrap();
    let plain = captures.iter().find(|capture| capture.case == "plain").unwrap();
    let both = Accept::of(["json", "auth"], Some(&signed.certificates())).unwrap();
    for capture in [signed, plain] {
        assert_eq!(both.read(&capture.envelope(), now()).unwrap().arguments(), b"[[1, 2], {}]");
    }
    let demands = both.only_signed().unwrap();
    assert!(demands.read(&signed.envelope(), now()).is_ok());
    assert_eq!(demands.read(&plain.envelope(), now()).unwrap_err().reason, Reason::Untrusted);
}

#[test]
fn another_signer_is_not_trusted() {
    let captures = Capture::some("message");
    let signed: Vec<_> = captures.iter().filter(|capture| capture.case == "signed").collect();
    for capture in &signed {
        let others = signed.iter().filter(|other| other.release != capture.release);
        let accepts: Vec<_> = others.map(|other| other.signatures()).collect();
        assert!(accepts.len() >= 4, "all releases but 5.4 can sign");
        for accept in accepts {
            let message = accept.read(&capture.envelope(), now()).unwrap_err().message;
            assert!(message.contains("whose certificate this pool does not have"), "{message}");
        }
    }
}

#[test]
fn a_plain_scalar_of_yaml_is_what_pyyaml_takes_it_for() {
    let captures = Capture::some("yaml");
    assert!(captures.len() > 100);
    for capture in captures {
        let read = serial::yaml_to_json(capture.case.as_bytes(), 1000);
        match capture.raw("want") {
            "\"error\"" => assert!(read.is_err(), "{}: {read:?}", capture.name()),
            want => assert_eq!(read.as_deref(), Ok(want), "{}", capture.name()),
        }
    }
}

#[test]
fn every_envelope_is_written_as_it_was_read() {
    for capture in Capture::all("message") {
        let written = String::from_utf8(capture.envelope().to_redis()).unwrap();
        assert_eq!(written, capture.raw("envelope"), "{}", capture.name());
    }
}

#[test]
fn every_message_stood_in_the_list_of_its_priority() {
    for capture in Capture::all("message") {
        let properties = capture.envelope().properties;
        let queue = match &*properties.delivery_info.exchange.unwrap() {
            "" => properties.delivery_info.routing_key.unwrap(),
            _ => "bound".to_owned(),
        };
        let step = priority_step(properties.priority.unwrap(), &PRIORITY_STEPS);
        assert_eq!(BrokerKeys::default().list(&queue, step), capture.text("list"), "{}", capture.name());
    }
}

#[test]
fn what_we_do_not_know_is_kept() {
    let captures = Capture::all("message");
    let of =
        |case: &str| captures.iter().filter(|capture| capture.case == case).map(Capture::envelope).collect();
    let with_headers: Vec<Envelope> = of("headers of a user");
    assert_eq!(with_headers.len(), 6);
    for envelope in with_headers {
        let header = |name| envelope.headers.get(name);
        let found = [header("x-a"), header("tenant"), header("none"), header("lang")];
        assert_eq!(found, [Some("\"b\""), Some("{\"id\": 5}"), Some("null"), Some("\"py\"")]);
    }
    let retries: Vec<Envelope> = of("retry");
    assert_eq!(retries.len(), 6);
    for envelope in retries {
        assert!(
            envelope.properties.other.get("origin").is_some(),
            "an option that leaked into the properties"
        );
    }
}

#[test]
fn a_restored_message_is_marked_as_kombu_marks_it() {
    for capture in Capture::all("restored") {
        let (before, after) = (capture.raw("before").as_bytes(), capture.raw("after"));
        let again = capture.case.ends_with(", again");
        assert_eq!(Envelope::from_redis(before).unwrap().redelivered(), again, "{}", capture.name());
        assert_eq!(
            String::from_utf8(mark_redelivered(before).unwrap()).unwrap(),
            after,
            "{}",
            capture.name()
        );
        assert!(Envelope::from_redis(after.as_bytes()).unwrap().redelivered(), "{}", capture.name());
    }
}

#[test]
fn a_header_is_added_without_touching_the_rest() {
    for capture in Capture::all("message") {
        let raw = capture.raw("envelope");
        let with = with_header(raw.as_bytes(), "x-added", "{\"a\": 1}").unwrap();
        let mut envelope = Envelope::from_redis(&with).unwrap();
        assert_eq!(envelope.headers.get("x-added"), Some("{\"a\": 1}"), "{}", capture.name());
        envelope.headers = capture.envelope().headers;
        assert_eq!(String::from_utf8(envelope.to_redis()).unwrap(), raw, "{}", capture.name());
    }
}

#[test]
fn keys_have_the_names_that_celery_gives_them() {
    for capture in Capture::all("keys") {
        let (prefix, queue) = (capture.text("prefix"), capture.text("queue"));
        let texts = |member| {
            let elements = json::elements(capture.raw(member).as_bytes()).unwrap();
            elements.into_iter().map(|text| json::string(text).unwrap().into_owned()).collect::<Vec<_>>()
        };
        let broker = BrokerKeys::new(&*prefix);
        let mut ours = vec![
            broker.list(&queue, priority_step(4, &PRIORITY_STEPS)),
            broker.unacked(),
            broker.unacked_index(),
            broker.bindings(&queue),
        ];
        if capture.release == "celery-5.7.0" {
            ours.push(broker.permanent_bindings(&queue));
        }
        // Celery 5.2 has no prefix for results; 5.3 and 5.4 add `_` to every one.
        let old =
            ["celery-5.2", "celery-5.3", "celery-5.4"].iter().any(|old| capture.release.starts_with(old));
        let results = match (old, &*prefix) {
            (true, "app" | "{app}:") if capture.release.starts_with("celery-5.2") => ResultKeys::new(""),
            (true, "{app}:") => ResultKeys::new("{app}:_"),
            _ => ResultKeys::new(&*prefix),
        };
        ours.push(results.task("some-id"));
        ours.sort();
        assert_eq!(ours, texts("keys"), "{}", capture.name());
        assert_eq!(texts("bindings"), [keys::binding(&queue, "", &queue)], "{}", capture.name());
    }
}

#[test]
fn documents_are_written_byte_for_byte_as_celery_writes_them() {
    for capture in Capture::all("documents") {
        let envelope = capture.envelope();
        let message = Message::read(&envelope).unwrap();
        for theirs in json::elements(capture.raw("documents").as_bytes()).unwrap() {
            let ours = our_document(&capture, &envelope, &message, theirs);
            assert_eq!(ours, theirs, "{}", capture.name());
        }
    }
}

/// The document that we write for the same outcome at the same time.
fn our_document(capture: &Capture, envelope: &Envelope, message: &Message, theirs: &str) -> String {
    let theirs = Object::read(theirs.as_bytes()).unwrap();
    let text = |member| theirs.get(member).and_then(json::string);
    let done = text("date_done");
    let now = done.as_deref().map(|done| time::parse(done).unwrap()).unwrap_or_default();
    let result = theirs.get("result").unwrap().as_bytes();
    let id = &message.id;
    let itself = [format!("[[{}, null], null]", quote(id))];
    let exception;
    let document = match &*text("status").unwrap() {
        "STARTED" => {
            let process = Object::read(result).unwrap();
            let hostname = json::string(process.get("hostname").unwrap()).unwrap();
            Document::started(id, process.get("pid").unwrap().parse().unwrap(), &hostname)
        }
        "SUCCESS" => Document::success(id, result, now).unwrap(),
        ended => {
            let raised = our_exception(&capture.case, message, &Object::read(result).unwrap());
            exception = raised.with_traceback(text("traceback").map(Into::into));
            match ended {
                "REVOKED" => Document::revoked(id, &exception, now),
                // Celery counts the message that it sends to itself among the task's children.
                "RETRY" => Document::retry(id, Some(&exception)).children(Some(&itself)),
                _ => Document::failure(id, &exception, now),
            }
        }
    };
    let document = if capture.case == "unknown task" { document } else { document.of(message) };
    let document = if capture.case.starts_with("extended") {
        let queue = envelope.properties.delivery_info.routing_key.as_deref().unwrap();
        document.extended(Extended { message, worker: "worker@host", queue })
    } else {
        document
    };
    let ours = document.to_json();
    match done {
        // Celery 5.2 and 5.3 leave the offset out.
        Some(done) if !done.ends_with("+00:00") => ours.replace(&format!("{done}+00:00"), &done),
        _ => ours,
    }
}

/// The exception that we report where the worker finds out what happened; one of a task's own is rebuilt.
fn our_exception(case: &str, message: &Message, theirs: &Object) -> Exception {
    let text = |member| json::string(theirs.get(member).unwrap()).unwrap();
    let args = json::elements(theirs.get("exc_message").unwrap().as_bytes()).unwrap();
    let first = args.first().and_then(|arg| json::string(arg)).unwrap_or_default();
    match case {
        "unknown task" => Exception::not_registered(&message.task),
        "expired" | "expired in a group" | "extended, expired" => Exception::expired(),
        "hard time limit" | "hard time limit in fractions" => {
            Exception::time_limit_exceeded(message.limits.hard.unwrap())
        }
        "soft time limit exceeded" => Exception::soft_time_limit_exceeded(),
        "worker lost" => Exception::worker_lost(&first),
        "unserializable" => Exception::encode_error(&first),
        _ => {
            let args: Vec<_> = args.iter().map(|arg| arg.as_bytes()).collect();
            Exception::with_args(text("exc_module"), text("exc_type"), &args).unwrap()
        }
    }
}
