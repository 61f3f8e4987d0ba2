//! Objects that show how the resources are used, as `manifests/examples/` holds them.
//!
//! They are values of the types, so that an example which the types or the rules no longer know does not compile or
//! does not pass.

mod own;

use serde_json::{Value, json};

use crate::accept::{Accept, Content};
use crate::celery::Celery;
use crate::connection::{Broker, RedisBroker, RedisResults, Results, Sentinel, Tls, ValueFrom};
use crate::duration::{Duration, TimeLimit};
use crate::rate::RateLimit;
use crate::retry::{Backoff, MaxRetries, Retry};
use crate::scaling::Scaling;
use crate::task::{Acks, ResultForm, Task};
use crate::task_queue::{DeadLetter, TaskQueue, TaskQueueSpec};
use crate::template::{PodTemplate, TemplateContainer, TemplateSpec};
use crate::worker_pool::{Drain, Mode, QueueOrder, QueueRef, Route, Serve, WorkerPool, WorkerPoolSpec};

pub use self::own::{invoices_pool, invoices_queue};

/// A file of examples.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its name in `manifests/examples/`.
    pub file: &'static str,
    /// What it shows; a comment at its top.
    pub about: &'static str,
    /// Its objects.
    pub objects: Vec<Object>,
}

/// An object of an example.
#[derive(Debug, Clone)]
pub enum Object {
    /// A `TaskQueue`.
    TaskQueue(Box<TaskQueue>),
    /// A `WorkerPool`.
    WorkerPool(Box<WorkerPool>),
    /// A Secret, so that the example is whole.
    Secret(Value),
}

impl Object {
    /// As it is written in YAML: without the defaults that say nothing, without status.
    pub fn to_value(&self) -> Result<Value, serde_json::Error> {
        let (value, defaults) = match self {
            Self::TaskQueue(queue) => {
                let plain = TaskQueueSpec {
                    results: Some(Results::default()),
                    retry: Some(Retry::default()),
                    ..Default::default()
                };
                let plain = TaskQueue::new("", plain);
                (serde_json::to_value(queue)?, serde_json::to_value(plain)?)
            }
            Self::WorkerPool(pool) => {
                let plain = WorkerPoolSpec { celery: Some(Celery::new("")), ..WorkerPoolSpec::default() };
                let plain = WorkerPool::new("", plain);
                (serde_json::to_value(pool)?, serde_json::to_value(plain)?)
            }
            Self::Secret(secret) => (secret.clone(), Value::Null),
        };
        Ok(without(value, &defaults["spec"]))
    }
}

/// Takes what equals the defaults out of an object's spec.
fn without(mut value: Value, defaults: &Value) -> Value {
    fn strip(value: &mut Value, defaults: &Value) {
        let (Value::Object(fields), Value::Object(defaults)) = (value, defaults) else { return };
        for (name, default) in defaults {
            if fields.get(name) == Some(default) {
                fields.remove(name);
            } else if let Some(field) = fields.get_mut(name) {
                strip(field, default);
                if *field == json!({}) {
                    fields.remove(name);
                }
            }
        }
    }
    if let Some(spec) = value.get_mut("spec") {
        strip(spec, defaults);
        let plain = Task { retry: Some(Retry::default()), ..Task::default() };
        let task = serde_json::to_value(plain).unwrap_or_default();
        let queue = serde_json::to_value(QueueRef::new("")).unwrap_or_default();
        for (list, plain) in [("tasks", task), ("queues", queue)] {
            for entry in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                strip(entry, &plain);
            }
        }
    }
    value
}

/// All examples.
pub fn examples() -> Vec<Example> {
    vec![
        Example {
            file: "workerpool.yaml",
            about: "Thumbnails: a Celery client calls `thumbnails.make` with a photograph and a size. A script around\n\
                    ImageMagick makes the thumbnail, in an image that holds nothing of Celery: it gets the size as its\n\
                    argument, the whole request on standard input, and what it prints is the result. `make demo`\n\
                    builds the image (tests/demo/images/thumbnails) and applies this file.",
            objects: vec![thumbnails_queue().into(), thumbnails_pool().into()],
        },
        Example {
            file: "serve.yaml",
            about: "Mode Serve: long-lived handlers take one task after another, for the highest rate. The pod template\n\
                    shows resources, environment and a volume. A task that cannot connect is tried again.",
            objects: vec![reports_queue().into(), reports_pool().into()],
        },
        Example {
            file: "queues.yaml",
            about: "Two queues of one pool, served by weight. What a task's own entry does not say, its queue does: when\n\
                    it is tried again, and how often it may take its worker down. A mail server that allows 100 a\n\
                    minute gets no more, from however many pods; a mail that follows another task has a queue of its\n\
                    own.",
            objects: vec![orders_queue().into(), mail_queue().into(), shop_pool().into()],
        },
        Example {
            file: "celery.yaml",
            about: "Mode Celery: the image that you have runs its own `celery worker`. Petiole adds and takes away pods by\n\
                    what waits and runs, lets busy ones end, and replaces those that no longer answer. The application's\n\
                    own settings say where its broker is: here they are given the TaskQueue's.",
            objects: vec![invoices_queue().into(), invoices_pool().into()],
        },
        Example {
            file: "credentials.yaml",
            about: "A broker with TLS, a user and a password, which stand in a Secret; results behind Sentinel.",
            objects: vec![Object::Secret(credentials()), secured_queue().into()],
        },
    ]
}

impl From<TaskQueue> for Object {
    fn from(queue: TaskQueue) -> Self {
        Self::TaskQueue(Box::new(queue))
    }
}

impl From<WorkerPool> for Object {
    fn from(pool: WorkerPool) -> Self {
        Self::WorkerPool(Box::new(pool))
    }
}

/// The Redis that the chart brings for trying Petiole out.
const BROKER: &str = "redis://petiole-redis:6379/0";
const RESULTS: &str = "redis://petiole-redis:6379/1";

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A queue that Celery's clients send to by its own name.
pub fn thumbnails_queue() -> TaskQueue {
    TaskQueue::new(
        "thumbnails",
        TaskQueueSpec {
            broker: Broker { url: Some(BROKER.to_owned()), ..Default::default() },
            results: Some(Results { url: Some(RESULTS.to_owned()), ..Default::default() }),
            ..Default::default()
        },
    )
}

/// A pool of mode `Exec`.
pub fn thumbnails_pool() -> WorkerPool {
    WorkerPool::new(
        "thumbnails",
        WorkerPoolSpec {
            replicas: 2,
            queues: vec![QueueRef::new("thumbnails")],
            concurrency: 4,
            image: Some("localhost/petiole-demo-thumbnails:1".to_owned()),
            tasks: vec![Task {
                name: "thumbnails.make".to_owned(),
                command: Some(words(&["thumbnail", "$(kwargs.size)"])),
                result: Some(ResultForm::Text),
                time_limit: Duration::from_secs(60).map(TimeLimit::After),
                ..Default::default()
            }],
            time_limit: Duration::from_secs(300).map_or(TimeLimit::HOUR, TimeLimit::After),
            ..Default::default()
        },
    )
}

/// A queue whose name on the broker is not the object's, with limits for its tasks.
pub fn reports_queue() -> TaskQueue {
    TaskQueue::new(
        "reports",
        TaskQueueSpec {
            queue: Some("celery".to_owned()),
            broker: Broker { url: Some(BROKER.to_owned()), ..Default::default() },
            results: Some(Results { url: Some(RESULTS.to_owned()), ..Default::default() }),
            dead_letter: DeadLetter { queue: Some("celery.failed".to_owned()), ..Default::default() },
            time_limit: Duration::from_secs(600).map(TimeLimit::After),
            soft_time_limit: Duration::from_secs(540),
            retry: None,
        },
    )
}

/// A pool of mode `Serve` with a pod template.
pub fn reports_pool() -> WorkerPool {
    let more = json!({
        "env": [{ "name": "PYTHONUNBUFFERED", "value": "1" }],
        "resources": { "requests": { "cpu": "250m", "memory": "128Mi" }, "limits": { "memory": "512Mi" } },
        "volumeMounts": [{ "name": "scratch", "mountPath": "/scratch" }],
    });
    let volumes = json!({ "volumes": [{ "name": "scratch", "emptyDir": { "sizeLimit": "1Gi" } }] });
    let container = TemplateContainer {
        name: "task".to_owned(),
        image: Some("petiole.local/handler:demo".to_owned()),
        rest: more.as_object().cloned().unwrap_or_default(),
        ..Default::default()
    };
    WorkerPool::new(
        "reports",
        WorkerPoolSpec {
            queues: vec![QueueRef::new("reports")],
            concurrency: 8,
            mode: Mode::Serve,
            template: Some(PodTemplate {
                spec: TemplateSpec {
                    containers: vec![container],
                    rest: volumes.as_object().cloned().unwrap_or_default(),
                    ..Default::default()
                },
                ..Default::default()
            }),
            serve: Some(Serve { command: words(&["python3", "/handler.py"]) }),
            tasks: vec![
                Task {
                    name: "reports.mail".to_owned(),
                    acks: Acks::Early,
                    ignore_result: true,
                    ..Default::default()
                },
                Task {
                    name: "reports.fetch".to_owned(),
                    retry: Some(Retry {
                        max: MaxRetries::Of(8),
                        delay: Duration::from_secs(2).unwrap_or(Duration::THREE_MINUTES),
                        backoff: Backoff::Exponential,
                        on_errors: words(&["ConnectionError", "urllib.error.URLError"]),
                        ..Default::default()
                    }),
                    ..Default::default()
                },
            ],
            drain: Some(Drain { grace_period: Duration::from_secs(900) }),
            ..Default::default()
        },
    )
}

/// A queue whose results say what their tasks were called with, and that says how its tasks fail.
pub fn orders_queue() -> TaskQueue {
    TaskQueue::new(
        "orders",
        TaskQueueSpec {
            dead_letter: DeadLetter { max_deliveries: 3, ..Default::default() },
            retry: Some(Retry {
                max: MaxRetries::Of(10),
                backoff: Backoff::Exponential,
                jitter: true,
                on_errors: words(&["ConnectionError"]),
                ..Default::default()
            }),
            ..shop_queue()
        },
    )
}

/// A queue on the same broker, with the same results.
pub fn mail_queue() -> TaskQueue {
    TaskQueue::new("mail", shop_queue())
}

fn shop_queue() -> TaskQueueSpec {
    TaskQueueSpec {
        broker: Broker { url: Some(BROKER.to_owned()), ..Default::default() },
        results: Some(Results { url: Some(RESULTS.to_owned()), extended: true, ..Default::default() }),
        ..Default::default()
    }
}

/// A pool of two queues that scales itself, with a rate, a route and events.
pub fn shop_pool() -> WorkerPool {
    WorkerPool::new(
        "shop",
        WorkerPoolSpec {
            queues: vec![QueueRef { weight: 3, ..QueueRef::new("orders") }, QueueRef::new("mail")],
            queue_order: QueueOrder::Weighted,
            scaling: Some(Scaling {
                max_replicas: Some(20),
                drain_seconds: Some(60),
                cool_down_seconds: 600,
                ..Default::default()
            }),
            concurrency: 8,
            mode: Mode::Serve,
            image: Some("petiole.local/handler:demo".to_owned()),
            serve: Some(Serve { command: words(&["python3", "/handler.py"]) }),
            tasks: vec![Task {
                name: "mail.send".to_owned(),
                rate_limit: RateLimit::per_minute(100),
                ..Default::default()
            }],
            accept: Accept { content: vec![Content::Json, Content::Msgpack], ..Default::default() },
            routes: vec![Route { task: "mail.*".to_owned(), queue: "mail".to_owned() }],
            events: true,
            ..Default::default()
        },
    )
}

/// A queue whose credentials stand in a Secret.
pub fn secured_queue() -> TaskQueue {
    let key = |key: &str| Some(ValueFrom::secret("billing-redis", key));
    TaskQueue::new(
        "billing",
        TaskQueueSpec {
            broker: Broker {
                url: Some("rediss://redis.billing.svc:6380/0".to_owned()),
                username_from: key("username"),
                password_from: key("password"),
                redis: RedisBroker { key_prefix: "billing:".to_owned(), ..Default::default() },
                tls: Some(Tls { ca_from: key("ca.crt"), ..Default::default() }),
                ..Default::default()
            },
            results: Some(Results {
                url: Some(
                    "sentinel://sentinel-0.billing.svc:26379/0;sentinel://sentinel-1.billing.svc:26379/0"
                        .to_owned(),
                ),
                password_from: key("password"),
                redis: RedisResults {
                    sentinel: Some(Sentinel { master_name: "results".to_owned() }),
                    ..Default::default()
                },
                ..Default::default()
            }),
            ..Default::default()
        },
    )
}

fn credentials() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "billing-redis" },
        "stringData": {
            "username": "billing",
            "password": "change me",
            "ca.crt": "-----BEGIN CERTIFICATE-----\nthe authority that signed the server's certificate\n\
                       -----END CERTIFICATE-----\n",
        },
    })
}
