//! Commands, typed.

use super::arguments::{Arguments, Parameters};
use super::{Answer, RateLimit, Signal, StampedHeaders};
use crate::json::Object;
use crate::revoked;

/// How many ids a command may name: as many as are remembered.
pub const MAX_IDS: usize = revoked::MAX_IDS;

/// The longest id, in bytes, that is remembered.
pub const MAX_ID_LENGTH: usize = 1024;

/// What a node is asked to say or to do. The first ones only ask (`celery inspect`), the others act (`celery control`).
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `ping`: [`Answer::pong`].
    Ping,
    /// `active`: [`super::TaskInfo`]s of the tasks that run.
    Active {
        /// Arguments as texts for people.
        safe: bool,
    },
    /// `reserved`: those of the tasks that were taken and do not run.
    Reserved,
    /// `scheduled`: [`super::Scheduled`] tasks.
    Scheduled,
    /// `revoked`: the ids that are revoked.
    Revoked,
    /// `registered`: [`super::registered`].
    Registered {
        /// The attributes to show; empty for exchange, routing key and rate limit.
        items: Vec<String>,
        /// Celery's own tasks, too.
        builtins: bool,
    },
    /// `active_queues`: [`super::ActiveQueue`]s.
    ActiveQueues,
    /// `stats`: [`super::Stats`].
    Stats,
    /// `conf`: [`super::Settings`].
    Conf {
        /// Those that nobody has set, too.
        with_defaults: bool,
    },
    /// `clock`: [`Answer::clock`].
    Clock,
    /// `report`: [`super::Report`].
    Report,
    /// `query_task`: [`super::query_task`].
    QueryTask {
        /// The tasks.
        ids: Vec<String>,
    },
    /// `memsample`: a text such as `60MB`, or null.
    MemSample,
    /// `memdump`: a text about the samples before.
    MemDump,
    /// `objgraph`: [`Answer::no_objgraph`].
    ObjGraph,
    /// `hello`: [`Answer::hello`]; null when it comes from the node itself.
    Hello {
        /// Who asks.
        from_node: String,
        /// The ids that are revoked there, to be remembered here.
        revoked: Vec<String>,
    },
    /// `revoke`, `terminate`.
    Revoke {
        /// The tasks; may be none.
        ids: Vec<String>,
        /// End those that run, by this signal.
        terminate: Option<Signal>,
    },
    /// `revoke_by_stamped_headers`.
    RevokeByStampedHeaders {
        /// The stamps.
        headers: StampedHeaders,
        /// End the tasks that run, by this signal.
        terminate: Option<Signal>,
    },
    /// `rate_limit`.
    RateLimit {
        /// The task.
        task: String,
        /// Its new limit.
        limit: RateLimit,
    },
    /// `time_limit`: [`Answer::unknown_task`] when there is no such task.
    TimeLimit {
        /// The task.
        task: Option<String>,
        /// Seconds after which it is asked to end; `None` for no limit.
        soft: Option<f64>,
        /// Seconds after which it is killed; `None` for no limit.
        hard: Option<f64>,
    },
    /// `add_consumer`.
    AddConsumer(AddConsumer),
    /// `cancel_consumer`.
    CancelConsumer {
        /// The queue.
        queue: String,
    },
    /// `pool_grow`.
    PoolGrow {
        /// By how many.
        n: u32,
    },
    /// `pool_shrink`.
    PoolShrink {
        /// By how many.
        n: u32,
    },
    /// `autoscale`.
    Autoscale {
        /// The new upper limit; `None` leaves it.
        max: Option<u32>,
        /// The new lower limit; `None` leaves it.
        min: Option<u32>,
    },
    /// `pool_restart`.
    PoolRestart {
        /// Load the code again.
        reload: bool,
    },
    /// `enable_events`: [`Answer::task_events`].
    EnableEvents,
    /// `disable_events`: [`Answer::task_events`].
    DisableEvents,
    /// `heartbeat`: null, and [`crate::event::Event::WorkerHeartbeatAskedFor`].
    Heartbeat,
    /// `election`: null.
    Election {
        /// The election.
        id: String,
        /// What it is about.
        topic: String,
        /// What the winner is to do, as JSON text.
        action: String,
    },
    /// `shutdown`: a warm stop, without an answer.
    Shutdown {
        /// What to log.
        message: Option<String>,
    },
}

/// A queue that is to be consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddConsumer {
    /// Its name.
    pub queue: String,
    /// Its exchange, of the queue's name when absent.
    pub exchange: Option<String>,
    /// `direct` unless said otherwise.
    pub exchange_type: String,
    /// Its routing key, the queue's name when absent.
    pub routing_key: Option<String>,
    /// Other options of kombu's `Queue`.
    pub options: Object,
}

macro_rules! parameters {
    ($function:ident($($required:ident),*; $($optional:ident),*; $open:expr)) => {
        Parameters {
            function: stringify!($function),
            required: &[$(stringify!($required)),*],
            optional: &[$(stringify!($optional)),*],
            open: $open,
        }
    };
}

/// The parameters of a command by its name, or by its name of old.
fn parameters(method: &str) -> Option<Parameters> {
    Some(match method {
        "ping" => parameters!(ping(;; true)),
        "active" | "dump_active" => parameters!(active(; safe; true)),
        "reserved" | "dump_reserved" => parameters!(reserved(;; true)),
        "scheduled" | "dump_schedule" => parameters!(scheduled(;; true)),
        "revoked" | "dump_revoked" => parameters!(revoked(;; true)),
        "registered" | "dump_tasks" => parameters!(registered(; taskinfoitems, builtins; true)),
        "active_queues" => parameters!(active_queues(;; false)),
        "stats" => parameters!(stats(;; true)),
        "conf" | "dump_conf" => parameters!(conf(; with_defaults; true)),
        "clock" => parameters!(clock(;; true)),
        "report" => parameters!(report(;; false)),
        "query_task" => parameters!(query_task(ids;; true)),
        "memsample" => parameters!(memsample(;; true)),
        "memdump" => parameters!(memdump(; samples; true)),
        "objgraph" => parameters!(objgraph(; num, max_depth, type; false)),
        "hello" => parameters!(hello(from_node; revoked; true)),
        "revoke" => parameters!(revoke(task_id; terminate, signal; true)),
        "terminate" => parameters!(terminate(signal, task_id;; true)),
        "revoke_by_stamped_headers" => {
            parameters!(revoke_by_stamped_headers(headers; terminate, signal; true))
        }
        "rate_limit" => parameters!(rate_limit(task_name, rate_limit;; true)),
        "time_limit" => parameters!(time_limit(; task_name, hard, soft; true)),
        "add_consumer" => parameters!(add_consumer(queue; exchange, exchange_type, routing_key; true)),
        "cancel_consumer" => parameters!(cancel_consumer(queue;; true)),
        "pool_grow" => parameters!(pool_grow(; n; true)),
        "pool_shrink" => parameters!(pool_shrink(; n; true)),
        "autoscale" => parameters!(autoscale(; max, min; false)),
        "pool_restart" => parameters!(pool_restart(; modules, reload, reloader; true)),
        "enable_events" => parameters!(enable_events(;; false)),
        "disable_events" => parameters!(disable_events(;; false)),
        "heartbeat" => parameters!(heartbeat(;; false)),
        "election" => parameters!(election(id, topic; action; true)),
        "shutdown" => parameters!(shutdown(; msg; true)),
        _ => return None,
    })
}

impl Command {
    /// Reads a request's method and arguments. What cannot be read is answered at once.
    pub fn read(method: &str, arguments: &Object) -> Result<Self, Answer> {
        let parameters = parameters(method).ok_or_else(|| Answer::unknown_command(method))?;
        let given = Arguments::check(parameters, arguments)?;
        Ok(match parameters.function {
            "ping" => Self::Ping,
            "active" => Self::Active { safe: given.flag("safe") },
            "reserved" => Self::Reserved,
            "scheduled" => Self::Scheduled,
            "revoked" => Self::Revoked,
            "registered" => {
                let mut items = given.texts("taskinfoitems")?;
                items.retain(|item| !item.starts_with('_'));
                Self::Registered { items, builtins: given.flag("builtins") }
            }
            "active_queues" => Self::ActiveQueues,
            "stats" => Self::Stats,
            "conf" => Self::Conf { with_defaults: given.flag("with_defaults") },
            "clock" => Self::Clock,
            "report" => Self::Report,
            "query_task" => Self::QueryTask { ids: ids(&given, "ids")? },
            "memsample" => Self::MemSample,
            "memdump" => Self::MemDump,
            "objgraph" => Self::ObjGraph,
            "hello" => {
                let revoked = given.given("revoked").map(revoked::ids_of).unwrap_or_default();
                Self::Hello { from_node: given.text("from_node")?, revoked }
            }
            "revoke" => Self::Revoke { ids: ids(&given, "task_id")?, terminate: terminate(&given)? },
            "terminate" => {
                Self::Revoke { ids: ids(&given, "task_id")?, terminate: Some(Signal::read(&given)?) }
            }
            "revoke_by_stamped_headers" => Self::RevokeByStampedHeaders {
                headers: StampedHeaders::read(&given)?,
                terminate: terminate(&given)?,
            },
            "rate_limit" => {
                let limit = arguments.get("rate_limit").unwrap_or("null");
                let limit = RateLimit::read(limit).map_err(|invalid| invalid.answer())?;
                Self::RateLimit { task: given.text("task_name")?, limit }
            }
            "time_limit" => Self::TimeLimit {
                task: given.maybe_text("task_name")?,
                soft: given.seconds("soft")?,
                hard: given.seconds("hard")?,
            },
            "add_consumer" => Self::AddConsumer(AddConsumer::read(&given)?),
            "cancel_consumer" => Self::CancelConsumer { queue: given.text("queue")? },
            "pool_grow" => Self::PoolGrow { n: given.count("n")?.unwrap_or(1) },
            "pool_shrink" => Self::PoolShrink { n: given.count("n")?.unwrap_or(1) },
            "autoscale" => Self::Autoscale { max: given.count("max")?, min: given.count("min")? },
            "pool_restart" => Self::PoolRestart { reload: given.flag("reload") },
            "enable_events" => Self::EnableEvents,
            "disable_events" => Self::DisableEvents,
            "heartbeat" => Self::Heartbeat,
            "election" => Self::Election {
                id: given.text("id")?,
                topic: given.text("topic")?,
                action: given.given("action").unwrap_or("null").to_owned(),
            },
            "shutdown" => Self::Shutdown { message: given.maybe_text("msg")? },
            _ => return Err(Answer::unknown_command(method)),
        })
    }
}

fn terminate(given: &Arguments<'_>) -> Result<Option<Signal>, Answer> {
    given.flag("terminate").then(|| Signal::read(given)).transpose()
}

/// Ids, each once.
fn ids(given: &Arguments<'_>, name: &str) -> Result<Vec<String>, Answer> {
    let mut ids = given.texts(name)?;
    if ids.len() > MAX_IDS {
        return Err(given.wrong(name, &format!("a list of {MAX_IDS} ids at most")));
    }
    if ids.iter().any(|id| id.len() > MAX_ID_LENGTH) {
        return Err(given.wrong(name, &format!("ids of {MAX_ID_LENGTH} bytes at most")));
    }
    let mut seen = std::collections::HashSet::with_capacity(ids.len());
    ids.retain(|id| seen.insert(id.clone()));
    Ok(ids)
}

impl AddConsumer {
    fn read(given: &Arguments<'_>) -> Result<Self, Answer> {
        let exchange_type = given.maybe_text("exchange_type")?.filter(|kind| !kind.is_empty());
        Ok(Self {
            queue: given.text("queue")?,
            exchange: given.maybe_text("exchange")?,
            exchange_type: exchange_type.unwrap_or_else(|| "direct".to_owned()),
            routing_key: given.maybe_text("routing_key")?,
            options: given.others(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn read(method: &str, arguments: &str) -> Result<Command, Answer> {
        Command::read(method, &Object::read(arguments.as_bytes()).unwrap())
    }

    fn error(method: &str, arguments: &str) -> String {
        let answer = read(method, arguments).unwrap_err();
        let answer = Object::read(answer.as_str().as_bytes()).unwrap();
        json::string(answer.get("error").unwrap()).unwrap().into_owned()
    }

    #[test]
    fn arguments_of_other_types_are_named() {
        let said = [
            error("revoke", r#"{"task_id": 5}"#),
            error("revoke", r#"{"task_id": ["a", null]}"#),
            error("pool_grow", r#"{"n": "x"}"#),
            error("pool_shrink", r#"{"n": -1}"#),
            error("time_limit", r#"{"soft": "soon"}"#),
            error("cancel_consumer", r#"{"queue": null}"#),
            error("terminate", r#"{"task_id": "a", "signal": 900}"#),
            error("revoke_by_stamped_headers", r#"{"headers": 5}"#),
        ];
        let expected = [
            r#"TypeError("revoke() argument 'task_id' must be a text or a list of texts, not 5")"#,
            r#"TypeError("revoke() argument 'task_id' must be a text or a list of texts, not ['a', None]")"#,
            r#"TypeError("pool_grow() argument 'n' must be a whole number, 0 or above, not 'x'")"#,
            r#"TypeError("pool_shrink() argument 'n' must be a whole number, 0 or above, not -1")"#,
            r#"TypeError("time_limit() argument 'soft' must be a number of seconds, not 'soon'")"#,
            r#"TypeError("cancel_consumer() argument 'queue' must be a text, not None")"#,
            r#"TypeError("terminate() argument 'signal' must be a signal from 1 to 64, not 900")"#,
            r#"TypeError("revoke_by_stamped_headers() argument 'headers' must be an object of stamps or a list of name=value, not 5")"#,
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let ids = vec!["\"a\""; MAX_IDS + 1].join(", ");
        assert!(error("revoke", &format!("{{\"task_id\": [{ids}]}}")).contains("50000 ids at most"));
        let long = "a".repeat(MAX_ID_LENGTH + 1);
        assert!(
            error("query_task", &format!("{{\"ids\": \"{long}\"}}")).contains("ids of 1024 bytes at most")
        );
        let stamps = vec!["1"; revoked::MAX_STAMPS + 1].join(", ");
        let headers = format!("{{\"headers\": {{\"a\": [{stamps}]}}}}");
        assert!(error("revoke_by_stamped_headers", &headers).contains("stamps of 1024 bytes at most"));
    }

    #[test]
    fn truth_is_pythons() {
        let safe = |value: &str| read("active", &format!("{{\"safe\": {value}}}")).unwrap();
        for value in ["true", "1", "\"no\"", "[0]", "{\"a\": 1}", "0.5", "NaN"] {
            assert_eq!(safe(value), Command::Active { safe: true }, "{value}");
        }
        for value in ["false", "null", "0", "0.0", "\"\"", "[]", "{ }"] {
            assert_eq!(safe(value), Command::Active { safe: false }, "{value}");
        }
    }

    #[test]
    fn ids_are_counted_once_and_signals_have_numbers() {
        let revoke = |ids: &[&str], number| Command::Revoke {
            ids: ids.iter().map(ToString::to_string).collect(),
            terminate: Signal::by_number(number),
        };
        let read = |arguments| read("terminate", arguments).unwrap();
        assert_eq!(read(r#"{"task_id": ["a", "b", "a"], "signal": "KILL"}"#), revoke(&["a", "b"], 9));
        assert_eq!(read(r#"{"task_id": "a", "signal": "SIGUSR1"}"#), revoke(&["a"], 10));
        assert_eq!(read(r#"{"task_id": "a", "signal": 2}"#), revoke(&["a"], 2));
        assert_eq!(read(r#"{"task_id": null, "signal": null}"#), revoke(&[], 15));
    }

    #[test]
    fn several_missing_arguments_are_listed() {
        let what = error("terminate", "{}");
        assert_eq!(
            what,
            r#"TypeError("terminate() missing 2 required positional arguments: 'signal' and 'task_id'")"#
        );
    }

    #[test]
    fn a_consumer_keeps_its_other_options() {
        let arguments = r#"{"queue": "a", "exchange_type": "", "exchange": null, "durable": false}"#;
        let Command::AddConsumer(consumer) = read("add_consumer", arguments).unwrap() else { panic!() };
        assert_eq!(consumer.exchange_type, "direct");
        assert_eq!((consumer.exchange, consumer.options.as_str()), (None, "{\"durable\": false}"));
    }
}
