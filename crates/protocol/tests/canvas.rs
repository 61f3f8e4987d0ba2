//! Our continuation of canvases against what the workers of real Celery releases made of them: `tests/golden/canvas`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use petiole_protocol::canvas::builtin::{self, Builtin};
use petiole_protocol::canvas::{
    self, ChordFailure, ChordPart, FollowUps, SavedGroup, Sender, Target, Unready,
};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::json::{self, Object};
use petiole_protocol::message::Message;
use petiole_protocol::record::{Exception, State};
use petiole_protocol::time;
use serde_json::{Value, json};

/// What Celery's worker made of one task.
struct Step {
    release: String,
    case: String,
    line: Object,
}

impl Step {
    fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/canvas");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        assert!(files.len() >= 3, "captures of several releases: {files:?}");
        let mut steps = Vec::new();
        for file in files {
            let release = file.file_stem().unwrap().to_str().unwrap().to_owned();
            for line in fs::read_to_string(&file).unwrap().lines() {
                let line = Object::read(line.as_bytes()).unwrap();
                if let Some(case) = line.get("case") {
                    let case = json::string(case).unwrap().into_owned();
                    steps.push(Self { release: release.clone(), case, line });
                }
            }
        }
        steps
    }

    fn name(&self) -> String {
        let ran = self.ran();
        let (task, id) = (ran.headers.get("task").unwrap(), ran.headers.get("id").unwrap());
        format!("{}, {}: {task} {id}", self.release, self.case)
    }

    fn raw(&self, member: &str) -> &str {
        self.line.get(member).unwrap_or_else(|| panic!("{} has no {member}", self.case))
    }

    fn ran(&self) -> Envelope {
        envelope(self.raw("ran"))
    }

    fn sent(&self) -> Vec<Envelope> {
        json::elements(self.raw("sent").as_bytes()).unwrap().into_iter().map(envelope).collect()
    }

    /// The task's own document; a task that replaced itself has none.
    fn document(&self) -> Option<Object> {
        Object::read(self.raw("document").as_bytes()).ok()
    }
}

/// An envelope whose body stands in the line as it was before base64.
fn envelope(text: &str) -> Envelope {
    let whole = Object::read(text.as_bytes()).unwrap();
    let mut rest = Object::default();
    for (name, value) in whole.members().into_iter().filter(|(name, _)| name != "body") {
        rest.set(&name, value.as_bytes()).unwrap();
    }
    let mut envelope = Envelope::from_redis(rest.as_str().as_bytes()).unwrap();
    envelope.body = whole.get("body").unwrap().to_owned().into();
    envelope
}

fn value(text: &str) -> Value {
    // Strict JSON lacks NaN; no case depends on where it stands.
    serde_json::from_str(&text.replace("NaN", "\"NaN\"")).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What a case has stored so far, as the results of Celery's worker and ours would have it.
#[derive(Default)]
struct Store {
    /// How many parts complete a chord.
    sizes: BTreeMap<String, usize>,
    /// The parts of a chord, by their place.
    parts: BTreeMap<String, Vec<(u64, String)>>,
    saved: BTreeMap<String, String>,
    documents: BTreeMap<String, String>,
}

impl Store {
    /// Takes what Celery stored.
    fn absorb(&mut self, step: &Step) {
        for groups in ["published", "groups"] {
            for (key, value) in Object::read(step.raw(groups).as_bytes()).unwrap().members() {
                if let Some(group) = key.strip_suffix(".s") {
                    self.sizes.insert(group.to_owned(), value.parse().unwrap());
                } else if key.strip_suffix(".j").is_none() {
                    self.saved.insert(key.into_owned(), value.to_owned());
                }
            }
        }
    }

    fn absorb_documents(&mut self, step: &Step) {
        for (id, document) in Object::read(step.raw("documents").as_bytes()).unwrap().members() {
            self.documents.insert(id.into_owned(), document.to_owned());
        }
        let id = json::string(step.ran().headers.get("id").unwrap()).unwrap().into_owned();
        self.documents.insert(id, step.raw("document").to_owned());
    }

    /// Counts a part. Returns what the header came to, when that completed it.
    fn count(&mut self, part: &ChordPart) -> Option<Result<Vec<String>, ChordFailure>> {
        let parts = self.parts.entry(part.group.clone()).or_default();
        let counted = (part.index.unwrap_or(u64::MAX), part.member.clone());
        assert!(!parts.contains(&counted), "a part counts once: {part:?}");
        parts.push(counted);
        parts.sort();
        if self.sizes.get(&part.group) != Some(&parts.len()) {
            return None;
        }
        let Some(saved) = self.saved.get(&part.group) else {
            let values = canvas::values(parts.iter().map(|(_, member)| &**member));
            return Some(
                values
                    .map(|values| values.into_iter().map(str::to_owned).collect())
                    .map_err(|failure| *failure),
            );
        };
        let saved = SavedGroup::read(saved).unwrap();
        Some(saved.values(|id| self.documents.get(id).map(|document| &**document)).map_err(|unready| {
            match unready {
                Unready::Failed(failure) => *failure,
                Unready::Waiting(ids) => panic!("{ids:?} of {saved:?} have not ended"),
            }
        }))
    }
}

/// The worker of the captures, which sends what follows a task that it has run.
fn sender(ran: &Envelope, now: jiff::Timestamp) -> Sender<'_> {
    Sender {
        origin: "worker@host",
        delivery: ran.properties.delivery_tag.as_deref().unwrap(),
        route: &|_| Target::Queue("celery".to_owned()),
        inherit_priority: false,
        extended: false,
        now,
    }
}

/// What we make of a task that ended as Celery's did.
fn continued(step: &Step, document: &Object, store: &mut Store) -> FollowUps {
    let ran = step.ran();
    let message = Message::read(&ran).unwrap();
    let text = |member| document.get(member).and_then(json::string);
    let sender = sender(&ran, time::parse(&text("date_done").unwrap()).unwrap());
    let result = document.get("result").unwrap();
    let (mut ours, own) = match &*text("status").unwrap() {
        "SUCCESS" => {
            let (mut ours, value) = match Builtin::of(&message.task) {
                Some(builtin @ (Builtin::Chord | Builtin::Chunks | Builtin::Group)) => {
                    builtin::expand(builtin, &message, &sender).unwrap()
                }
                Some(Builtin::Accumulate) => {
                    assert_eq!(value(builtin::accumulate(&message).unwrap()), value(result));
                    (FollowUps::default(), result.to_owned())
                }
                _ => (FollowUps::default(), result.to_owned()),
            };
            let more = canvas::after_success(&message, &value, &sender).unwrap();
            ours.starts.extend(more.starts);
            ours.sends.extend(more.sends);
            ours.children.extend(more.children);
            ours.parts.extend(canvas::part(&message, State::Success, &value));
            let children = ours.children.clone();
            (ours, Some(children))
        }
        "FAILURE" => {
            let exception = Exception::read(result).unwrap();
            let exception = exception.with_traceback(text("traceback").map(Into::into));
            (canvas::after_failure(&message, &exception, &sender), Some(Vec::new()))
        }
        "REVOKED" => {
            let parts = canvas::part(&message, State::Revoked, result).into_iter().collect();
            (FollowUps { parts, ..FollowUps::default() }, None)
        }
        other => panic!("{other}"),
    };
    assert_eq!(ours.refused, None);
    for record in &ours.records {
        store.documents.insert(record.id.clone(), record.document.clone());
    }
    let mut pending = ours.parts.clone();
    while let Some(part) = pending.pop() {
        let after = match store.count(&part) {
            None => continue,
            Some(Ok(values)) => {
                let values: Vec<_> = values.iter().map(|value| &**value).collect();
                canvas::body(&message, &part.body, &values, &sender).unwrap()
            }
            Some(Err(failure)) => {
                let after = canvas::chord_failed(&message, &part.body, &failure, own.as_deref(), &sender);
                assert_eq!(after.refused, None);
                after
            }
        };
        ours.starts.extend(after.starts);
        ours.sends.extend(after.sends);
        for record in &after.records {
            store.documents.insert(record.id.clone(), record.document.clone());
        }
        ours.records.extend(after.records);
        ours.parts.extend(after.parts.clone());
        pending.extend(after.parts);
    }
    ours
}

/// Where we do more than Celery does, and nothing is held against its captures: those who wait for these chords and for
/// this errback wait forever there.
const BEYOND: [&str; 4] = [
    "errback that is a chain",
    "chord fails with a chord for a body",
    "complex chord fails",
    "chord fails in a chord",
];

#[test]
fn a_canvas_goes_on_as_celery_continues_it() {
    let mut stores: BTreeMap<(String, String), Store> = BTreeMap::new();
    let (mut compared, mut sent) = (0, 0);
    for step in Step::all() {
        let store = stores.entry((step.release.clone(), step.case.clone())).or_default();
        store.absorb(&step);
        if let Some(ours) = replaced(&step) {
            let mut same = Same::of(&step);
            same.messages(&ours, &step);
            same.starts(&ours, &step);
            (compared, sent) = (compared + 1, sent + ours.sends.len());
            continue;
        }
        let Some(document) = step.document() else { continue };
        if document.get("status") == Some("\"STARTED\"") {
            continue;
        }
        store.absorb_documents(&step);
        let ours = continued(&step, &document, store);
        if BEYOND.contains(&&*step.case) {
            continue;
        }
        let mut same = Same::of(&step);
        same.messages(&ours, &step);
        same.children(&ours, &document);
        same.starts(&ours, &step);
        same.records(&ours, &step);
        same.parts(store, &step);
        compared += 1;
        sent += ours.sends.len();
    }
    assert!(compared > 150 && sent > 200, "{compared} tasks sent {sent} messages");
}

/// What we send in the place of a task that was replaced by its argument.
fn replaced(step: &Step) -> Option<FollowUps> {
    let ran = step.ran();
    let message = Message::read(&ran).unwrap();
    if message.task != "tasks.replaced_by" {
        return None;
    }
    let signature = json::elements(message.args().as_bytes()).unwrap()[0];
    let sender = sender(&ran, jiff::Timestamp::UNIX_EPOCH);
    let ours = canvas::replaced(&message, signature, &sender).unwrap();
    assert!(ours.records.is_empty() && ours.parts.is_empty() && ours.children.is_empty());
    Some(ours)
}

/// Compares what we make with what Celery made. Ids that either makes up are the same when each stands for one other.
struct Same {
    step: String,
    newest: bool,
    reply_to: String,
    ids: BTreeMap<String, String>,
}

impl Same {
    fn of(step: &Step) -> Self {
        let newest = step.release == "celery-5.7.0";
        let reply_to = step.ran().properties.reply_to.unwrap();
        Self { step: step.name(), newest, reply_to, ids: BTreeMap::new() }
    }

    fn value(&mut self, place: &str, ours: &Value, theirs: &Value) {
        match (ours, theirs) {
            // Celery's worker has a queue for replies of its own; ours has none, and keeps the client's.
            (Value::String(ours), Value::String(theirs)) if place.ends_with("reply_to") => {
                assert!(ours == theirs || *ours == self.reply_to, "{}: {place}: {ours}", self.step);
            }
            (Value::String(id), Value::String(other)) if other.starts_with("id-") && self.is_made(id) => {
                let known = self.ids.entry(id.clone()).or_insert_with(|| other.clone());
                assert_eq!(known, other, "{}: {place}", self.step);
            }
            (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
                for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                    self.value(&format!("{place}[{index}]"), ours, theirs);
                }
            }
            (Value::Object(ours), Value::Object(theirs)) => {
                let empty = Value::Null;
                for name in ours.keys().chain(theirs.keys()) {
                    // An option that is null is none.
                    let (ours, theirs) = match (ours.get(name), theirs.get(name)) {
                        (ours, theirs) if place.ends_with("options") => {
                            (ours.unwrap_or(&empty), theirs.unwrap_or(&empty))
                        }
                        (Some(ours), Some(theirs)) => (ours, theirs),
                        (ours, theirs) => panic!("{}: {place}.{name}: {ours:?}, {theirs:?}", self.step),
                    };
                    self.value(&format!("{place}.{name}"), ours, theirs);
                }
            }
            // Celery's worker passes a priority of null, which beats the one that a group or chain was given.
            (Value::Number(ours), Value::Number(none))
                if ours != none && place == ".priority" && *none == 0.into() =>
            {
                assert!(self.step.contains("with options"), "{}: {ours}", self.step);
            }
            (Value::String(at), Value::String(other)) if at != other && close(place, at, other) => {}
            _ => assert_eq!(ours, theirs, "{}: {place}", self.step),
        }
    }

    /// An id that we made. Older releases also make new ones where the newest keeps what a client made.
    fn is_made(&self, id: &str) -> bool {
        let uuid = id.len() == 36 && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        uuid || (!self.newest && id.starts_with("id-"))
    }

    fn messages(&mut self, ours: &FollowUps, step: &Step) {
        let newest = self.newest;
        let theirs = step.sent();
        let tasks = |sent: &[Envelope]| {
            sent.iter().map(|sent| sent.headers.get("task").unwrap().to_owned()).collect()
        };
        let our_tasks: Vec<String> = ours.sends.iter().map(|sent| json::quote(&sent.task)).collect();
        let their_tasks: Vec<String> = tasks(&theirs);
        assert_eq!(our_tasks, their_tasks, "{}", self.step);
        let mut left: Vec<_> = theirs.iter().collect();
        for sent in &ours.sends {
            // Celery's queues are captured one after the other.
            let to = |envelope: &Envelope| envelope.properties.delivery_info.routing_key.clone();
            let at = left.iter().position(|theirs| to(theirs) == to(&sent.envelope)).unwrap();
            let theirs = left.remove(at);
            let step = Message::read(&sent.envelope).unwrap();
            assert_eq!((&step.id, &step.task), (&sent.id, &sent.task));
            self.value("", &comparable(&sent.envelope, newest), &comparable(theirs, newest));
        }
    }

    fn children(&mut self, ours: &FollowUps, document: &Object) {
        let sends = document.get("status") == Some("\"SUCCESS\"");
        let ours = if sends { &ours.children[..] } else { &[] };
        let ours: Vec<_> = ours.iter().map(|child| value(child)).collect();
        let theirs = value(document.get("children").unwrap());
        // What a worker announces without having run it has no children.
        let theirs = if theirs.is_null() { json!([]) } else { theirs };
        self.value("children", &json!(ours), &theirs);
    }

    fn starts(&mut self, ours: &FollowUps, step: &Step) {
        let groups = value(step.raw("groups"));
        let mut left: BTreeMap<_, _> = groups.as_object().unwrap().clone().into_iter().collect();
        left.retain(|key, _| key.strip_suffix(".j").is_none());
        for start in &ours.starts {
            let group = self.ids.get(&start.group).unwrap_or(&start.group).clone();
            assert_eq!(
                left.remove(&format!("{group}.s")),
                Some(json!(start.size)),
                "{}: {start:?}",
                self.step
            );
            let saved = left.remove(&group).unwrap_or_default();
            self.value("saved", &start.saved.as_deref().map(value).unwrap_or_default(), &saved);
        }
        // Celery also gives a size to a group at the end of a chain in a header, whose members count for the header.
        let counts =
            |key: &String| ours.parts.iter().any(|part| Some(&*part.group) == key.strip_suffix(".s"));
        let unused = self.step.contains("complex chord") && left.len() == 1 && !left.keys().any(counts);
        assert!(left.is_empty() || unused, "{}: {left:?}", self.step);
    }

    fn records(&mut self, ours: &FollowUps, step: &Step) {
        let theirs = value(step.raw("documents"));
        let ours = ours.records.iter().map(|record| (record.id.clone(), value(&record.document)));
        let ours: serde_json::Map<_, _> = ours.collect();
        let ids = |documents: &serde_json::Map<String, Value>| documents.keys().cloned().collect::<Vec<_>>();
        assert_eq!(ids(&ours), ids(theirs.as_object().unwrap()), "{}", self.step);
        for (id, mut ours) in ours {
            let mut theirs = theirs[&id].clone();
            for document in [&mut ours, &mut theirs] {
                let document = document.as_object_mut().unwrap();
                assert!(time::parse(document["date_done"].as_str().unwrap()).is_ok());
                document.remove("date_done");
            }
            // The lines of Celery's own code that noticed the failure.
            if theirs["traceback"].as_str().is_some_and(|text| text.contains("on_chord_part_return")) {
                theirs["traceback"] = Value::Null;
            }
            self.value(&id, &ours, &theirs);
        }
    }

    fn parts(&mut self, store: &Store, step: &Step) {
        for (key, theirs) in value(step.raw("groups")).as_object().unwrap() {
            let Some(group) = key.strip_suffix(".j") else { continue };
            let ours = store.parts[group]
                .iter()
                .map(|(index, member)| json!([value(member), value(&format!("{index}.0"))]));
            self.value(key, &ours.collect(), theirs);
        }
    }
}

/// Celery looked at the clock a little earlier, when it sent the message.
fn close(place: &str, ours: &str, theirs: &str) -> bool {
    let near = |ours: f64, theirs: f64| (ours - theirs).abs() < 5000.0;
    match &place[place.rfind('.').map_or(0, |at| at + 1)..] {
        "eta" | "expires" => {
            let [ours, theirs] = [ours, theirs].map(|at| time::parse(at).unwrap().as_millisecond());
            ours.abs_diff(theirs) < 5000
        }
        "expiration" => near(ours.parse().unwrap(), theirs.parse().unwrap()),
        // A tuple that never left Celery's process.
        "argsrepr" => theirs == "((1,),)" && ours == "([1],)",
        _ => false,
    }
}

/// A message without what differs between any two senders. Of older releases, what all releases agree on.
fn comparable(envelope: &Envelope, newest: bool) -> Value {
    let mut headers = value(envelope.headers.as_str());
    let mut body = value(std::str::from_utf8(&envelope.body).unwrap());
    let fields = headers.as_object_mut().unwrap();
    fields.remove("origin");
    // Celery knows the task, and whether its result counts; where nobody has said so, we leave it to who runs it.
    if fields["ignore_result"] == json!(false) {
        fields["ignore_result"] = Value::Null;
    }
    let properties = &envelope.properties;
    if !newest {
        let common = ["task", "id", "retries", "root_id", "parent_id", "argsrepr", "kwargsrepr", "eta"];
        fields.retain(|name, _| common.contains(&&**name));
        body.as_array_mut().unwrap().truncate(2);
        return json!({"headers": headers, "body": body});
    }
    json!({
        "headers": headers,
        "body": body,
        "correlation_id": properties.correlation_id,
        "reply_to": properties.reply_to,
        "other": value(properties.other.as_str()),
        "delivery_mode": properties.delivery_mode,
        "expiration": properties.expiration,
        "exchange": properties.delivery_info.exchange,
        "routing_key": properties.delivery_info.routing_key,
        "priority": properties.priority,
        "content": [envelope.content_type, envelope.content_encoding],
    })
}
