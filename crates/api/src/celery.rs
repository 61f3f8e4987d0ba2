//! `celery`: what a pool of mode `Celery` runs, the image's own `celery worker`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::duration::{Duration, TimeLimit};

/// How the image's own worker is started. It is `COMMAND -A APP worker OPTIONS`, and after them what Petiole sets: its name,
/// its queues, its concurrency and its time limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(self.options) || !self.options.exists(one, one == 'solo' || one == '--pool=solo' || one == '-Psolo') || \
        self.silence == 'none'",
        "a worker of the pool solo hears and says nothing while a task runs, and would be taken for stuck: write \
         silence: none, or another pool")
)]
pub struct Celery {
    /// The application, as `celery -A` takes it: `proj`, `proj.celery:app`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = ("self.matches('^[^-[:space:]][^[:space:]]*$')",
        "write the application as celery -A takes it: proj, or proj.celery:app"))]
    pub app: String,
    /// The program, one element each, never through a shell: `[python, -m, celery]`, where `celery` is not on the image's
    /// PATH. It must become Celery's main process, which is told to stop by SIGTERM.
    #[serde(default = "Celery::default_command")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub command: Vec<String>,
    /// More options of `celery worker`, one element each: `[--loglevel=INFO, --max-tasks-per-child=100]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 1024)))]
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = ("!self.exists(one, one.matches('^(-n.*|--hostname(=.*)?)$'))",
            "leave -n out of options: Petiole names the worker celery@POD, and knows it by that"),
        validation = ("!self.exists(one, one.matches('^(-[QX].*|--(exclude-)?queues(=.*)?)$'))",
            "leave -Q and -X out of options: write the queues into spec.queues"),
        validation = ("!self.exists(one, one.matches('^(-c.*|--concurrency(=.*)?|--autoscale(=.*)?)$'))",
            "leave -c and --autoscale out of options: write spec.concurrency, and spec.scaling for more or fewer pods"),
        validation = ("!self.exists(one, one.matches('^--(soft-)?time-limit(=.*)?$'))",
            "leave the time limits out of options: write spec.timeLimit and spec.softTimeLimit"),
        validation = ("!self.exists(one, one.matches('^(-E|--task-events|--events)$'))",
            "leave -E out of options: write spec.events: true"),
        validation = ("!self.exists(one, one.matches('^(-A.*|--app(=.*)?|-b.*|--broker(=.*)?|--result-backend(=.*)?)$'))",
            "leave the application, the broker and the result backend out of options: write spec.celery.app; the \
             others are the application's own settings, or CELERY_BROKER_URL and CELERY_RESULT_BACKEND in the template"),
        validation = ("!self.exists(one, one.matches('^(-B|--beat|-s.*|--schedule(-filename)?(=.*)?|--scheduler(=.*)?)$'))",
            "leave -B out of options: each pod would send every periodic task. Run one beat apart from the pool"),
        validation = ("!self.exists(one, one.matches('^(--purge|--discard)$'))",
            "leave --purge out of options: each pod that starts would throw the queues' messages away"),
        validation = ("!self.exists(one, one.matches('^(-D|--detach)$'))",
            "leave -D out of options: a container ends with its first process"),
        validation = ("!self.exists(one, one.matches('^(--without-heartbeat|--heartbeat-interval(=.*)?|--without-gossip)$'))",
            "leave the heartbeat and gossip out of options: Petiole knows by the heartbeat that a worker lives, and \
             sets --without-gossip")
    )]
    pub options: Vec<String>,
    /// How long a worker may say nothing before its pod is deleted: no heartbeat, and no answer to a ping. `none` for never.
    /// At most one pod of a pool goes in a minute, and none while the broker is away.
    #[serde(default = "Celery::default_silence")]
    pub silence: TimeLimit,
}

impl Celery {
    /// An application, with the defaults.
    pub fn new(app: impl Into<String>) -> Self {
        Self {
            app: app.into(),
            command: Self::default_command(),
            options: Vec::new(),
            silence: Self::default_silence(),
        }
    }

    fn default_command() -> Vec<String> {
        vec!["celery".to_owned()]
    }

    fn default_silence() -> TimeLimit {
        TimeLimit::After(Duration::MINUTE)
    }
}
