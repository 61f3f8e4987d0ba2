//! What a node says of its tasks.

use jiff::Timestamp;

use crate::envelope::DeliveryInfo;
use crate::event;
use crate::json::{Writer, array, quote};
use crate::message::Message;
use crate::{repr, time};

/// What `scheduled` says of every task's priority: the timer's, not the message's.
const SCHEDULED: u32 = 6;

/// The attributes that `registered` shows unless told otherwise.
const ITEMS: [&str; 3] = ["exchange", "routing_key", "rate_limit"];

/// A task that a node has.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskInfo<'a> {
    /// Its id.
    pub id: &'a str,
    /// The name that it is shown by.
    pub name: &'a str,
    /// Its positional arguments, the JSON text of an array.
    pub args: &'a str,
    /// Its keyword arguments, the JSON text of an object.
    pub kwargs: &'a str,
    /// Its positional arguments as its client printed them.
    pub argsrepr: Option<&'a str>,
    /// Its keyword arguments as its client printed them.
    pub kwargsrepr: Option<&'a str>,
    /// The name that it runs by.
    pub task: &'a str,
    /// The node.
    pub hostname: &'a str,
    /// When it started.
    pub time_start: Option<Timestamp>,
    /// Its message is gone from the broker.
    pub acknowledged: bool,
    /// The exchange that it came by; empty for a queue by its name.
    pub exchange: &'a str,
    /// The routing key that it came by.
    pub routing_key: &'a str,
    /// The message's priority.
    pub priority: Option<u8>,
    /// It was delivered before, and given back.
    pub redelivered: bool,
    /// The process that runs it.
    pub worker_pid: Option<u32>,
}

impl<'a> TaskInfo<'a> {
    /// Of a task that has not started.
    pub fn of(message: &'a Message, delivery: &'a DeliveryInfo, hostname: &'a str) -> Self {
        Self {
            id: &message.id,
            name: message.shadow.as_deref().unwrap_or(&message.task),
            args: message.args(),
            kwargs: message.kwargs(),
            argsrepr: message.argsrepr.as_deref(),
            kwargsrepr: message.kwargsrepr.as_deref(),
            task: &message.task,
            hostname,
            time_start: None,
            acknowledged: false,
            exchange: delivery.exchange.as_deref().unwrap_or_default(),
            routing_key: delivery.routing_key.as_deref().unwrap_or_default(),
            priority: message.priority,
            redelivered: message.redelivered,
            worker_pid: None,
        }
    }

    /// The text. With `safe` the arguments are texts for people.
    pub fn to_json(&self, safe: bool) -> String {
        let mut out = Writer::new();
        out.text("id", self.id).text("name", self.name);
        if safe {
            let args = self.argsrepr.map_or_else(|| repr::tuple(self.args), str::to_owned);
            let kwargs = self.kwargsrepr.map_or_else(|| repr::safe(self.kwargs), str::to_owned);
            out.text("args", &args).text("kwargs", &kwargs);
        } else {
            out.raw("args", self.args).raw("kwargs", self.kwargs);
        }
        out.text("type", self.task).text("hostname", self.hostname);
        match self.time_start {
            Some(time_start) => out.float("time_start", event::unix(time_start)),
            None => out.raw("time_start", "null"),
        };
        out.bool("acknowledged", self.acknowledged);
        let mut delivery = Writer::new();
        delivery.text("exchange", self.exchange).text("routing_key", self.routing_key);
        match self.priority {
            Some(priority) => delivery.integer("priority", priority),
            None => delivery.raw("priority", "null"),
        };
        out.raw("delivery_info", &delivery.bool("redelivered", self.redelivered).end());
        match self.worker_pid {
            Some(pid) => out.integer("worker_pid", pid),
            None => out.raw("worker_pid", "null"),
        };
        out.end()
    }
}

/// A task that waits for its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduled<'a> {
    /// When it may run.
    pub eta: Timestamp,
    /// The task.
    pub request: TaskInfo<'a>,
}

impl Scheduled<'_> {
    /// The text.
    pub fn to_json(&self) -> String {
        let mut out = Writer::new();
        out.text("eta", &time::print(self.eta)).integer("priority", SCHEDULED);
        out.raw("request", &self.request.to_json(false)).end()
    }
}

/// What a node has of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It runs.
    Active,
    /// It waits for a free slot.
    Reserved,
    /// It waits for its time. Celery before 5.7 says `ready`.
    Scheduled,
    /// It has ended, or not been looked at.
    Ready,
}

impl Known {
    /// Celery's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reserved => "reserved",
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
        }
    }
}

/// What `query_task` says of the tasks that are known.
pub fn query_task<'a>(tasks: impl IntoIterator<Item = (Known, TaskInfo<'a>)>) -> String {
    let tasks = tasks.into_iter().map(|(known, task)| {
        format!("{}: {}", quote(task.id), array([quote(known.as_str()), task.to_json(false)]))
    });
    format!("{{{}}}", tasks.collect::<Vec<_>>().join(", "))
}

/// What `registered` says of a task: its name, and those of its attributes that were asked for and are set.
pub fn registered(task: &str, items: &[String], attribute: impl Fn(&str) -> Option<String>) -> String {
    let shown = |item: &str| attribute(item).map(|value| format!("{item}={value}"));
    let shown: Vec<_> = if items.is_empty() {
        ITEMS.iter().filter_map(|item| shown(item)).collect()
    } else {
        items.iter().filter_map(|item| shown(item)).collect()
    };
    if shown.is_empty() { task.to_owned() } else { format!("{task} [{}]", shown.join(" ")) }
}
