//! What there is to do for a pool, and how long its tasks take. Pure.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use petiole_api::WorkerPool;
use petiole_api::scaling::ScalingMode;
use petiole_api::worker_pool::Mode;
use petiole_broker::{Depth, Report};
use petiole_scale::Work;
use petiole_scale::runtime::{Running, Runtime};
use petiole_scale::share::share;

use crate::sampler::QueueKey;
use crate::sampler::sample::Sample;

/// A sample that is older says nothing of now; and who was not asked for so long is not asked at all.
pub(super) const STALE: SignedDuration = SignedDuration::from_secs(10);

/// How many tasks all pools together can run that take from a queue.
#[derive(Debug, Default)]
pub(super) struct Capacities(HashMap<QueueKey, u64>);

impl Capacities {
    /// Of these pools.
    pub(super) fn of<'a>(pools: impl Iterator<Item = &'a WorkerPool>) -> Self {
        let mut all = HashMap::new();
        for pool in pools {
            for queue in queues(pool) {
                *all.entry(queue).or_default() += capacity(pool);
            }
        }
        Self(all)
    }
}

/// How many tasks a pool can run, of its greatest size.
fn capacity(pool: &WorkerPool) -> u64 {
    let scaled = pool.spec.scaling.as_ref().filter(|scaling| scaling.mode != ScalingMode::Manual);
    let most = match scaled {
        Some(scaling) => scaling.max_replicas.unwrap_or_default(),
        None => u32::try_from(pool.spec.replicas).unwrap_or_default(),
    };
    u64::from(most) * u64::from(pool.spec.concurrency)
}

/// The queues of a pool.
pub(in crate::pool) fn queues(pool: &WorkerPool) -> impl Iterator<Item = QueueKey> {
    let namespace = pool.namespace().unwrap_or_default();
    let key = move |name: &str| QueueKey { namespace: namespace.clone(), name: name.to_owned() };
    pool.spec.queues.iter().map(move |queue| key(&queue.task_queue))
}

/// Why nobody knows how much there is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// A broker was not asked yet.
    NotYet(String),
    /// A broker does not answer, or not of late.
    Now(String),
}

/// The pool's part of what all its queues hold; or why nobody knows it.
///
/// Each message counts once, so what is held has one source for a pool. Here it is the broker's: `reserved` is what Petiole's
/// workers hold, `unacked` what Celery's own workers hold, and no message is both. A pool whose own workers are Celery's
/// leaves `unacked` out, since its workers are asked what they hold ([`own`]): they know the tasks that they have acknowledged
/// early and still run, which `unacked` lacks, and tell what waits in them for its time, which `unacked` counts as if it
/// were work.
pub(super) fn work(
    pool: &WorkerPool,
    capacities: &Capacities,
    latest: impl Fn(&QueueKey) -> Option<Sample>,
    now: Timestamp,
) -> Result<Work, Unknown> {
    let mine = capacity(pool);
    queues(pool).try_fold(Work::default(), |sum, queue| {
        let (Depth { ready, reserved, unacked, due, .. }, _) = depth(&queue.name, latest(&queue), now)?;
        let unacked = unacked.filter(|_| pool.spec.mode != Mode::Celery).unwrap_or_default();
        let all = capacities.0.get(&queue).copied().unwrap_or(mine);
        Ok(sum + share(Work { ready, reserved, unacked, due }, mine, all))
    })
}

/// What the workers of a pool hold, where they are Celery's own: no queue counts it. Where tasks wait in one for their time
/// (`waits`), a pod is wanted for them: without, they would be back in their queue, and bring one.
pub(super) fn own<'a>(pool: &WorkerPool, reports: impl Iterator<Item = &'a Report>, waits: bool) -> Work {
    if pool.spec.mode != Mode::Celery {
        return Work::default();
    }
    let reserved = reports.map(|report| report.load.held).sum();
    Work { reserved, due: u64::from(waits), ..Work::default() }
}

/// What is known of a pool: its part of what all its queues hold, and when the oldest of it was read.
pub(crate) type Known = Result<(Work, Timestamp), Unknown>;

/// The same of each of these pools, which are all that share queues.
pub(crate) fn works<'a>(
    pools: &[&'a WorkerPool],
    latest: impl Fn(&QueueKey) -> Option<Sample>,
    now: Timestamp,
) -> Vec<(&'a WorkerPool, Known)> {
    let capacities = Capacities::of(pools.iter().copied());
    let known = |pool: &'a WorkerPool| {
        let read = queues(pool).filter_map(|queue| latest(&queue)?.read_at()).min();
        (pool, work(pool, &capacities, &latest, now).map(|work| (work, read.unwrap_or(now))))
    };
    pools.iter().copied().map(known).collect()
}

impl Unknown {
    /// For people.
    pub(crate) fn said(self) -> String {
        match self {
            Self::NotYet(why) | Self::Now(why) => why,
        }
    }
}

/// What a queue holds, and when that was read; or why nobody knows it.
pub(crate) fn depth(
    queue: &str,
    sample: Option<Sample>,
    now: Timestamp,
) -> Result<(Depth, Timestamp), Unknown> {
    match sample.and_then(|sample| sample.broker) {
        Some(Ok((_, at))) if now.duration_since(at) > STALE => {
            Err(Unknown::Now(format!("the broker of TaskQueue {queue} has not answered since {at}")))
        }
        Some(Ok(known)) => Ok(known),
        Some(Err(problem)) => Err(Unknown::Now(format!("TaskQueue {queue}: {}", problem.message))),
        None => Err(Unknown::NotYet(format!("the broker of TaskQueue {queue} was not asked yet"))),
    }
}

/// The queue by whose broker the workers of a pool are known.
pub(super) fn first_queue(pool: &WorkerPool) -> Option<QueueKey> {
    queues(pool).next()
}

/// What the workers of a pool have told of themselves so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    runtime: Runtime,
    /// By incarnation: how many attempts have ended, and their ms.
    counted: HashMap<String, (u64, u64)>,
    running: Running,
}

impl Told {
    /// With what an earlier decision knew of how long a task takes.
    pub(super) fn remembered(task_seconds: Option<f64>) -> Self {
        Self { runtime: Runtime::remembered(task_seconds), ..Self::default() }
    }

    /// Takes what they say now. A worker that says nothing any more has ended.
    pub(super) fn hear<'a>(&mut self, reports: impl Iterator<Item = &'a Report>, now: Timestamp) {
        let (mut ended, mut ended_ms, mut running, mut running_ms) = (0_u64, 0_u64, 0_u64, 0_u64);
        let mut counted = HashMap::new();
        for Report { incarnation, load, .. } in reports {
            let (before, before_ms) = self.counted.get(incarnation).copied().unwrap_or_default();
            ended += load.ended.saturating_sub(before);
            ended_ms += load.ended_ms.saturating_sub(before_ms);
            running += load.running;
            running_ms += load.running_ms;
            counted.insert(incarnation.clone(), (load.ended, load.ended_ms));
        }
        self.counted = counted;
        self.running = Running { count: running, age: Duration::from_millis(running_ms) };
        self.runtime.add(ended, Duration::from_millis(ended_ms), now);
    }

    /// How long a task takes, as far as anybody knows.
    pub(super) fn task_seconds(&self) -> Option<f64> {
        self.runtime.task_seconds(self.running)
    }
}
