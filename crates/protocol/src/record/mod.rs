//! Result documents: what Celery stores of a task, the same JSON in every store.
//!
//! ```text
//!   {"status": "SUCCESS", "result": 3, "traceback": null, "children": [], "date_done": "2026-...+00:00",
//!    "group_id": ..., "parent_id": ...,                       where the task has them
//!    "name": ..., "args": [...], "kwargs": {...}, "worker": ..., "retries": 0, "queue": ...,     extended
//!    "task_id": "..."}
//! ```
//!
//! Order and separators are those of Celery 5.7, so that what we write cannot be told from what it writes.

mod compressed;
mod exception;

pub use compressed::{NotDecompressed, decompressed};
use jiff::Timestamp;

pub use exception::Exception;

use crate::json::{self, Invalid};
use crate::message::Message;
use crate::time;

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing is known of it: there is no document.
    Pending,
    /// A worker has it. Only events say so.
    Received,
    /// Its code runs.
    Started,
    /// It returned a value.
    Success,
    /// It raised an exception, or was ended.
    Failure,
    /// It was revoked, or had expired.
    Revoked,
    /// A worker refused it. Only events say so.
    Rejected,
    /// It will be tried again.
    Retry,
}

impl State {
    /// Celery's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Received => "RECEIVED",
            Self::Started => "STARTED",
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Revoked => "REVOKED",
            Self::Rejected => "REJECTED",
            Self::Retry => "RETRY",
        }
    }

    /// Whether the task has ended: whoever waits for it is told.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Revoked)
    }
}

/// A result document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document<'a> {
    state: State,
    /// A state of the task's own, in place of that.
    own: Option<&'a str>,
    /// JSON text.
    result: String,
    traceback: Option<&'a str>,
    date_done: Option<Timestamp>,
    /// JSON texts; `None` where nobody ran.
    children: Option<&'a [String]>,
    group_id: Option<&'a str>,
    parent_id: Option<&'a str>,
    extended: Option<Extra<'a>>,
    task_id: &'a str,
}

/// What an extended document has beside a plain one's members.
#[derive(Debug, Clone, PartialEq)]
enum Extra<'a> {
    /// Of a task that was received.
    Message(Extended<'a>),
    /// Of one that will not be sent.
    Unsent { name: &'a str, args: &'a str, kwargs: &'a str },
}

/// What Celery's `result_extended` adds.
#[derive(Debug, Clone, PartialEq)]
pub struct Extended<'a> {
    /// The task.
    pub message: &'a Message,
    /// The worker's node name: `celery@host`.
    pub worker: &'a str,
    /// The queue that it came from.
    pub queue: &'a str,
}

impl<'a> Document<'a> {
    /// The task returned `value`, as JSON text.
    pub fn success(task_id: &'a str, value: &[u8], now: Timestamp) -> Result<Self, Invalid> {
        Ok(Self::new(State::Success, json::check(value)?.to_owned(), Some(now), task_id))
    }

    /// The task raised an exception, or was ended.
    pub fn failure(task_id: &'a str, exception: &'a Exception, now: Timestamp) -> Self {
        Self {
            traceback: exception.traceback.as_deref(),
            ..Self::new(State::Failure, exception.to_json(), Some(now), task_id)
        }
    }

    /// The task was revoked, or had expired: [`Exception::revoked`] and its siblings.
    pub fn revoked(task_id: &'a str, exception: &'a Exception, now: Timestamp) -> Self {
        Self { state: State::Revoked, ..Self::failure(task_id, exception, now) }
    }

    /// The task raised this exception, and will be tried again.
    /// `None` where it did not say why.
    pub fn retry(task_id: &'a str, exception: Option<&'a Exception>) -> Self {
        let result = exception.map_or_else(|| "null".to_owned(), Exception::to_json);
        Self {
            traceback: exception.and_then(|exception| exception.traceback.as_deref()),
            ..Self::new(State::Retry, result, None, task_id)
        }
    }

    /// The task's code runs, in this process on this node (`celery@host`).
    pub fn started(task_id: &'a str, pid: u32, hostname: &str) -> Self {
        let result = format!("{{\"pid\": {pid}, \"hostname\": {}}}", json::quote(hostname));
        Self::new(State::Started, result, None, task_id)
    }

    /// The task is in a state of its own, and says this of it, as JSON text (Celery's `update_state`).
    pub fn own(task_id: &'a str, state: &'a str, meta: &[u8]) -> Result<Self, Invalid> {
        let document = Self::new(State::Started, json::check(meta)?.to_owned(), None, task_id);
        Ok(Self { own: Some(state), ..document })
    }

    fn new(state: State, result: String, date_done: Option<Timestamp>, task_id: &'a str) -> Self {
        Self {
            state,
            own: None,
            result,
            traceback: None,
            date_done,
            children: Some(&[]),
            group_id: None,
            parent_id: None,
            extended: None,
            task_id,
        }
    }

    /// Adds the task's group and parent, where it has them. Celery does so in every document but that of a task
    /// that it does not know.
    #[must_use]
    pub fn of(self, message: &'a Message) -> Self {
        Self { group_id: message.group.as_deref(), parent_id: message.parent_id.as_deref(), ..self }
    }

    /// Adds the group and parent of a task that will not be sent.
    #[must_use]
    pub fn within(self, group_id: Option<&'a str>, parent_id: Option<&'a str>) -> Self {
        Self { group_id, parent_id, ..self }
    }

    /// Adds what the task has sent: JSON texts of results. `None` stands where a task did not run, as in Celery's
    /// documents of what is revoked meanwhile.
    #[must_use]
    pub fn children(self, children: Option<&'a [String]>) -> Self {
        Self { children, ..self }
    }

    /// Adds what Celery's `result_extended` asks for.
    #[must_use]
    pub fn extended(self, extended: Extended<'a>) -> Self {
        Self { extended: Some(Extra::Message(extended)), ..self }
    }

    /// The same of a task that will not be sent: its name, and its arguments as JSON texts.
    #[must_use]
    pub fn extended_unsent(self, name: &'a str, args: &'a str, kwargs: &'a str) -> Self {
        Self { extended: Some(Extra::Unsent { name, args, kwargs }), ..self }
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The document's text.
    pub fn to_json(&self) -> String {
        let Self {
            state,
            own,
            result,
            traceback,
            date_done,
            children,
            group_id,
            parent_id,
            extended,
            task_id,
        } = self;
        let mut out = String::with_capacity(256 + result.len() + traceback.map_or(0, str::len));
        out.push_str("{\"status\": ");
        json::put(&mut out, own.unwrap_or(state.as_str()));
        out.push_str(", \"result\": ");
        out.push_str(result);
        out.push_str(", \"traceback\": ");
        put_text(&mut out, *traceback);
        out.push_str(", \"children\": ");
        match children {
            Some(children) => out.push_str(&json::array(children.iter().map(|child| &**child))),
            None => out.push_str("null"),
        }
        out.push_str(", \"date_done\": ");
        put_text(&mut out, date_done.map(time::print).as_deref());
        for (name, id) in [(", \"group_id\": ", group_id), (", \"parent_id\": ", parent_id)] {
            if id.is_some() {
                out.push_str(name);
                put_text(&mut out, *id);
            }
        }
        match extended {
            None => {}
            Some(Extra::Message(extended)) => extended.put(&mut out),
            Some(Extra::Unsent { name, args, kwargs }) => {
                out.push_str(", \"name\": ");
                json::put(&mut out, name);
                for (name, value) in [(", \"args\": ", args), (", \"kwargs\": ", kwargs)] {
                    out.push_str(name);
                    out.push_str(value);
                }
                out.push_str(", \"worker\": null, \"retries\": 0, \"queue\": null");
            }
        }
        out.push_str(", \"task_id\": ");
        json::put(&mut out, task_id);
        out.push('}');
        out
    }
}

impl Extended<'_> {
    fn put(&self, out: &mut String) {
        let Self { message, worker, queue } = self;
        out.push_str(", \"name\": ");
        json::put(out, &message.task);
        // What stands in a pickle, nobody here knows.
        let known = message.pickled().is_none();
        out.push_str(", \"args\": ");
        out.push_str(if known { message.args() } else { "null" });
        out.push_str(", \"kwargs\": ");
        out.push_str(if known { message.kwargs() } else { "null" });
        out.push_str(", \"worker\": ");
        json::put(out, worker);
        out.push_str(", \"retries\": ");
        out.push_str(&message.retries.to_string());
        out.push_str(", \"queue\": ");
        json::put(out, queue);
        let stamped = message.stamps.members();
        if stamped.is_empty() {
            return;
        }
        out.push_str(", \"stamped_headers\": ");
        out.push_str(message.stamped_headers.as_deref().unwrap_or("null"));
        let names = json::elements(message.stamped_headers.as_deref().unwrap_or("[]").as_bytes());
        let names: Vec<_> = names.unwrap_or_default().into_iter().filter_map(json::string).collect();
        for (name, value) in stamped {
            if names.contains(&name) {
                out.push_str(", ");
                json::put(out, &name);
                out.push_str(": ");
                out.push_str(value);
            }
        }
    }
}

fn put_text(out: &mut String, text: Option<&str>) {
    match text {
        Some(text) => json::put(out, text),
        None => out.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Envelope;
    use crate::json::Object;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn a_value_stays_as_the_task_wrote_it() {
        let document = Document::success("i", b" {\"a\":[1,NaN], \"b\":\"\\ud800\"}\n", NOW).unwrap();
        let expected = "{\"status\": \"SUCCESS\", \"result\": {\"a\":[1,NaN], \"b\":\"\\ud800\"}, \"traceback\": null, \
                        \"children\": [], \"date_done\": \"1970-01-01T00:00:00.000000+00:00\", \"task_id\": \"i\"}";
        assert_eq!(document.to_json(), expected);
        assert_eq!(document.state(), State::Success);
    }

    #[test]
    fn a_document_names_what_its_task_has_sent() {
        let children = [r#"[["a", null], null]"#.to_owned(), r#"[["g", null], []]"#.to_owned()];
        let exception = Exception::new("m", "K", "later").with_traceback(Some("lines".to_owned()));
        let retry = Document::retry("i", Some(&exception));
        assert_eq!(
            retry.clone().children(Some(&children)).to_json(),
            r#"{"status": "RETRY", "result": {"exc_type": "K", "exc_message": ["later"], "exc_module": "m"}, "traceback": "lines", "children": [[["a", null], null], [["g", null], []]], "date_done": null, "task_id": "i"}"#
        );
        assert!(retry.children(None).to_json().contains("\"children\": null"));
    }

    #[test]
    fn an_exception_is_read_as_it_was_written() {
        let exception = Exception::with_args("m", "K", &[b"\"a\"", b"[NaN]"]).unwrap();
        assert_eq!(Exception::read(&exception.to_json()), Some(exception.clone()));
        assert_eq!(exception.repr(), "K('a', [nan])");
        let old = Exception::read(r#"{"exc_type": "K", "exc_message": "old", "exc_module": null}"#).unwrap();
        assert_eq!(old, Exception::new("", "K", "old"));
        for none in ["5", "{}", "{\"exc_type\": 5}", "null"] {
            assert_eq!(Exception::read(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_json_is_no_value() {
        for value in [&b""[..], b"1 2", b"\xff"] {
            assert!(Document::success("i", value, NOW).is_err());
            assert!(Exception::with_args("m", "k", &[value]).is_err());
        }
    }

    #[test]
    fn texts_of_a_user_cannot_leave_their_place() {
        let exception = Exception::new("m\"", "k\\", "a\nb").with_traceback(Some("t\"".to_owned()));
        let document = Document::failure("i\"}", &exception, NOW).to_json();
        let document = Object::read(document.as_bytes()).unwrap();
        let result = r#"{"exc_type": "k\\", "exc_message": ["a\nb"], "exc_module": "m\""}"#;
        assert_eq!(document.get("result"), Some(result));
        assert_eq!(document.get("traceback"), Some(r#""t\"""#));
        assert_eq!(document.get("task_id"), Some(r#""i\"}""#));
    }

    #[test]
    fn a_stamp_that_is_not_named_is_left_out() {
        let headers = r#"{"task": "t", "id": "i", "stamps": {"a": 1, "b": [2]}, "stamped_headers": ["b"]}"#;
        let envelope = Envelope {
            headers: Object::read(headers.as_bytes()).unwrap(),
            content_type: Some("application/json".to_owned()),
            body: "[[], {}, {}]".into(),
            ..Envelope::default()
        };
        let message = Message::read(&envelope).unwrap();
        let document = Document::success("i", b"1", NOW).unwrap();
        let document = document.extended(Extended { message: &message, worker: "w@h", queue: "q" }).to_json();
        let extended =
            r#""worker": "w@h", "retries": 0, "queue": "q", "stamped_headers": ["b"], "b": [2], "task_id""#;
        assert!(document.contains(extended), "{document}");
    }

    #[test]
    fn a_limit_is_written_as_a_number_of_json() {
        let args = |hard: f64| Exception::time_limit_exceeded(hard).to_json();
        for (hard, text) in [(2.0, "[2]"), (1.5, "[1.5]"), (f64::INFINITY, "[Infinity]")] {
            assert!(args(hard).contains(text), "{}", args(hard));
        }
    }

    #[test]
    fn the_ready_states_are_celerys() {
        use State::{Failure, Pending, Received, Rejected, Retry, Revoked, Started, Success};
        let all = [Pending, Received, Started, Success, Failure, Revoked, Rejected, Retry];
        let ready: Vec<_> = all.into_iter().filter(|state| state.is_ready()).map(State::as_str).collect();
        assert_eq!(ready, ["SUCCESS", "FAILURE", "REVOKED"]);
    }
}
