//! Canvases of any shape, run to their end: each message can be read, each chord that begins ends once.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use petiole_protocol::canvas::{
    ChordFailure, ChordPart, FollowUps, SavedGroup, Sender, Target, Unready, after_failure, after_success,
    body, chord_failed, part, values,
};
use petiole_protocol::envelope::Envelope;
use petiole_protocol::json::{self, Object};
use petiole_protocol::message::Message;
use petiole_protocol::record::{Document, Exception, State};
use proptest::prelude::*;

/// What runs the messages: a queue, and the store's part of it.
#[derive(Default)]
struct Run {
    queue: VecDeque<Envelope>,
    sizes: BTreeMap<String, u64>,
    parts: BTreeMap<String, Vec<ChordPart>>,
    saved: BTreeMap<String, String>,
    documents: BTreeMap<String, String>,
    ended: BTreeSet<String>,
    ran: BTreeSet<String>,
}

fn sender(delivery: &str) -> Sender<'_> {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let route: &dyn Fn(&str) -> Target = &|_| Target::Queue("celery".to_owned());
    Sender { origin: "w@h", delivery, route, inherit_priority: false, extended: false, now }
}

impl Run {
    fn take(&mut self, follow_ups: FollowUps) -> Vec<ChordPart> {
        let FollowUps { starts, sends, records, parts, children, refused, .. } = follow_ups;
        assert_eq!(refused, None);
        for child in children {
            json::check(child.as_bytes()).unwrap();
        }
        for start in starts {
            assert_eq!(
                self.sizes.insert(start.group.clone(), start.size),
                None,
                "{} begins twice",
                start.group
            );
            self.saved.extend(start.saved.map(|saved| (start.group, saved)));
        }
        for record in records {
            Object::read(record.document.as_bytes()).unwrap();
            self.documents.insert(record.id, record.document);
        }
        self.queue.extend(sends.into_iter().map(|sent| sent.envelope));
        parts
    }

    fn run(&mut self, envelope: &Envelope) {
        let message = Message::read(envelope).unwrap();
        assert!(self.ran.insert(message.id.clone()), "{} runs twice", message.id);
        let delivery = envelope.properties.delivery_tag.clone().unwrap_or_default();
        let sender = sender(&delivery);
        let mut pending = if message.task == "fail" {
            let exception = Exception::new("m", "K", "bad");
            let document = Document::failure(&message.id, &exception, sender.now).to_json();
            self.documents.insert(message.id.clone(), document);
            self.take(after_failure(&message, &exception, &sender))
        } else {
            let document = Document::success(&message.id, b"1", sender.now).unwrap().to_json();
            self.documents.insert(message.id.clone(), document);
            let mut parts = self.take(after_success(&message, "1", &sender).unwrap());
            parts.extend(part(&message, State::Success, "1"));
            parts
        };
        while let Some(part) = pending.pop() {
            pending.extend(self.count(&message, &part, &sender));
        }
    }

    /// Counts a part once, and ends the chord with the last one.
    fn count(&mut self, message: &Message, part: &ChordPart, sender: &Sender<'_>) -> Vec<ChordPart> {
        assert!(!self.ended.contains(&part.group), "{part:?} comes after the end of its chord");
        let parts = self.parts.entry(part.group.clone()).or_default();
        assert!(parts.iter().all(|counted| counted.id != part.id), "{part:?} comes twice");
        parts.push(part.clone());
        if parts.len() as u64 != self.sizes[&part.group] {
            return Vec::new();
        }
        self.ended.insert(part.group.clone());
        parts.sort_by_key(|part| part.index);
        let ended = match self.saved.get(&part.group).map(|saved| SavedGroup::read(saved).unwrap()) {
            Some(saved) => match saved.values(|id| self.documents.get(id).map(|document| &**document)) {
                Ok(values) => Ok(values),
                Err(Unready::Failed(failure)) => Err(failure),
                Err(Unready::Waiting(ids)) => panic!("{ids:?} have not ended"),
            },
            None => values(parts.iter().map(|part| &*part.member))
                .map(|values| values.into_iter().map(str::to_owned).collect()),
        };
        let follow_ups = match ended {
            Ok(values) => {
                let values: Vec<_> = values.iter().map(|value: &String| &**value).collect();
                body(message, &part.body, &values, sender).unwrap()
            }
            Err(failure) => chord_failed(message, &part.body, &failure, Some(&[]), sender),
        };
        self.take(follow_ups)
    }
}

/// A canvas, as a client builds it.
#[derive(Debug, Clone)]
enum Canvas {
    Task(&'static str),
    Group(Vec<Canvas>),
    Chain(Vec<Canvas>),
    Chord(Vec<Canvas>, Box<Canvas>),
}

impl Canvas {
    fn to_json(&self) -> String {
        let (task, kwargs, kind) = match self {
            Self::Task(task) => (*task, "{}".to_owned(), "null"),
            Self::Group(tasks) => ("celery.group", format!("{{\"tasks\": {}}}", list(tasks)), "\"group\""),
            Self::Chain(tasks) => ("celery.chain", format!("{{\"tasks\": {}}}", list(tasks)), "\"chain\""),
            Self::Chord(header, body) => {
                let kwargs = format!(
                    "{{\"kwargs\": {{}}, \"header\": {}, \"body\": {}}}",
                    list(header),
                    body.to_json()
                );
                ("celery.chord", kwargs, "\"chord\"")
            }
        };
        format!("{{\"task\": \"{task}\", \"kwargs\": {kwargs}, \"options\": {{}}, \"subtask_type\": {kind}}}")
    }

    /// A group of one is that one.
    fn unrolled(self) -> Self {
        match self {
            Self::Group(mut tasks) if tasks.len() == 1 => tasks.remove(0).unrolled(),
            other => other,
        }
    }

    /// A chain. What follows a chord is a part of its body, as the client's `|` makes it: behind a body that is a group
    /// it would run once for each member.
    fn chain(tasks: Vec<Self>) -> Self {
        let mut steps: Vec<Self> = Vec::new();
        for task in tasks {
            match (steps.pop(), task.unrolled()) {
                (Some(Self::Chord(header, body)), task) => {
                    let body = match body.unrolled() {
                        Self::Chain(mut tasks) => {
                            tasks.push(task);
                            Self::chain(tasks)
                        }
                        body => Self::chain(vec![body, task]),
                    };
                    steps.push(Self::Chord(header, Box::new(body)));
                }
                (last, Self::Chain(inner)) => {
                    steps.extend(last);
                    steps.extend(inner);
                    steps = match Self::chain(std::mem::take(&mut steps)) {
                        Self::Chain(steps) => steps,
                        one => vec![one],
                    };
                }
                (last, task) => {
                    steps.extend(last);
                    steps.push(task);
                }
            }
        }
        Self::Chain(steps)
    }
}

fn list(tasks: &[Canvas]) -> String {
    format!("[{}]", tasks.iter().map(Canvas::to_json).collect::<Vec<_>>().join(", "))
}

fn canvases(failing: bool) -> impl Strategy<Value = Canvas> {
    let leaf = prop_oneof![3 => Just(Canvas::Task("add")), u32::from(failing) => Just(Canvas::Task("fail"))];
    leaf.prop_recursive(6, 256, 3, |inner| {
        let some = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            some.clone().prop_map(Canvas::Group),
            some.clone().prop_map(Canvas::chain),
            (prop::collection::vec(inner.clone(), 0..4), inner)
                .prop_map(|(header, body)| Canvas::Chord(header, Box::new(body))),
        ]
    })
}

/// The message that all begins with.
fn root(embed: &str) -> Envelope {
    let headers = r#"{"task": "add", "id": "root", "root_id": "root"}"#;
    Envelope {
        headers: Object::read(headers.as_bytes()).unwrap(),
        content_type: Some("application/json".to_owned()),
        body: format!("[[], {{}}, {embed}]").into(),
        ..Envelope::default()
    }
}

/// Runs a canvas as a callback, and says which chords did not end.
fn open_at_the_end(canvas: &Canvas) -> Vec<String> {
    let mut run = Run::default();
    run.queue.push_back(root(&format!("{{\"callbacks\": [{}]}}", canvas.to_json())));
    while let Some(envelope) = run.queue.pop_front() {
        assert!(run.ran.len() < 10_000, "there is no end of it");
        // As another worker reads it.
        run.run(&Envelope::from_redis(&envelope.to_redis()).unwrap());
    }
    run.sizes.into_keys().filter(|group| !run.ended.contains(group)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_chord_that_begins_ends_once(canvas in canvases(false)) {
        prop_assert_eq!(open_at_the_end(&canvas), Vec::<String>::new());
    }

    /// A value anywhere in it is another one.
    #[test]
    fn a_damaged_canvas_is_refused_or_goes_on(
        canvas in canvases(false),
        place in any::<prop::sample::Index>(),
        other in prop::sample::select(vec!["null", "5", "[]", "{}", "\"\"", "[[]]", "{\"tasks\": 5}", "\"chord\"", "true"]),
    ) {
        let text = canvas.to_json();
        let starts: Vec<_> = text.match_indices(": ").map(|(at, _)| at + 2).collect();
        let start = starts[place.index(starts.len())];
        let rest = &text[start..];
        let value = (1..=rest.len()).find(|end| rest.get(..*end).is_some_and(|value| json::check(value.as_bytes()).is_ok()));
        let damaged = format!("{}{other}{}", &text[..start], &rest[value.unwrap()..]);
        let embed = format!("{{\"callbacks\": [{damaged}], \"errbacks\": [{damaged}], \"chain\": [{damaged}]}}");
        let message = Message::read(&root(&embed)).unwrap();
        if let Ok(follow_ups) = after_success(&message, "1", &sender("tag")) {
            Run::default().take(follow_ups);
        }
        let exception = Exception::new("m", "K", "bad");
        let follow_ups = after_failure(&message, &exception, &sender("tag"));
        Run::default().take(FollowUps { refused: None, ..follow_ups });
        let failure = ChordFailure::join(&exception);
        let follow_ups = chord_failed(&message, &damaged, &failure, None, &sender("tag"));
        Run::default().take(FollowUps { refused: None, ..follow_ups });
    }

    #[test]
    fn every_chord_that_begins_ends_once_whatever_fails(canvas in canvases(true)) {
        prop_assert_eq!(open_at_the_end(&canvas), Vec::<String>::new());
    }
}
