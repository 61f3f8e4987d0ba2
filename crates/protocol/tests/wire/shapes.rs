//! Answers of Celery's nodes, taken apart and put together by our types.

use petiole_protocol::control::{
    ActiveQueue, Answer, Autoscaler, Broker, Known, Pool, ResourceUsage, Scheduled, Stats, TaskInfo, Writes,
    query_task, registered,
};
use petiole_protocol::json::{self, Object};
use petiole_protocol::time;

use crate::wire::instant;

/// An object's members, as what they are.
struct Fields(Object);

impl Fields {
    fn read(json: &str) -> Self {
        Self(Object::read(json.as_bytes()).unwrap())
    }

    fn raw(&self, member: &str) -> &str {
        self.0.get(member).unwrap_or_else(|| panic!("no {member} in {}", self.0.as_str()))
    }

    fn object(&self, member: &str) -> Self {
        Self::read(self.raw(member))
    }

    fn text(&self, member: &str) -> String {
        json::string(self.raw(member)).unwrap().into_owned()
    }

    fn number<T: std::str::FromStr>(&self, member: &str) -> Option<T> {
        self.raw(member).parse().ok()
    }

    fn count<T: std::str::FromStr>(&self, member: &str) -> T {
        self.number(member).unwrap_or_else(|| panic!("{member} in {}", self.0.as_str()))
    }
}

/// A task's fields, to be lent to a [`TaskInfo`].
struct Task {
    fields: Fields,
    delivery: Fields,
    texts: [String; 8],
}

impl Task {
    fn read(json: &str) -> Self {
        let fields = Fields::read(json);
        let delivery = fields.object("delivery_info");
        let shown = |member| json::string(fields.raw(member)).unwrap_or_default().into_owned();
        let texts = [
            fields.text("id"),
            fields.text("name"),
            fields.text("type"),
            fields.text("hostname"),
            delivery.text("exchange"),
            delivery.text("routing_key"),
            shown("args"),
            shown("kwargs"),
        ];
        Self { fields, delivery, texts }
    }

    fn info(&self) -> TaskInfo<'_> {
        let [id, name, task, hostname, exchange, routing_key, args, kwargs] = &self.texts;
        TaskInfo {
            id,
            name,
            args: self.fields.raw("args"),
            kwargs: self.fields.raw("kwargs"),
            argsrepr: Some(args),
            kwargsrepr: Some(kwargs),
            task,
            hostname,
            time_start: self.fields.number("time_start").map(instant),
            acknowledged: self.fields.raw("acknowledged") == "true",
            exchange,
            routing_key,
            priority: self.delivery.number("priority"),
            redelivered: self.delivery.raw("redelivered") == "true",
            worker_pid: self.fields.number("worker_pid"),
        }
    }
}

fn array(elements: impl IntoIterator<Item = String>) -> Answer {
    Answer::json(format!("[{}]", elements.into_iter().collect::<Vec<_>>().join(", ")))
}

pub(crate) fn infos(theirs: &str, safe: bool) -> Answer {
    let tasks = json::elements(theirs.as_bytes()).unwrap();
    array(tasks.into_iter().map(|task| Task::read(task).info().to_json(safe)))
}

pub(crate) fn scheduled(theirs: &str) -> Answer {
    let tasks = json::elements(theirs.as_bytes()).unwrap();
    array(tasks.into_iter().map(|scheduled| {
        let fields = Fields::read(scheduled);
        let task = Task::read(fields.raw("request"));
        Scheduled { eta: time::parse(&fields.text("eta")).unwrap(), request: task.info() }.to_json()
    }))
}

pub(crate) fn queried(theirs: &Object) -> Answer {
    let tasks: Vec<_> = theirs
        .members()
        .into_iter()
        .map(|(_, found)| {
            let found = json::elements(found.as_bytes()).unwrap();
            let all = [Known::Active, Known::Reserved, Known::Scheduled, Known::Ready];
            let known = all.into_iter().find(|known| json::quote(known.as_str()) == found[0]).unwrap();
            (known, Task::read(found[1]))
        })
        .collect();
    Answer::json(query_task(tasks.iter().map(|(known, task)| (*known, task.info()))))
}

pub(crate) fn our_tasks(items: &[String], builtins: bool) -> Answer {
    let own = [
        "accumulate",
        "backend_cleanup",
        "chain",
        "chord",
        "chord_unlock",
        "chunks",
        "group",
        "map",
        "starmap",
    ];
    let own = own.into_iter().filter(|_| builtins).map(|name| format!("celery.{name}"));
    let names = own.chain(
        ["add", "echo", "fail", "flaky", "reject", "sleep"].map(|name| format!("control_tasks.{name}")),
    );
    let shown: Vec<_> = names
        .map(|name| {
            registered(&name, items, |item| match item {
                "rate_limit" => name.ends_with("echo").then(|| "100/s".to_owned()),
                "max_retries" => Some(if name.ends_with("flaky") { "1" } else { "3" }.to_owned()),
                _ => None,
            })
        })
        .collect();
    Answer::texts(shown.iter().map(String::as_str))
}

pub(crate) fn active_queues(theirs: &str) -> Answer {
    array(json::elements(theirs.as_bytes()).unwrap().into_iter().map(|queue| {
        let fields = Fields::read(queue);
        let exchange = fields.object("exchange");
        let (name, exchange, kind, key) =
            (fields.text("name"), exchange.text("name"), exchange.text("type"), fields.text("routing_key"));
        let arguments = Object::read(fields.raw("queue_arguments").as_bytes()).ok();
        let queue = ActiveQueue {
            name: &name,
            exchange: &exchange,
            exchange_type: &kind,
            routing_key: &key,
            arguments: arguments.as_ref(),
        };
        if arguments.is_none() {
            assert_eq!(queue, ActiveQueue::direct(&name));
        }
        queue.to_json()
    }))
}

pub(crate) fn stats(theirs: &Object) -> Answer {
    let fields = Fields(theirs.clone());
    let (total, pool, broker, usage) =
        (fields.object("total"), fields.object("pool"), fields.object("broker"), fields.object("rusage"));
    let (writes, limits) = (pool.object("writes"), theirs.get("autoscaler").map(Fields::read));
    let inqueues = writes.object("inqueues");
    let total = total.0.members();
    let [avg, all, raw, strategy] = ["avg", "all", "raw", "strategy"].map(|member| writes.text(member));
    let [hostname, virtual_host, transport] =
        ["hostname", "virtual_host", "transport"].map(|member| broker.text(member));
    let implementation = pool.text("implementation");
    let options = broker.object("transport_options").0;
    let count = |member| usage.count::<u64>(member);
    let stats = Stats {
        total: total.iter().map(|(task, count)| (&**task, count.parse().unwrap())).collect(),
        pid: fields.count("pid"),
        clock: fields.text("clock").parse().unwrap(),
        uptime: fields.count("uptime"),
        pool: Pool {
            implementation: &implementation,
            max_concurrency: pool.count("max-concurrency"),
            processes: json::elements(pool.raw("processes").as_bytes())
                .unwrap()
                .iter()
                .map(|pid| pid.parse().unwrap())
                .collect(),
            max_tasks_per_child: None,
            timeouts: [0.0, 0.0],
            writes: Some(Writes {
                total: writes.count("total"),
                avg: &avg,
                all: &all,
                raw: &raw,
                strategy: &strategy,
                inqueues: inqueues.count("total"),
                active: inqueues.count("active"),
            }),
        },
        autoscaler: limits.map(|limits| Autoscaler {
            max: limits.count("max"),
            min: limits.count("min"),
            current: limits.count("current"),
            qty: limits.count("qty"),
        }),
        broker: Broker {
            hostname: &hostname,
            userid: None,
            virtual_host: &virtual_host,
            port: broker.count("port"),
            ssl: false,
            transport: &transport,
            connect_timeout: broker.count("connect_timeout"),
            transport_options: &options,
            heartbeat: broker.number("heartbeat"),
        },
        prefetch_count: fields.count("prefetch_count"),
        rusage: Some(ResourceUsage {
            utime: usage.count("utime"),
            stime: usage.count("stime"),
            maxrss: count("maxrss"),
            minflt: count("minflt"),
            majflt: count("majflt"),
            inblock: count("inblock"),
            oublock: count("oublock"),
            nvcsw: count("nvcsw"),
            nivcsw: count("nivcsw"),
        }),
    };
    Answer::json(stats.to_json())
}
