//! What is known of the queues and the pools of a namespace, as an autoscaler can ask for it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use petiole_api::{TaskQueue, WorkerPool};
use petiole_broker::Depth;
use petiole_scale::Work;

use crate::pool::scale::signal;
use crate::sampler::QueueKey;
use crate::sampler::sample::Sample;

/// What a pool is to do: its part of what all its queues hold.
pub const POOL_WORK: &str = "petiole_pool_work";
/// What a queue holds that is to be done.
pub const QUEUE_WORK: &str = "petiole_queue_work";
/// All metrics, and what each is.
pub const METRICS: [(&str, &str); 2] = [
    (POOL_WORK, "Messages that a WorkerPool is to run: its part of what all its TaskQueues hold."),
    (QUEUE_WORK, "Messages of a TaskQueue that are to be run."),
];

/// Label: the `WorkerPool`.
pub const WORKER_POOL: &str = "worker_pool";
/// Label: the `TaskQueue`.
pub const TASK_QUEUE: &str = "task_queue";
/// Label: the queue's name on its broker.
pub const QUEUE: &str = "queue";
/// Label: `ready`, `reserved`, `unacked` or `due`. Without it an autoscaler adds them up, which is what is to be done.
pub const STATE: &str = "state";

/// How many states there are.
const STATES: usize = 4;

/// One figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// The figure and when it was read, or why nobody knows it.
    pub value: Result<(u64, Timestamp), String>,
}

/// All figures of a metric; nothing, when there is no such metric.
pub fn series(
    metric: &str,
    queues: &[&TaskQueue],
    pools: &[&WorkerPool],
    latest: impl Fn(&QueueKey) -> Option<Sample>,
    now: Timestamp,
) -> Option<Vec<Series>> {
    match metric {
        QUEUE_WORK => Some(queues.iter().flat_map(|queue| of_queue(queue, &latest, now)).collect()),
        POOL_WORK => {
            let works = signal::works(pools, &latest, now);
            Some(works.into_iter().flat_map(|(pool, work)| of_pool(pool, work)).collect())
        }
        _ => None,
    }
}

fn of_queue(
    queue: &TaskQueue,
    latest: impl Fn(&QueueKey) -> Option<Sample>,
    now: Timestamp,
) -> [Series; STATES] {
    let key = crate::queue::key(queue);
    let depth = signal::depth(&key.name, latest(&key), now);
    let figures = depth
        .map(|(Depth { ready, reserved, unacked, due, .. }, at)| {
            ([ready, reserved, unacked.unwrap_or_default(), due], at)
        })
        .map_err(signal::Unknown::said);
    by_state(&[(TASK_QUEUE, &key.name), (QUEUE, &queue.queue())], &figures)
}

fn of_pool(pool: &WorkerPool, work: signal::Known) -> [Series; STATES] {
    let figures = work
        .map(|(Work { ready, reserved, unacked, due }, at)| ([ready, reserved, unacked, due], at))
        .map_err(signal::Unknown::said);
    by_state(&[(WORKER_POOL, &pool.name_any())], &figures)
}

fn by_state(
    labels: &[(&str, &str)],
    figures: &Result<([u64; STATES], Timestamp), String>,
) -> [Series; STATES] {
    let states = ["ready", "reserved", "unacked", "due"];
    std::array::from_fn(|index| {
        let state = [(STATE, states[index])];
        Series {
            labels: labels
                .iter()
                .chain(&state)
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
            value: figures.clone().map(|(figures, at)| (figures[index], at)),
        }
    })
}

#[cfg(test)]
mod tests {
    use petiole_api::conditions::reasons;
    use serde_json::json;

    use super::*;
    use crate::fixtures::{pool_with, queue, queue_with};
    use crate::sampler::sample::Problem;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn holds(ready: u64, second: i64) -> Sample {
        let depth = Depth {
            ready,
            reserved: 2,
            unacked: Some(3),
            due: 1,
            scheduled: 50,
            dead: 9,
            ..Depth::default()
        };
        Sample { broker: Some(Ok((depth, at(second)))), ..Sample::default() }
    }

    fn figures(series: &[Series]) -> Vec<(&str, Result<u64, &str>)> {
        let mut figures = Vec::new();
        for Series { labels, value } in series {
            let value = value.as_ref().map(|(value, _)| *value).map_err(String::as_str);
            figures.push((labels[STATE].as_str(), value));
        }
        figures
    }

    #[test]
    fn a_queue_is_known_by_both_of_its_names_and_counts_what_is_to_be_done() {
        let queue = queue_with("thumbnails", json!({ "queue": "celery" }));
        let all = series(QUEUE_WORK, &[&queue], &[], |_| Some(holds(7, 1)), at(2)).unwrap();
        assert_eq!(
            figures(&all),
            [("ready", Ok(7)), ("reserved", Ok(2)), ("unacked", Ok(3)), ("due", Ok(1))]
        );
        assert_eq!((&*all[0].labels[TASK_QUEUE], &*all[0].labels[QUEUE]), ("thumbnails", "celery"));
        assert_eq!(all[0].value.as_ref().unwrap().1, at(1));
    }

    #[test]
    fn a_pool_counts_its_part_of_all_its_queues() {
        let scaled = |name: &str, queues: &[&str], max: u32| {
            let queues: Vec<_> = queues.iter().map(|queue| json!({ "taskQueue": queue })).collect();
            let mut pool = pool_with(json!({ "queues": queues, "scaling": {
                "mode": "HorizontalPodAutoscaler", "maxReplicas": max, "messagesPerReplica": 1 } }));
            pool.metadata.name = Some(name.to_owned());
            pool
        };
        let (large, small) = (scaled("large", &["a", "b"], 30), scaled("small", &["a"], 10));
        let latest = |key: &QueueKey| Some(if key.name == "a" { holds(40, 1) } else { holds(5, 0) });
        let all = series(POOL_WORK, &[], &[&large, &small], latest, at(2)).unwrap();
        assert_eq!(figures(&all[..4])[0], ("ready", Ok(30 + 5)));
        assert_eq!(figures(&all[4..])[0], ("ready", Ok(10)));
        assert_eq!(all[4].labels[WORKER_POOL], "small");
        assert_eq!(all[0].value.as_ref().unwrap().1, at(0), "the oldest of what was added up");
    }

    #[test]
    fn what_is_old_or_unknown_is_no_figure() {
        let broken = Sample {
            broker: Some(Err(Problem { reason: reasons::UNREACHABLE, message: "refused".to_owned() })),
            ..Sample::default()
        };
        for (sample, says) in [
            (None, "was not asked yet"),
            (Some(Sample::default()), "was not asked yet"),
            (Some(holds(0, 0)), "has not answered since"),
            (Some(broken), "refused"),
        ] {
            let all = series(QUEUE_WORK, &[&queue("a")], &[], |_| sample.clone(), at(60)).unwrap();
            assert!(all.iter().all(|one| one.value.as_ref().unwrap_err().contains(says)), "{all:?}");
            let pool = pool_with(json!({}));
            let all = series(POOL_WORK, &[], &[&pool], |_| sample.clone(), at(60)).unwrap();
            assert!(all.iter().all(|one| one.value.as_ref().unwrap_err().contains(says)), "{all:?}");
        }
    }

    #[test]
    fn what_is_no_metric_is_none() {
        assert_eq!(series("petiole_queue_dead", &[], &[], |_| None, at(0)), None);
    }
}
