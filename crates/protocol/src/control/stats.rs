//! `stats`: what a node says of itself.

use crate::json::{Object, Writer, array, float, quote};

/// A node's statistics. All of Celery's keys are written: Flower's pages break without some of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats<'a> {
    /// How many tasks were started, by name.
    pub total: Vec<(&'a str, u64)>,
    /// The node's process.
    pub pid: u32,
    /// Its logical clock.
    pub clock: u64,
    /// Seconds since it started.
    pub uptime: u64,
    /// What runs its tasks.
    pub pool: Pool<'a>,
    /// The limits between which the size of the pool follows the load.
    pub autoscaler: Option<Autoscaler>,
    /// Its broker.
    pub broker: Broker<'a>,
    /// How many messages it takes ahead.
    pub prefetch_count: u64,
    /// What it used of the machine; `None` where that is not known.
    pub rusage: Option<ResourceUsage>,
}

/// What runs a node's tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool<'a> {
    /// The kind, as `celery.concurrency.prefork:TaskPool`.
    pub implementation: &'a str,
    /// How many tasks run at a time.
    pub max_concurrency: u32,
    /// The processes that run them.
    pub processes: Vec<u32>,
    /// After how many tasks a process is replaced.
    pub max_tasks_per_child: Option<u64>,
    /// Seconds after which a task is asked to end and is killed; 0 for never.
    pub timeouts: [f64; 2],
    /// How tasks are spread; `None` where there is nothing to count.
    pub writes: Option<Writes<'a>>,
}

/// How tasks are spread over the processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writes<'a> {
    /// How many there were.
    pub total: u64,
    /// The mean share of a process: `0.50`.
    pub avg: &'a str,
    /// The share of each: `0.73, 0.27`.
    pub all: &'a str,
    /// The number of each: `24, 9`.
    pub raw: &'a str,
    /// By what rule: `fair`.
    pub strategy: &'a str,
    /// Processes.
    pub inqueues: u64,
    /// Processes with work.
    pub active: u64,
}

/// The limits between which the size of a pool follows the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Autoscaler {
    /// The most.
    pub max: u32,
    /// The least.
    pub min: u32,
    /// Now.
    pub current: u32,
    /// Tasks that are there.
    pub qty: u64,
}

/// A node's broker. No password is ever in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Broker<'a> {
    /// The host.
    pub hostname: &'a str,
    /// The user.
    pub userid: Option<&'a str>,
    /// The virtual host; on Redis the database.
    pub virtual_host: &'a str,
    /// The port.
    pub port: u16,
    /// Behind TLS.
    pub ssl: bool,
    /// `redis`, `amqp`.
    pub transport: &'a str,
    /// Seconds.
    pub connect_timeout: u32,
    /// kombu's `transport_options`.
    pub transport_options: &'a Object,
    /// Seconds between heartbeats of the connection.
    pub heartbeat: Option<f64>,
}

/// The kernel's `getrusage`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResourceUsage {
    /// Seconds in the program.
    pub utime: f64,
    /// Seconds in the kernel.
    pub stime: f64,
    /// The largest resident size, in KiB.
    pub maxrss: u64,
    /// Page faults without reading.
    pub minflt: u64,
    /// Page faults with reading.
    pub majflt: u64,
    /// Blocks read.
    pub inblock: u64,
    /// Blocks written.
    pub oublock: u64,
    /// Times that it waited.
    pub nvcsw: u64,
    /// Times that it was made to wait.
    pub nivcsw: u64,
}

impl Stats<'_> {
    /// The text.
    pub fn to_json(&self) -> String {
        let total = self.total.iter().map(|(task, count)| format!("{}: {count}", quote(task)));
        let total = format!("{{{}}}", total.collect::<Vec<_>>().join(", "));
        let mut out = Writer::new();
        out.raw("total", &total).integer("pid", self.pid);
        // A text, in Celery as well.
        out.text("clock", &self.clock.to_string()).integer("uptime", self.uptime);
        out.raw("pool", &self.pool.to_json());
        if let Some(autoscaler) = &self.autoscaler {
            let Autoscaler { max, min, current, qty } = *autoscaler;
            let mut limits = Writer::new();
            limits.integer("max", max).integer("min", min).integer("current", current).integer("qty", qty);
            out.raw("autoscaler", &limits.end());
        }
        out.raw("broker", &self.broker.to_json()).integer("prefetch_count", self.prefetch_count);
        match &self.rusage {
            Some(usage) => out.raw("rusage", &usage.to_json()),
            None => out.text("rusage", "N/A"),
        };
        out.end()
    }
}

impl Pool<'_> {
    fn to_json(&self) -> String {
        let mut out = Writer::new();
        out.text("implementation", self.implementation).integer("max-concurrency", self.max_concurrency);
        out.raw("processes", &array(self.processes.iter().map(u32::to_string)));
        match self.max_tasks_per_child {
            Some(most) => out.integer("max-tasks-per-child", most),
            None => out.text("max-tasks-per-child", "N/A"),
        };
        out.bool("put-guarded-by-semaphore", false);
        let timeouts =
            self.timeouts.map(|seconds| if seconds == 0.0 { "0".to_owned() } else { float(seconds) });
        out.raw("timeouts", &array(timeouts));
        let mut writes = Writer::new();
        let mut inqueues = Writer::new();
        if let Some(counts) = &self.writes {
            writes.integer("total", counts.total).text("avg", counts.avg).text("all", counts.all);
            writes.text("raw", counts.raw).text("strategy", counts.strategy);
            inqueues.integer("total", counts.inqueues).integer("active", counts.active);
        } else {
            writes.integer("total", -1);
            for name in ["avg", "all", "raw", "strategy"] {
                writes.text(name, "N/A");
            }
            inqueues.integer("total", -1).integer("active", -1);
        }
        out.raw("writes", &writes.raw("inqueues", &inqueues.end()).end()).end()
    }
}

impl Broker<'_> {
    fn to_json(&self) -> String {
        let mut out = Writer::new();
        out.text("hostname", self.hostname).maybe("userid", self.userid);
        out.text("virtual_host", self.virtual_host).integer("port", self.port);
        out.bool("insist", false).bool("ssl", self.ssl).text("transport", self.transport);
        out.integer("connect_timeout", self.connect_timeout);
        out.raw("transport_options", self.transport_options.as_str());
        out.raw("login_method", "null").raw("uri_prefix", "null");
        match self.heartbeat {
            Some(seconds) => out.float("heartbeat", seconds),
            None => out.raw("heartbeat", "null"),
        };
        out.text("failover_strategy", "round-robin")
            .raw("alternates", "[]")
            .raw("credential_provider", "null");
        out.end()
    }
}

impl ResourceUsage {
    fn to_json(self) -> String {
        let mut out = Writer::new();
        out.float("utime", self.utime).float("stime", self.stime).integer("maxrss", self.maxrss);
        // Linux does not count these, nor swaps, messages and signals.
        out.integer("ixrss", 0).integer("idrss", 0).integer("isrss", 0);
        out.integer("minflt", self.minflt).integer("majflt", self.majflt).integer("nswap", 0);
        out.integer("inblock", self.inblock).integer("oublock", self.oublock);
        out.integer("msgsnd", 0).integer("msgrcv", 0).integer("nsignals", 0);
        out.integer("nvcsw", self.nvcsw).integer("nivcsw", self.nivcsw);
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_said_to_be_missing() {
        let none = Object::default();
        let stats = Stats {
            total: Vec::new(),
            pid: 1,
            clock: 2,
            uptime: 3,
            pool: Pool {
                implementation: "petiole:Serve",
                max_concurrency: 4,
                processes: Vec::new(),
                max_tasks_per_child: None,
                timeouts: [1.5, 0.0],
                writes: None,
            },
            autoscaler: None,
            broker: Broker {
                hostname: "h",
                userid: None,
                virtual_host: "0",
                port: 6379,
                ssl: true,
                transport: "redis",
                connect_timeout: 4,
                transport_options: &none,
                heartbeat: None,
            },
            prefetch_count: 0,
            rusage: None,
        };
        let text = stats.to_json();
        let pool = r#""max-tasks-per-child": "N/A", "put-guarded-by-semaphore": false, "timeouts": [1.5, 0], "writes": {"total": -1, "avg": "N/A", "all": "N/A", "raw": "N/A", "strategy": "N/A", "inqueues": {"total": -1, "active": -1}}}"#;
        assert!(text.contains(pool), "{text}");
        assert!(text.contains(r#""heartbeat": null"#) && text.ends_with(r#""rusage": "N/A"}"#), "{text}");
    }
}
