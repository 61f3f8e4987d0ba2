//! The tasks that every Celery worker has: `celery.map` and its siblings.
//!
//! ```text
//!   accumulate                   a value at once
//!   group, chord, chunks         messages, and the result that they make up for a value
//!   map, starmap                 a task that runs several times: Mapping
//!   chord_unlock                 a chord of a store that cannot count: Unlock
//!   backend_cleanup              the store's own work
//! ```
//!
//! Arguments that no caller of these tasks writes fail the task, in Python's words where it has some.

use super::options::{ADD_TO_PARENT, GROUP_ID, Options};
use super::plan::Plan;
use super::signature::{Kind, Signature};
use super::{CanvasError, FollowUps, Partial, ResultTree, SavedGroup, Sender, Unready};
use crate::json::{self, Object, string};
use crate::message::Message;
use crate::record::Exception;

/// A task that every worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// `celery.accumulate`: its arguments, or one of them.
    Accumulate,
    /// `celery.backend_cleanup`: the store forgets what has expired. Its value is null.
    BackendCleanup,
    /// `celery.chain`: refuses to run.
    Chain,
    /// `celery.chord`: sends a chord.
    Chord,
    /// `celery.chord_unlock`: looks whether a chord's header has ended.
    ChordUnlock,
    /// `celery.chunks`: sends a group of `celery.starmap`.
    Chunks,
    /// `celery.group`: sends a group.
    Group,
    /// `celery.map`: runs a task with each of some values.
    Map,
    /// `celery.starmap`: runs a task with each of some lists of arguments.
    Starmap,
}

impl Builtin {
    /// The one of this name.
    pub fn of(task: &str) -> Option<Self> {
        Some(match task.strip_prefix("celery.")? {
            "accumulate" => Self::Accumulate,
            "backend_cleanup" => Self::BackendCleanup,
            "chain" => Self::Chain,
            "chord" => Self::Chord,
            "chord_unlock" => Self::ChordUnlock,
            "chunks" => Self::Chunks,
            "group" => Self::Group,
            "map" => Self::Map,
            "starmap" => Self::Starmap,
            _ => return None,
        })
    }
}

/// The value of `celery.accumulate`: its arguments, or the one that `index` names.
pub fn accumulate(message: &Message) -> Result<&str, Exception> {
    let kwargs = Object::of(message.kwargs()).unwrap_or_default();
    let Some(index) = kwargs.get("index").filter(|index| *index != "null") else { return Ok(message.args()) };
    let wrong = || Exception::new("builtins", "TypeError", "tuple indices must be integers or slices");
    let index: i64 = index.parse().map_err(|_| wrong())?;
    let args = json::elements(message.args().as_bytes()).unwrap_or_default();
    let at = usize::try_from(index)
        .ok()
        .or_else(|| args.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?));
    at.and_then(|at| args.get(at).copied())
        .ok_or_else(|| Exception::new("builtins", "IndexError", "tuple index out of range"))
}

/// What `celery.chain` raises.
pub fn chain() -> Exception {
    Exception::new("builtins", "NotImplementedError", "chain is not a real task")
}

/// What `celery.group`, `celery.chord` or `celery.chunks` sends, and its value: the result of that, as JSON text. The
/// children are in the [`FollowUps`]; what follows the task itself comes after them.
pub fn expand(
    builtin: Builtin,
    message: &Message,
    sender: &Sender<'_>,
) -> Result<(FollowUps, String), CanvasError> {
    let mut plan = Plan::new(message, sender, "expand");
    let result = match builtin {
        Builtin::Group => plan.expand_group(message)?,
        Builtin::Chord => plan.expand_chord(message)?,
        _ => plan.expand_chunks(message)?,
    };
    Ok((plan.out, result.to_json()))
}

/// Arguments by name, wherever the caller put them.
struct Arguments<'a> {
    args: Vec<&'a str>,
    kwargs: Object,
}

impl<'a> Arguments<'a> {
    fn of(message: &'a Message) -> Self {
        Self {
            args: json::elements(message.args().as_bytes()).unwrap_or_default(),
            kwargs: Object::of(message.kwargs()).unwrap_or_default(),
        }
    }

    /// The argument of this name, or at this place.
    fn get(&self, place: usize, name: &str) -> Option<&str> {
        self.args.get(place).copied().or_else(|| self.kwargs.get(name)).filter(|value| *value != "null")
    }

    fn list(&self, place: usize, name: &'static str) -> Result<Vec<&str>, CanvasError> {
        let list = self.get(place, name).unwrap_or_default();
        json::elements(list.as_bytes()).map_err(|_| CanvasError::Shape { what: name, expected: "an array" })
    }
}

impl Plan<'_> {
    fn expand_group(&mut self, message: &Message) -> Result<ResultTree, CanvasError> {
        let arguments = Arguments::of(message);
        let result = arguments.get(1, "result").and_then(ResultTree::read);
        let result =
            result.ok_or(CanvasError::Shape { what: "`result`", expected: "a result as an array" })?;
        let mut call = Options::default();
        call.set_text(GROUP_ID, &arguments.get(2, "group_id").and_then(string).unwrap_or_default());
        call.set(ADD_TO_PARENT, "false");
        let args = arguments.get(3, "partial_args").filter(|args| args.starts_with('['));
        for task in arguments.list(0, "tasks")? {
            let mut task = Signature::read(task)?;
            task.copied = true;
            self.apply(task, Partial { args, kwargs: None }, call.clone())?;
        }
        if arguments.get(4, "add_to_parent") != Some("false") {
            self.out.children.push(result.to_json());
        }
        Ok(result)
    }

    fn expand_chord(&mut self, message: &Message) -> Result<ResultTree, CanvasError> {
        let arguments = Arguments::of(message);
        let header = arguments.get(0, "header").unwrap_or("[]");
        let tasks = match Object::of(header) {
            None => {
                let tasks = arguments.list(0, "header")?.into_iter().map(Signature::read);
                tasks.collect::<Result<Vec<_>, _>>()?
            }
            Some(_) => match Signature::read(header)?.kind {
                Kind::Group(tasks) => tasks,
                _ => return Err(CanvasError::Shape { what: "`header`", expected: "a group or an array" }),
            },
        };
        let body = Signature::read(arguments.get(1, "body").ok_or(CanvasError::NoBody)?)?;
        let chord = Signature::chord(Signature::group(tasks), body);
        let args = arguments.get(2, "partial_args").filter(|args| args.starts_with('['));
        let result = self.apply(chord, Partial { args, kwargs: None }, Options::default())?;
        result.ok_or(CanvasError::NoBody)
    }

    fn expand_chunks(&mut self, message: &Message) -> Result<ResultTree, CanvasError> {
        let arguments = Arguments::of(message);
        let task = arguments.get(0, "task").unwrap_or("null");
        let size = arguments.get(2, "n").and_then(|size| size.parse().ok()).filter(|size| *size > 0usize);
        let size = size.ok_or(CanvasError::Shape { what: "`n`", expected: "a number of at least 1" })?;
        let items = arguments.list(1, "it")?;
        let pieces = items.chunks(size).map(|piece| {
            let items = json::array(piece.iter().copied());
            Signature::with_kwargs("celery.starmap", format!("{{\"task\": {task}, \"it\": {items}}}"))
        });
        let group = Signature::group(pieces.collect());
        let result = self.apply(group, Partial::default(), Options::default())?;
        Ok(result.unwrap_or_else(|| ResultTree::group("", Vec::new())))
    }
}

/// `celery.map` or `celery.starmap` at work: a task that runs several times within one, one call after the other.
///
/// ```text
///   while let Some(arguments) = mapping.next() { run mapping.task() with them; mapping.push(its value) }
///   mapping.value()
/// ```
///
/// Only the name of the signature counts, as in Celery. A call that fails fails the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    task: String,
    /// JSON texts of arrays, the next one last.
    calls: Vec<String>,
    values: String,
}

impl Mapping {
    /// Reads the arguments. `stars`: each item is a list of arguments (`celery.starmap`), and not one argument.
    pub fn read(message: &Message, stars: bool) -> Result<Self, CanvasError> {
        let arguments = Arguments::of(message);
        let wrong = CanvasError::Shape { what: "`task`", expected: "a signature" };
        let task = Signature::read(arguments.get(0, "task").ok_or(wrong)?)?.task;
        let call = |item: &str| match stars {
            true if item.starts_with('[') => Ok(item.to_owned()),
            true => Err(CanvasError::Shape { what: "each item of `it`", expected: "an array of arguments" }),
            false => Ok(super::plan::one(item)),
        };
        let calls = arguments.list(1, "it")?.into_iter().rev().map(call).collect::<Result<_, _>>()?;
        Ok(Self { task, calls, values: String::from("[") })
    }

    /// The task that runs.
    pub fn task(&self) -> &str {
        &self.task
    }

    /// The positional arguments of the next call, as JSON text; `None` when all are done.
    #[expect(clippy::should_implement_trait, reason = "each call waits for the value of the one before")]
    pub fn next(&mut self) -> Option<String> {
        self.calls.pop()
    }

    /// Takes the value of the last call, as JSON text.
    pub fn push(&mut self, value: &str) {
        if self.values.len() > 1 {
            self.values.push_str(", ");
        }
        self.values.push_str(value);
    }

    /// All values.
    pub fn value(mut self) -> String {
        self.values.push(']');
        self.values
    }
}

/// `celery.chord_unlock`: a chord of a store that cannot count, which asks for its header again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Unlock {
    /// The chord's group.
    pub group: String,
    /// The body, as JSON text.
    pub body: String,
    /// Seconds between two looks; `None` for the setting of the worker.
    pub interval: Option<f64>,
    /// How many looks there may be; `None` for as many as it takes.
    pub max_retries: Option<u64>,
    /// The header.
    pub header: SavedGroup,
}

/// What `celery.chord_unlock` does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Look again later: a retry of this task.
    Again,
    /// Call the body with these values, by [`body`](super::body).
    Body(Vec<String>),
    /// The body cannot run: [`chord_failed`](super::chord_failed).
    Failed(Box<super::ChordFailure>),
}

impl Unlock {
    /// Reads the arguments.
    pub fn read(message: &Message) -> Result<Self, CanvasError> {
        let arguments = Arguments::of(message);
        let group = arguments.get(0, "group_id").and_then(string);
        let header: Option<Vec<_>> = arguments.list(4, "result")?.into_iter().map(ResultTree::read).collect();
        Ok(Self {
            group: group.ok_or(CanvasError::Shape { what: "`group_id`", expected: "a string" })?.into_owned(),
            body: arguments.get(1, "callback").ok_or(CanvasError::NoBody)?.to_owned(),
            interval: arguments.get(2, "interval").and_then(|interval| interval.parse().ok()),
            max_retries: arguments.get(3, "max_retries").and_then(|retries| retries.parse().ok()),
            header: header
                .map(SavedGroup::of)
                .ok_or(CanvasError::Shape { what: "`result`", expected: "results as arrays" })?,
        })
    }

    /// Decides by the documents of the header's tasks. One that failed ends the chord only when all have ended, as in
    /// Celery.
    pub fn decide<'a>(&self, document: impl Fn(&str) -> Option<&'a str>) -> Decision {
        match self.header.values_of_ended(document) {
            Ok(values) => Decision::Body(values),
            Err(Unready::Waiting(_)) => Decision::Again,
            Err(Unready::Failed(failure)) => Decision::Failed(failure),
        }
    }
}
