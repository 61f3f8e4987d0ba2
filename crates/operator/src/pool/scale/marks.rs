//! Which pods go when there are to be fewer: those that do nothing, then those that hold least. Pure.
//!
//! A `ReplicaSet` chooses by itself, and may be told by a cost that stands in an annotation of its pods. Only pods that are
//! to go are marked, just before there are to be fewer: a mark that was set earlier would be of another time. Whichever pod
//! goes, its tasks end first: the mark is for the tasks that need not wait for that, and for the time that it takes.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use petiole_api::names;
use petiole_broker::{Load, Report};

use crate::stores::has_ended;

/// What the annotation of a pod is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) struct Mark {
    /// The pod.
    pub(in crate::pool) pod: String,
    /// Whether it is to go before others; otherwise a mark of an earlier time is taken away.
    pub(in crate::pool) goes: bool,
}

/// The marks that are missing or of an earlier time, where there are to be `fewer` pods. A worker that says nothing has
/// nothing: its pod is only just starting, or has lost its broker.
pub(in crate::pool) fn marks<'a>(
    pods: &[Arc<Pod>],
    reports: impl Iterator<Item = &'a Report>,
    fewer: usize,
) -> Vec<Mark> {
    let loads: HashMap<&str, Load> = reports.map(|report| (report.host.as_str(), report.load)).collect();
    let mut pods: Vec<_> = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none() && !has_ended(pod))
        .map(|pod| {
            let Load { held, running_ms, .. } =
                loads.get(pod.name_any().as_str()).copied().unwrap_or_default();
            // Of pods that do nothing, those that take no tasks go first: so does the ReplicaSet.
            ((held, is_ready(pod), running_ms), pod.name_any(), mark_of(pod))
        })
        .collect();
    pods.sort_unstable();
    let differs = |(index, (_, pod, marked)): (usize, (_, String, bool))| {
        let goes = index < fewer;
        (goes != marked).then_some(Mark { pod, goes })
    };
    pods.into_iter().enumerate().filter_map(differs).collect()
}

fn mark_of(pod: &Pod) -> bool {
    pod.annotations().get(names::POD_DELETION_COST).is_some_and(|cost| cost == names::GOES_FIRST)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, cost: Option<&str>, more: Value) -> Arc<Pod> {
        let mut pod = json!({ "metadata": { "name": name, "annotations": {} }, "status": {
            "conditions": [{ "type": "Ready", "status": "True" }],
        } });
        if let Some(cost) = cost {
            pod["metadata"]["annotations"][names::POD_DELETION_COST] = json!(cost);
        }
        Arc::new(serde_json::from_value(crate::fixtures::with(pod, more)).unwrap())
    }

    fn report(host: &str, held: u64, running_ms: u64) -> Report {
        Report {
            host: host.to_owned(),
            load: Load { held, running_ms, ..Load::default() },
            ..Report::default()
        }
    }

    fn going(pods: &[Arc<Pod>], reports: &[Report], fewer: usize) -> Vec<(String, bool)> {
        let mut marks: Vec<_> =
            marks(pods, reports.iter(), fewer).into_iter().map(|mark| (mark.pod, mark.goes)).collect();
        marks.sort();
        marks
    }

    fn all(pods: &[&str]) -> Vec<(String, bool)> {
        pods.iter().map(|pod| ((*pod).to_owned(), true)).collect()
    }

    #[test]
    fn idle_pods_go_before_busy_ones_and_those_with_most_to_do_go_last() {
        let pods = ["a", "b", "c", "d"].map(|name| pod(name, None, json!({})));
        let reports = [report("a", 2, 10), report("b", 0, 0), report("c", 1, 900), report("d", 1, 20)];
        assert_eq!(going(&pods, &reports, 1), all(&["b"]));
        assert_eq!(going(&pods, &reports, 2), all(&["b", "d"]));
        assert_eq!(going(&pods, &reports, 3), all(&["b", "c", "d"]));
        assert_eq!(going(&pods, &reports, 0), []);
    }

    #[test]
    fn of_those_that_do_nothing_one_that_takes_no_tasks_goes_first() {
        let starting = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
        let pods = [pod("a", None, json!({})), pod("b", None, starting)];
        assert_eq!(going(&pods, &[report("a", 0, 0)], 1), all(&["b"]));
    }

    #[test]
    fn a_mark_of_an_earlier_time_is_taken_away_and_one_of_the_user_s_is_not() {
        let pods = [
            pod("a", Some(names::GOES_FIRST), json!({})),
            pod("b", Some(names::GOES_FIRST), json!({})),
            pod("c", Some("7"), json!({})),
        ];
        let reports = [report("a", 0, 0), report("b", 3, 0), report("c", 4, 0)];
        assert_eq!(going(&pods, &reports, 1), [("b".to_owned(), false)]);
    }

    #[test]
    fn what_ends_already_is_not_chosen() {
        let leaving = json!({ "metadata": { "name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z" } });
        let ended = json!({ "status": { "phase": "Failed" } });
        let pods = [pod("a", None, leaving), pod("b", None, ended), pod("c", None, json!({}))];
        assert_eq!(going(&pods, &[report("c", 9, 9)], 1), all(&["c"]));
    }
}
