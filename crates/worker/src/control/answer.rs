//! What is answered to a command, and what is to be done for it. Pure.
//!
//! What is changed here (limits, queues, concurrency) lasts until the worker ends, as with Celery. The next one does as its
//! resource says.

use petiole_protocol::control::{
    ActiveQueue, AddConsumer, Answer, Broker, Command, Known, Pool, RateLimit, Report, Scheduled,
    StampedHeaders, Stats, query_task, registered,
};
use petiole_protocol::json::quote;
use petiole_protocol::revoked::{Revoked, RevokedBy};

use super::view::View;
use crate::run::Attempt;
use crate::run::held::Held;
use crate::work::Limits;

/// Something that is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// These tasks are revoked, for all workers.
    Revoke(Vec<String>),
    /// Tasks with one of these stamps are revoked, for all workers.
    RevokeStamps(Vec<(String, Vec<String>)>),
    /// Another worker says that these are revoked.
    Merge(Vec<String>),
    /// These attempts are ended by this signal.
    Terminate(Vec<Attempt>, i32),
    /// Attempts of this task that start from now on have these limits.
    Limit(String, Limits),
    /// Attempts of this task start so often from now on.
    Rate(String, RateLimit),
    /// Messages are taken from this queue too.
    Consume(AddConsumer),
    /// Nothing more is taken from this queue.
    Cancel(String),
    /// So many tasks run at a time from now on.
    Resize(u32),
    /// Events of tasks are turned on or off.
    TaskEvents(bool),
    /// A heartbeat is sent at once.
    Heartbeat,
    /// The worker stops, once what runs has ended.
    Shutdown(Option<String>),
}

/// The kind of exchange that feeds queues.
const DIRECT: &str = "direct";

/// The most tasks that run at a time: what `spec.concurrency` may say.
const MOST_CONCURRENT: u32 = 1000;

/// Whether [`View::parked`] is looked at.
pub fn asks_for_parked(command: &Command) -> bool {
    matches!(command, Command::Scheduled | Command::QueryTask { .. })
}

/// What is answered, and what is to be done. A command without an answer has none even where one is wanted.
pub fn answer(command: &Command, view: &View<'_>) -> (Option<Answer>, Vec<Act>) {
    let done = match command {
        Command::Revoke { .. } | Command::RevokeByStampedHeaders { .. } | Command::Hello { .. } => {
            revocation(command, view)
        }
        Command::TimeLimit { task: Some(task), soft, hard } if view.knows(task) => {
            let limits = Limits { soft: *soft, hard: *hard };
            (Answer::time_limits(), vec![Act::Limit(task.clone(), limits)])
        }
        Command::RateLimit { task, limit } if view.knows(task) => {
            (Answer::rate_limit(limit), vec![Act::Rate(task.clone(), limit.clone())])
        }
        Command::AddConsumer(add) if add.exchange_type == DIRECT && !add.queue.is_empty() => {
            (Answer::consumer_added(&add.queue), vec![Act::Consume(add.clone())])
        }
        Command::CancelConsumer { queue } => {
            let act = view.facts.consumes(queue).then(|| Act::Cancel(queue.clone()));
            (Answer::consumer_cancelled(queue), act.into_iter().collect())
        }
        Command::PoolGrow { n } => grow(*n, view),
        Command::PoolShrink { n } => shrink(*n, view),
        Command::EnableEvents => (Answer::task_events(true, !view.task_events), vec![Act::TaskEvents(true)]),
        Command::DisableEvents => {
            (Answer::task_events(false, view.task_events), vec![Act::TaskEvents(false)])
        }
        Command::Heartbeat => (Answer::null(), vec![Act::Heartbeat]),
        Command::Shutdown { message } => return (None, vec![Act::Shutdown(message.clone())]),
        asked => (said(asked, view), Vec::new()),
    };
    (Some(done.0), done.1)
}

/// Answers that change nothing.
fn said(command: &Command, view: &View<'_>) -> Answer {
    match command {
        Command::Ping => Answer::pong(),
        Command::Active { safe } => {
            let active = view.held.iter().filter(|held| held.running.is_some());
            list(active.map(|held| view.held(held).to_json(*safe)))
        }
        Command::Reserved => {
            let reserved = view.held.iter().filter(|held| held.running.is_none());
            list(reserved.map(|held| view.held(held).to_json(false)))
        }
        Command::Scheduled => list(
            view.parked
                .iter()
                .map(|due| Scheduled { eta: due.due, request: view.info(&due.message, due.queue) }.to_json()),
        ),
        Command::Revoked => Answer::texts(view.revoked.ids(view.now)),
        Command::Registered { items, .. } => tasks(items, view),
        Command::ActiveQueues => {
            list(view.facts.consumed().map(|queue| ActiveQueue::direct(queue).to_json()))
        }
        Command::Stats => Answer::json(stats(view)),
        Command::Conf { .. } => view.facts.settings.answer(),
        Command::Clock => Answer::clock(view.clock),
        Command::Report => report(view),
        Command::QueryTask { ids } => query(ids, view),
        Command::MemSample => match &view.rusage {
            Some(usage) => Answer::json(quote(&format!("{}MB", usage.maxrss / 1024))),
            None => Answer::null(),
        },
        Command::ObjGraph => Answer::no_objgraph(),
        Command::AddConsumer(add) if add.queue.is_empty() => {
            Answer::not_here("a queue has a name: say which")
        }
        Command::AddConsumer(add) => Answer::not_here(&format!(
            "queues are bound to direct exchanges here, not to {}: leave exchange_type out",
            add.exchange_type
        )),
        Command::Autoscale { .. } => Answer::not_autoscaled(),
        Command::PoolRestart { .. } => Answer::pool_restarts_off(),
        Command::TimeLimit { .. } | Command::RateLimit { .. } => Answer::unknown_task(),
        // `memdump` without a sample and `election` say nothing in Celery either.
        _ => Answer::null(),
    }
}

/// Commands about what is revoked.
fn revocation(command: &Command, view: &View<'_>) -> (Answer, Vec<Act>) {
    match command {
        Command::Revoke { ids, terminate } => {
            let mut acts = vec![Act::Revoke(ids.clone())];
            let Some(signal) = terminate else {
                return (Answer::revoked(ids.iter().map(String::as_str)), acts);
            };
            let known = view.held.iter().filter(|held| ids.contains(&held.work.message.id));
            let known: Vec<_> = known.collect();
            acts.push(Act::Terminate(known.iter().map(|held| held.attempt).collect(), signal.number()));
            (Answer::terminated(known.iter().map(|held| &*held.work.message.id)), acts)
        }
        Command::RevokeByStampedHeaders { headers, terminate } => {
            let mut acts = vec![Act::RevokeStamps(headers.stamps().to_vec())];
            let Some(signal) = terminate else {
                return (Answer::revoked_by_stamps(headers), acts);
            };
            let (attempts, ended) = stamped(headers, view);
            acts.push(Act::Terminate(attempts, signal.number()));
            (Answer::terminated_by_stamps(headers, &ended), acts)
        }
        // A node hears itself.
        Command::Hello { from_node, .. } if *from_node == view.facts.nodename => (Answer::null(), Vec::new()),
        Command::Hello { revoked, .. } => {
            let acts = if revoked.is_empty() { Vec::new() } else { vec![Act::Merge(revoked.clone())] };
            (Answer::hello(view.revoked.ids(view.now), view.clock), acts)
        }
        _ => (Answer::null(), Vec::new()),
    }
}

/// The attempts that run and have one of these stamps, and which stamps those are.
fn stamped(headers: &StampedHeaders, view: &View<'_>) -> (Vec<Attempt>, Vec<(String, Vec<String>)>) {
    let mut these = Revoked::default();
    these.revoke_stamps(headers.stamps(), view.now);
    let (mut attempts, mut ended) = (Vec::new(), Vec::<(String, Vec<String>)>::new());
    for Held { attempt, work, .. } in view.held.iter().filter(|held| held.running.is_some()) {
        let Some(RevokedBy::Stamp { name, stamp }) = these.is_revoked(&work.message, view.now) else {
            continue;
        };
        attempts.push(*attempt);
        match ended.iter_mut().find(|(ended, _)| *ended == name) {
            Some((_, stamps)) if stamps.contains(&stamp) => {}
            Some((_, stamps)) => stamps.push(stamp),
            None => ended.push((name, vec![stamp])),
        }
    }
    (attempts, ended)
}

fn grow(n: u32, view: &View<'_>) -> (Answer, Vec<Act>) {
    match view.facts.concurrency.checked_add(n) {
        Some(size) if size <= MOST_CONCURRENT => (Answer::pool_grows(), vec![Act::Resize(size)]),
        _ => {
            let most =
                format!("a worker runs at most {MOST_CONCURRENT} tasks at a time: raise spec.replicas");
            (Answer::raised("ValueError", &most), Vec::new())
        }
    }
}

/// Celery ends as many processes as are idle, and raises when those are too few; here it is all or nothing.
fn shrink(n: u32, view: &View<'_>) -> (Answer, Vec<Act>) {
    let running = view.held.iter().filter(|held| held.running.is_some()).count();
    match view.facts.concurrency.checked_sub(n) {
        Some(size) if size >= 1 && size as usize >= running => {
            (Answer::pool_shrinks(), vec![Act::Resize(size)])
        }
        Some(1..) => (Answer::pool_cannot_shrink(), Vec::new()),
        _ => {
            let least =
                "a worker runs at least one task at a time: lower spec.replicas, or cancel its consumers";
            (Answer::raised("ValueError", least), Vec::new())
        }
    }
}

fn list(items: impl Iterator<Item = String>) -> Answer {
    Answer::json(format!("[{}]", items.collect::<Vec<_>>().join(", ")))
}

fn tasks(items: &[String], view: &View<'_>) -> Answer {
    let mut names: Vec<_> = view.names().collect();
    names.sort_unstable();
    names.dedup();
    let shown = names.into_iter().map(|name| {
        let task = view.facts.tasks.get(name);
        let python = |flag: bool| if flag { "True" } else { "False" }.to_owned();
        registered(name, items, |item| match item {
            "name" => Some(name.to_owned()),
            "serializer" => Some("json".to_owned()),
            "acks_late" => Some(python(!task?.acks_early)),
            "ignore_result" => Some(python(task?.ignore_result)),
            "track_started" => Some(python(task?.track_started)),
            "rate_limit" => view.rates.get(name).map(|limit| limit.as_str().to_owned()),
            "time_limit" => task?.limits.hard.map(|limit| limit.to_string()),
            "soft_time_limit" => task?.limits.soft.map(|limit| limit.to_string()),
            _ => None,
        })
    });
    let shown: Vec<_> = shown.collect();
    Answer::texts(shown.iter().map(String::as_str))
}

fn query(ids: &[String], view: &View<'_>) -> Answer {
    let held = view.held.iter().filter(|held| ids.contains(&held.work.message.id)).map(|held| {
        let known = if held.running.is_some() { Known::Active } else { Known::Reserved };
        (known, view.held(held))
    });
    let parked = view.parked.iter().filter(|due| ids.contains(&due.message.id));
    let parked = parked.map(|due| (Known::Scheduled, view.info(&due.message, due.queue)));
    Answer::json(query_task(held.chain(parked)))
}

fn stats(view: &View<'_>) -> String {
    let facts = view.facts;
    let mut total = view.totals.clone();
    for held in view.held.iter().filter(|held| held.running.is_some()) {
        *total.entry(held.work.message.task.clone()).or_default() += 1;
    }
    let stats = Stats {
        total: total.iter().map(|(task, count)| (&**task, *count)).collect(),
        pid: std::process::id(),
        clock: view.clock,
        uptime: view.uptime.as_secs(),
        pool: Pool {
            implementation: facts.implementation,
            max_concurrency: facts.concurrency,
            processes: view.processes.clone(),
            max_tasks_per_child: None,
            timeouts: [facts.limits.soft.unwrap_or_default(), facts.limits.hard.unwrap_or_default()],
            writes: None,
        },
        autoscaler: None,
        broker: Broker {
            hostname: &facts.broker.hostname,
            userid: facts.broker.user.as_deref(),
            virtual_host: &facts.broker.database,
            port: facts.broker.port,
            ssl: facts.broker.ssl,
            transport: &facts.broker.transport,
            connect_timeout: 4,
            transport_options: &facts.broker.options,
            heartbeat: None,
        },
        prefetch_count: u64::try_from(view.held.len() + view.wants).unwrap_or(u64::MAX),
        rusage: view.rusage,
    };
    stats.to_json()
}

fn report(view: &View<'_>) -> Answer {
    let facts = view.facts;
    let report = Report {
        software: vec![("petiole", env!("CARGO_PKG_VERSION")), ("mode", facts.implementation)],
        platform: vec![("system", "Linux"), ("arch", std::env::consts::ARCH)],
        transport: &facts.broker.transport,
        results: &facts.results,
        settings: facts.settings.clone(),
    };
    report.answer()
}

#[cfg(test)]
mod tests;
