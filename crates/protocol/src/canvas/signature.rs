//! Signatures: a task that is to be called, or a group, chain or chord of them; JSON text ↔ tree.
//!
//! ```text
//!   {"task": "tasks.add", "args": [3], "kwargs": {}, "options": {...}, "subtask_type": null, "immutable": false}
//!   group, chain   "kwargs": {"tasks": [...]}
//!   chord          "kwargs": {"header": a group or a list, "body": a signature, "kwargs": {}}
//! ```

use std::sync::Arc;

use super::options::{LINK_ERROR, Options};
use super::{CanvasError, MAX_BYTES, MAX_DEPTH, MAX_WORK};
use crate::json::{self, Object, string};

/// A signature, as a message has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub(super) task: String,
    /// The JSON text of an array.
    pub(super) args: Arc<str>,
    /// The JSON text of an object; of a group, chain or chord, what is no part of it.
    pub(super) kwargs: Arc<str>,
    pub(super) options: Options,
    pub(super) immutable: bool,
    pub(super) kind: Kind,
    /// Members that are not known here.
    pub(super) other: Vec<(String, Arc<str>)>,
    /// It was copied by a canvas, after which Celery shows its arguments as a tuple.
    pub(super) copied: bool,
}

/// What a signature is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// One task.
    Task,
    /// Tasks that run side by side.
    Group(Vec<Signature>),
    /// Tasks that run one after the other, each with the value of the one before.
    Chain(Vec<Signature>),
    /// A group, and a signature that gets the values of all of it.
    Chord(Box<Chord>),
}

/// The parts of a chord.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chord {
    /// A group.
    pub(super) header: Signature,
    /// The header has got its id. One that was only read has not: its id is the chord's.
    pub(super) frozen: bool,
    pub(super) body: Option<Signature>,
}

impl Signature {
    /// Reads a signature's JSON text. What nests deeper than [`MAX_DEPTH`] is refused.
    pub fn read(json: &str) -> Result<Self, CanvasError> {
        let json = json::check(json.as_bytes()).map_err(CanvasError::NotJson)?;
        Reader { work: MAX_WORK, links: MAX_BYTES }.signature(json, 0)
    }

    /// Its JSON text, in Celery's order.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(256);
        self.put(&mut out);
        out
    }

    /// The task's name; for a group, chain or chord `celery.group` and so on.
    pub fn task(&self) -> &str {
        &self.task
    }

    /// The id that its message will have, where that is fixed already; of a group, the group's.
    pub fn id(&self) -> Option<String> {
        self.options.text(super::options::TASK_ID)
    }

    pub(super) fn group(tasks: Vec<Self>) -> Self {
        Self::of("celery.group", Kind::Group(tasks))
    }

    pub(super) fn chord(header: Self, body: Self) -> Self {
        Self::of("celery.chord", Kind::Chord(Box::new(Chord { header, frozen: false, body: Some(body) })))
    }

    pub(super) fn chain(steps: Vec<Self>) -> Self {
        Self::of("celery.chain", Kind::Chain(steps))
    }

    /// The task that returns the values of a group as they are.
    pub(super) fn accumulate() -> Self {
        Self { kwargs: "{\"index\": 0}".into(), ..Self::of("celery.accumulate", Kind::Task) }
    }

    /// A task that is called with these keyword arguments and no others.
    pub(super) fn with_kwargs(task: &str, kwargs: String) -> Self {
        Self { kwargs: kwargs.into(), immutable: true, ..Self::of(task, Kind::Task) }
    }

    fn of(task: &str, kind: Kind) -> Self {
        Self {
            task: task.to_owned(),
            args: "[]".into(),
            kwargs: "{}".into(),
            options: Options::default(),
            immutable: false,
            kind,
            other: Vec::new(),
            copied: false,
        }
    }

    /// How long its text is, about.
    pub(super) fn text_len(&self) -> usize {
        let below: usize = match &self.kind {
            Kind::Task => 0,
            Kind::Group(tasks) | Kind::Chain(tasks) => tasks.iter().map(Self::text_len).sum(),
            Kind::Chord(chord) => chord.header.text_len() + chord.body.as_ref().map_or(0, Self::text_len),
        };
        let other: usize = self.other.iter().map(|(name, value)| name.len() + value.len()).sum();
        128 + self.task.len() + self.args.len() + self.kwargs.len() + self.options.text_len() + other + below
    }

    /// How many tasks it consists of.
    pub(super) fn tasks(&self) -> usize {
        match &self.kind {
            Kind::Task => 1,
            Kind::Group(tasks) | Kind::Chain(tasks) => tasks.iter().map(Self::tasks).sum(),
            Kind::Chord(chord) => chord.header.tasks() + chord.body.as_ref().map_or(0, Self::tasks),
        }
    }

    pub(super) fn put(&self, out: &mut String) {
        out.push_str("{\"task\": ");
        json::put(out, &self.task);
        out.push_str(", \"args\": ");
        out.push_str(&self.args);
        out.push_str(", \"kwargs\": ");
        let subtask_type = match &self.kind {
            Kind::Task => {
                out.push_str(&self.kwargs);
                "null"
            }
            Kind::Group(tasks) => {
                put_tasks(out, tasks);
                "\"group\""
            }
            Kind::Chain(tasks) => {
                put_tasks(out, tasks);
                "\"chain\""
            }
            Kind::Chord(chord) => {
                chord.put(&self.kwargs, out);
                "\"chord\""
            }
        };
        out.push_str(", \"options\": ");
        self.options.put(out);
        out.push_str(", \"subtask_type\": ");
        out.push_str(subtask_type);
        out.push_str(if self.immutable { ", \"immutable\": true" } else { ", \"immutable\": false" });
        for (name, value) in &self.other {
            out.push_str(", ");
            json::put(out, name);
            out.push_str(": ");
            out.push_str(value);
        }
        out.push('}');
    }
}

impl Chord {
    fn put(&self, kwargs: &str, out: &mut String) {
        out.push_str("{\"kwargs\": ");
        out.push_str(kwargs);
        out.push_str(", \"header\": ");
        match &self.header.kind {
            Kind::Group(tasks) if !self.frozen => put_list(out, tasks),
            _ => self.header.put(out),
        }
        out.push_str(", \"body\": ");
        match &self.body {
            Some(body) => body.put(out),
            None => out.push_str("null"),
        }
        out.push('}');
    }
}

fn put_tasks(out: &mut String, tasks: &[Signature]) {
    out.push_str("{\"tasks\": ");
    put_list(out, tasks);
    out.push('}');
}

/// Appends the array of these signatures.
pub(super) fn put_list(out: &mut String, tasks: &[Signature]) {
    out.push('[');
    for (index, task) in tasks.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        task.put(out);
    }
    out.push(']');
}

/// Reads signatures, as far as its work goes: each level of a canvas is scanned again.
struct Reader {
    /// Bytes that may still be scanned.
    work: usize,
    /// Bytes of errbacks that may still be copied: those of a group, chain or chord go to each task in it.
    links: usize,
}

impl Reader {
    fn signature(&mut self, json: &str, depth: usize) -> Result<Signature, CanvasError> {
        if depth >= MAX_DEPTH {
            return Err(CanvasError::TooDeep);
        }
        self.work = self.work.checked_sub(json.len()).ok_or(CanvasError::TooLarge)?;
        if !json.starts_with('{') {
            return Err(CanvasError::Shape { what: "a signature", expected: "an object" });
        }
        let mut signature = Signature::of("", Kind::Task);
        let mut subtask_type = None;
        for (name, value) in json::members(json.as_bytes()).map_err(CanvasError::NotJson)? {
            match &*name {
                "task" => signature.task = string(value).unwrap_or_default().into_owned(),
                "args" | "kwargs" if value == "null" => {}
                "args" if value.starts_with('[') => signature.args = value.into(),
                "args" => {
                    return Err(CanvasError::Shape { what: "a signature's `args`", expected: "an array" });
                }
                "kwargs" if value.starts_with('{') => signature.kwargs = value.into(),
                "kwargs" => {
                    return Err(CanvasError::Shape { what: "a signature's `kwargs`", expected: "an object" });
                }
                "options" => signature.options = Options::read(value)?,
                "subtask_type" => subtask_type = string(value),
                "immutable" => signature.immutable = value == "true",
                name => signature.other.push((name.to_owned(), value.into())),
            }
        }
        if signature.task.is_empty() {
            return Err(CanvasError::Shape { what: "a signature's `task`", expected: "the name of a task" });
        }
        match subtask_type.as_deref() {
            // The maps are tasks like any other; Celery marks them in no release, but would read a mark.
            None | Some("" | "xmap" | "xstarmap" | "chunks") => {}
            Some("group") => self.several(&mut signature, depth, Kind::Group)?,
            Some("chain") => self.several(&mut signature, depth, Kind::Chain)?,
            Some("chord") => self.chord(&mut signature, depth)?,
            Some(other) => return Err(CanvasError::UnknownKind(other.to_owned())),
        }
        if !matches!(signature.kind, Kind::Task) {
            let errbacks = signature.options.get(LINK_ERROR).map_or(0, str::len);
            let copied = errbacks.saturating_mul(signature.tasks());
            self.links = self.links.checked_sub(copied).ok_or(CanvasError::TooLarge)?;
        }
        Ok(signature)
    }

    /// Reads the members of a group or chain. Celery forgets arguments and `immutable` of either.
    fn several(
        &mut self,
        signature: &mut Signature,
        depth: usize,
        kind: fn(Vec<Signature>) -> Kind,
    ) -> Result<(), CanvasError> {
        let kwargs = Object::of(&signature.kwargs).unwrap_or_default();
        let tasks = kwargs.get("tasks").filter(|tasks| tasks.starts_with('['));
        let tasks =
            tasks.ok_or(CanvasError::Shape { what: "a group's or chain's `tasks`", expected: "an array" })?;
        signature.kind = kind(self.list(tasks, depth)?);
        signature.args = "[]".into();
        signature.kwargs = "{}".into();
        signature.immutable = false;
        Ok(())
    }

    fn list(&mut self, tasks: &str, depth: usize) -> Result<Vec<Signature>, CanvasError> {
        let tasks = json::elements(tasks.as_bytes()).map_err(CanvasError::NotJson)?;
        tasks.into_iter().map(|task| self.signature(task, depth + 1)).collect()
    }

    fn chord(&mut self, signature: &mut Signature, depth: usize) -> Result<(), CanvasError> {
        let kwargs = Object::of(&signature.kwargs).unwrap_or_default();
        let header = match kwargs.get("header") {
            Some(list) if list.starts_with('[') => self.list(list, depth)?,
            Some(header) if header.starts_with('{') => {
                let header = self.signature(header, depth + 1)?;
                match header.kind {
                    // The header is what the group or chain consists of, and not the group itself.
                    Kind::Group(tasks) | Kind::Chain(tasks) => tasks,
                    _ => vec![header],
                }
            }
            _ => {
                return Err(CanvasError::Shape {
                    what: "a chord's `header`",
                    expected: "a group or an array",
                });
            }
        };
        let body = match kwargs.get("body") {
            None | Some("null") => None,
            Some(body) => Some(self.signature(body, depth + 1)?),
        };
        let inner = kwargs.get("kwargs").filter(|inner| inner.starts_with('{')).unwrap_or("{}");
        signature.kind =
            Kind::Chord(Box::new(Chord { header: Signature::group(header), frozen: false, body }));
        signature.kwargs = inner.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(task: &str) -> String {
        format!(
            r#"{{"task": "{task}", "args": [1, NaN], "kwargs": {{"é": "\ud800"}}, "options": {{"x": [1e5]}}, "subtask_type": null, "immutable": true, "chord_size": null}}"#
        )
    }

    fn nested(levels: usize) -> String {
        let inner = format!(
            "{}{}{}",
            r#"{"task": "celery.group", "kwargs": {"tasks": ["#.repeat(levels),
            plain("t"),
            r#"]}, "subtask_type": "group"}"#.repeat(levels)
        );
        inner
    }

    #[test]
    fn what_is_read_is_written_again_with_what_is_not_known() {
        assert_eq!(Signature::read(&plain("t")).unwrap().to_json(), plain("t"));
        let group = format!(
            r#"{{"task": "celery.group", "args": [], "kwargs": {{"tasks": [{}, {}]}}, "options": {{"task_id": "g"}}, "subtask_type": "group", "immutable": false}}"#,
            plain("a"),
            plain("b")
        );
        let signature = Signature::read(&group).unwrap();
        assert_eq!((signature.to_json(), signature.id().as_deref()), (group.clone(), Some("g")));
        let chord = format!(
            r#"{{"task": "celery.chord", "args": [], "kwargs": {{"kwargs": {{"k": 1}}, "header": [{}], "body": {}}}, "options": {{}}, "subtask_type": "chord", "immutable": false}}"#,
            plain("a"),
            group.replace("group", "chain")
        );
        assert_eq!(Signature::read(&chord).unwrap().to_json(), chord);
    }

    #[test]
    fn a_header_is_a_list_a_group_a_chain_or_one_signature() {
        let header = |header: &str| {
            let chord = format!(
                r#"{{"task": "celery.chord", "kwargs": {{"header": {header}, "body": null}}, "subtask_type": "chord"}}"#
            );
            let Kind::Chord(chord) = Signature::read(&chord).unwrap().kind else { panic!("no chord") };
            let Kind::Group(tasks) = chord.header.kind else { panic!("no group") };
            tasks.len()
        };
        assert_eq!(header(&format!("[{}, {}]", plain("a"), plain("b"))), 2);
        assert_eq!(header(&nested(1)), 1);
        assert_eq!(header(&nested(1).replace("group", "chain")), 1);
        assert_eq!(header(&plain("a")), 1);
    }

    #[test]
    fn what_nests_too_deeply_is_refused() {
        assert!(Signature::read(&nested(MAX_DEPTH - 1)).is_ok());
        assert_eq!(Signature::read(&nested(MAX_DEPTH)), Err(CanvasError::TooDeep));
    }

    #[test]
    fn what_is_no_signature_says_what_one_is() {
        let why = |json: &str| Signature::read(json).unwrap_err().to_string();
        assert_eq!(why("[]"), "a signature must be an object");
        assert_eq!(why("{}"), "a signature's `task` must be the name of a task");
        assert_eq!(why(r#"{"task": "t", "args": {}}"#), "a signature's `args` must be an array");
        assert_eq!(why(r#"{"task": "t", "kwargs": 5}"#), "a signature's `kwargs` must be an object");
        assert_eq!(
            why(r#"{"task": "t", "subtask_type": "group"}"#),
            "a group's or chain's `tasks` must be an array"
        );
        assert_eq!(
            why(r#"{"task": "t", "subtask_type": "tree"}"#),
            "a signature's `subtask_type` must be group, chain, chord or null, not \"tree\""
        );
    }
}
