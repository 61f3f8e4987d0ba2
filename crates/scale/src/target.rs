//! How many pods the work is worth, before any limit.

use std::fmt::Write as _;
use std::time::Duration;

use crate::scaling::{Scaling, Target};
use crate::work::Work;

/// A number of pods and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// How many.
    pub replicas: u32,
    /// The arithmetic, with its numbers.
    pub formula: String,
}

/// How many pods this work is worth. Never less for more work.
pub fn wanted(scaling: &Scaling, work: Work, task_seconds: Option<f64>) -> Wanted {
    match scaling.target {
        Target::Messages(each) => messages(work, each.max(1)),
        Target::Drain(within) => drain(work, within, scaling.concurrency.max(1), task_seconds),
        Target::Any => any(work),
    }
}

fn sum(work: Work) -> String {
    let Work { ready, reserved, unacked, due } = work;
    format!("(ready {ready} + reserved {reserved} + unacked {unacked} + due {due})")
}

fn messages(work: Work, each: u32) -> Wanted {
    let replicas = pods(work.total().div_ceil(u64::from(each)));
    Wanted { replicas, formula: format!("ceil({} / {each} messages a pod) = {replicas}", sum(work)) }
}

fn any(work: Work) -> Wanted {
    let replicas = u32::from(work.total() > 0);
    let does = if replicas > 0 { "there is something to do" } else { "there is nothing to do" };
    Wanted { replicas, formula: format!("{}: {does}, so {replicas}", sum(work)) }
}

/// Work of `total` tasks is `total * task_seconds` seconds of work, of which a pod does `concurrency` each second. But a
/// pod is of no use to a task that already has one: there are never more of them than tasks can fill. So a task that
/// takes longer than the time in which all is to be done gets its own place at once, and that is all that can be done.
fn drain(work: Work, within: Duration, concurrency: u32, task_seconds: Option<f64>) -> Wanted {
    let total = work.total();
    let within = within.as_secs_f64().max(0.001);
    let places = total.div_ceil(u64::from(concurrency));
    let Some(task_seconds) = task_seconds else {
        let replicas = u32::from(total > 0);
        let formula = format!("{}: nobody knows yet how long a task takes, so {replicas}", sum(work));
        return Wanted { replicas, formula };
    };
    #[allow(clippy::cast_precision_loss, reason = "no number of messages that matters is beyond 2^52")]
    let needed = (total as f64 * task_seconds / (within * f64::from(concurrency))).ceil();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast to an integer saturates"
    )]
    let needed = (needed as u64).max(u64::from(total > 0));
    let replicas = pods(needed.min(places));
    let mut formula = format!(
        "ceil({} * {task_seconds:.3} s a task / ({within:.0} s * {concurrency} at a time)) = {needed}",
        sum(work)
    );
    if places < needed {
        // Writing to a String cannot fail.
        let _ = write!(formula, ", but {total} tasks fill no more than {places}");
    }
    Wanted { replicas, formula }
}

fn pods(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaling::{Pause, Rules};

    fn scaling(target: Target, concurrency: u32) -> Scaling {
        Scaling {
            min: 0,
            max: 100,
            concurrency,
            target,
            up: Rules::default(),
            down: Rules::default(),
            cool_down: Duration::ZERO,
            pause: Pause::No,
            fallback: None,
        }
    }

    fn drained(total: u64, concurrency: u32, task_seconds: Option<f64>) -> u32 {
        let target = Target::Drain(Duration::from_mins(1));
        let work = Work { ready: total, ..Work::default() };
        wanted(&scaling(target, concurrency), work, task_seconds).replicas
    }

    #[test]
    fn a_pod_for_each_so_many_messages_wherever_they_are() {
        let work = Work { ready: 120, reserved: 6, unacked: 2, due: 3 };
        let wanted = wanted(&scaling(Target::Messages(10), 4), work, None);
        assert_eq!(wanted.replicas, 14);
        assert_eq!(
            wanted.formula,
            "ceil((ready 120 + reserved 6 + unacked 2 + due 3) / 10 messages a pod) = 14"
        );
    }

    #[test]
    fn one_pod_for_whatever_there_is_to_do() {
        let pods = |due| wanted(&scaling(Target::Any, 4), Work { due, ..Work::default() }, Some(9.0));
        assert_eq!((pods(0).replicas, pods(1).replicas, pods(u64::MAX).replicas), (0, 1, 1));
        assert_eq!(
            pods(7).formula,
            "(ready 0 + reserved 0 + unacked 0 + due 7): there is something to do, so 1"
        );
    }

    #[test]
    fn as_many_pods_as_drain_it_in_time() {
        // 6000 tasks of 0.1 s are ten minutes of work.
        assert_eq!(drained(6000, 1, Some(0.1)), 10);
        assert_eq!(drained(6000, 5, Some(0.1)), 2);
        assert_eq!(drained(1, 5, Some(0.1)), 1);
        assert_eq!(drained(0, 5, Some(0.1)), 0);
    }

    #[test]
    fn tasks_of_an_hour_get_a_place_each_and_no_more() {
        assert_eq!(drained(10, 1, Some(3600.0)), 10);
        assert_eq!(drained(10, 4, Some(3600.0)), 3);
        let target = Target::Drain(Duration::from_mins(1));
        let work = Work { ready: 4, reserved: 6, ..Work::default() };
        let formula = wanted(&scaling(target, 4), work, Some(3600.0)).formula;
        assert!(formula.ends_with("= 150, but 10 tasks fill no more than 3"), "{formula}");
    }

    #[test]
    fn where_nobody_knows_how_long_a_task_takes_one_pod_finds_out() {
        assert_eq!(drained(10_000, 1, None), 1);
        assert_eq!(drained(0, 1, None), 0);
        assert_eq!(drained(10_000, 1, Some(0.0)), 1);
    }

    #[test]
    fn numbers_beyond_all_bounds_are_numbers() {
        assert_eq!(drained(u64::MAX, 1, Some(f64::MAX)), u32::MAX);
        assert_eq!(drained(u64::MAX, 1, Some(1.0)), u32::MAX);
    }
}
