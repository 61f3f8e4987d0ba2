//! A message from a signature that is called: protocol 2, field by field.

use jiff::{SignedDuration, Timestamp};

use super::options::{
    CHAIN, CHORD, COUNTDOWN, ETA, GROUP_ID, GROUP_INDEX, LINK, LINK_ERROR, MAX_OPTIONS, Options, PARENT_ID,
    PRIORITY, REPLY_TO, ROOT_ID, STAMPED_HEADERS, TASK_ID,
};
use super::plan::Parent;
use super::replace::NESTING;
use super::signature::Signature;
use super::{CanvasError, Outgoing, Sender, Target};
use crate::envelope::{DeliveryInfo, Envelope, Properties};
use crate::json::{self, Object, quote, string};
use crate::{repr, time};

/// Options that become headers, parts of the body or known properties, or that are for the sender alone: all others
/// stand among the message's properties, where Celery leaves what it does not know.
const KNOWN: [&str; 38] = [
    TASK_ID,
    GROUP_ID,
    GROUP_INDEX,
    CHORD,
    CHAIN,
    LINK,
    LINK_ERROR,
    ROOT_ID,
    PARENT_ID,
    REPLY_TO,
    COUNTDOWN,
    ETA,
    PRIORITY,
    STAMPED_HEADERS,
    "expires",
    "retries",
    "shadow",
    "time_limit",
    "soft_time_limit",
    "ignore_result",
    NESTING,
    "headers",
    "queue",
    "exchange",
    "routing_key",
    "exchange_type",
    "route_name",
    "delivery_mode",
    "serializer",
    "compression",
    "retry",
    "retry_policy",
    "declare",
    "timeout",
    "confirm_timeout",
    "mandatory",
    "immediate",
    "expiration",
];

impl Outgoing {
    /// The message of a signature, whose options are those of the call already.
    pub(super) fn of(
        signature: Signature,
        id: String,
        delivery_tag: String,
        parent: &Parent<'_>,
        sender: &Sender<'_>,
    ) -> Result<Self, CanvasError> {
        let Signature { task, args, kwargs, options, copied, .. } = signature;
        let to = target(&task, &options, sender);
        let expires = expires(&options, sender.now)?;
        let stamps: Vec<String> =
            options.list(STAMPED_HEADERS).into_iter().filter_map(string).map(Into::into).collect();

        let mut headers = Object::default();
        headers.push("lang", "\"py\"");
        headers.push("task", &quote(&task));
        headers.push("id", &quote(&id));
        headers.push("shadow", options.given("shadow").unwrap_or("null"));
        headers.push("eta", &or_null(eta(&options, sender.now)?.as_deref()));
        headers.push("expires", &or_null(expires.as_ref().map(|expires| &*expires.text)));
        headers.push("group", options.given(GROUP_ID).unwrap_or("null"));
        headers.push("group_index", options.given(GROUP_INDEX).unwrap_or("null"));
        headers.push("retries", options.given("retries").unwrap_or("0"));
        let limit = |name| options.given(name).unwrap_or("null");
        headers.push("timelimit", &json::array([limit("time_limit"), limit("soft_time_limit")]));
        headers.push("root_id", &quote(&options.text(ROOT_ID).unwrap_or_else(|| parent.root.to_owned())));
        headers.push("parent_id", &quote(&options.text(PARENT_ID).unwrap_or_else(|| parent.id.to_owned())));
        // Celery has a tuple where it has made new arguments, and where there are none.
        let argsrepr = if copied || &*args == "[]" { repr::tuple(&args) } else { repr::safe(&args) };
        headers.push("argsrepr", &quote(&options.text("argsrepr").unwrap_or(argsrepr)));
        let kwargsrepr = options.text("kwargsrepr").unwrap_or_else(|| repr::safe(&kwargs));
        headers.push("kwargsrepr", &quote(&kwargsrepr));
        headers.push("origin", &quote(&options.text("origin").unwrap_or_else(|| sender.origin.to_owned())));
        headers.push("ignore_result", options.given("ignore_result").unwrap_or("null"));
        headers.push("replaced_task_nesting", options.given(NESTING).unwrap_or("0"));
        headers.push("stamped_headers", options.given(STAMPED_HEADERS).unwrap_or("null"));
        let mut stamped = Object::default();
        for stamp in &stamps {
            stamped.push(stamp, options.get(stamp).unwrap_or("null"));
        }
        headers.push("stamps", stamped.as_str());
        let own = options.given("headers").and_then(Object::of).unwrap_or_default();
        let own = own.members();
        if own.len() > MAX_OPTIONS {
            return Err(CanvasError::TooManyOptions);
        }
        for (name, value) in own {
            // A value of a valid object is valid.
            let _ = headers.set(&name, value.as_bytes());
        }

        let list = |name| match options.list(name) {
            list if list.is_empty() => "null".to_owned(),
            list => json::array(list),
        };
        let body = format!(
            "[{args}, {kwargs}, {{\"callbacks\": {}, \"errbacks\": {}, \"chain\": {}, \"chord\": {}}}]",
            list(LINK),
            list(LINK_ERROR),
            options.given(CHAIN).unwrap_or("null"),
            options.given(CHORD).unwrap_or("null"),
        );

        let (exchange, routing_key) = match &to {
            Target::Queue(queue) => (String::new(), queue.clone()),
            Target::Exchange { exchange, routing_key } => (exchange.clone(), routing_key.clone()),
        };
        let reply_to = options.text(REPLY_TO).or_else(|| parent.reply_to.map(str::to_owned));
        let properties = Properties {
            correlation_id: Some(id.clone()),
            reply_to: Some(reply_to.unwrap_or_default()),
            other: unknown(&options, &stamps),
            delivery_mode: options.given("delivery_mode").and_then(|mode| mode.parse().ok()).or(Some(2)),
            expiration: expires.map(|expires| expires.milliseconds.to_string()),
            delivery_info: DeliveryInfo {
                exchange: Some(exchange),
                routing_key: Some(routing_key),
                ..DeliveryInfo::default()
            },
            priority: options.given(PRIORITY).and_then(|priority| priority.parse().ok()).or(Some(0)),
            delivery_tag: Some(delivery_tag),
        };
        let envelope = Envelope {
            headers,
            properties,
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            body: body.into(),
        };
        Ok(Self { to, task, id, envelope })
    }
}

/// Where a message goes. An exchange counts with its routing key only, as in Celery; a routing key by itself does not.
fn target(task: &str, options: &Options, sender: &Sender<'_>) -> Target {
    if let (Some(exchange), Some(routing_key)) = (options.text("exchange"), options.text("routing_key")) {
        return Target::Exchange { exchange, routing_key };
    }
    match options.text("queue") {
        Some(queue) => Target::Queue(queue),
        None => (sender.route)(&options.text("route_name").unwrap_or_else(|| task.to_owned())),
    }
}

fn unknown(options: &Options, stamps: &[String]) -> Object {
    let mut other = Object::default();
    for (name, value) in options.iter() {
        if !KNOWN.contains(&name) && !stamps.iter().any(|stamp| stamp == name) {
            other.push(name, value);
        }
    }
    other
}

fn or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), quote)
}

/// A countdown counts before a time.
fn eta(options: &Options, now: Timestamp) -> Result<Option<String>, CanvasError> {
    match options.given(COUNTDOWN).filter(|countdown| countdown.parse() != Ok(0.0)) {
        Some(countdown) => Ok(Some(time::print(after(countdown, now)?))),
        None => Ok(options.given(ETA).and_then(instant)),
    }
}

/// When a message expires.
struct Expires {
    text: String,
    milliseconds: i64,
}

fn expires(options: &Options, now: Timestamp) -> Result<Option<Expires>, CanvasError> {
    let Some(expires) = options.given("expires") else { return Ok(None) };
    let Some(text) = instant(expires) else {
        let at = after(expires, now)?;
        let milliseconds = at.duration_since(now).as_millis();
        return Ok(Some(Expires {
            text: time::print(at),
            milliseconds: milliseconds.try_into().unwrap_or(0),
        }));
    };
    let at = time::parse(&text)
        .map_err(|_| CanvasError::Shape { what: "a signature's `expires`", expected: "a time or seconds" })?;
    let milliseconds = at.duration_since(now).as_millis().max(0);
    Ok(Some(Expires { text, milliseconds: milliseconds.try_into().unwrap_or(i64::MAX) }))
}

/// The text of a time: a string, or what kombu makes of a `datetime`.
fn instant(value: &str) -> Option<String> {
    if let Some(text) = string(value) {
        return Some(text.into_owned()).filter(|text| !text.is_empty());
    }
    let typed = Object::of(value)?;
    string(typed.get("__value__")?).map(Into::into)
}

/// So many seconds later.
fn after(seconds: &str, now: Timestamp) -> Result<Timestamp, CanvasError> {
    let wrong =
        CanvasError::Shape { what: "a signature's `countdown` or `expires`", expected: "a time or seconds" };
    let seconds: f64 = seconds.parse().map_err(|_| wrong.clone())?;
    let seconds = SignedDuration::try_from_secs_f64(seconds).map_err(|_| wrong.clone())?;
    now.checked_add(seconds).map_err(|_| wrong)
}
