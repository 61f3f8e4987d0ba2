//! Which pods go when there are to be fewer: all of them in the order in which they would. Pure.
//!
//! Whichever pod goes, its tasks end first. The order is for the tasks that need not wait for that, and for the time that
//! it takes.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use petiole_api::names;
use petiole_broker::Report;

use crate::stores::has_ended;

/// The label by which a Deployment tells the pods of one template from those of another.
const TEMPLATE: &str = "pod-template-hash";

/// How soon a pod goes; of two of the same kind, the one that holds less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// It takes no tasks, and nobody speaks for it: it has only just begun, or cannot begin. A `ReplicaSet` takes these
    /// first, too.
    Absent,
    /// It was to drain, and has.
    Drained,
    /// It is to drain: who was chosen stays chosen.
    Draining,
    /// It has nothing to do.
    Idle,
    /// It has.
    Busy,
    /// It takes tasks, and nobody knows what it holds.
    Unknown,
}

/// A pod that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) class: Class,
    /// What it holds or runs, whichever is more.
    load: u64,
    pub(super) ready: bool,
    running_ms: u64,
    pub(super) name: String,
    /// Its worker's names. Several, where one has lost its lease of late.
    pub(super) workers: Vec<String>,
    /// It takes no more, as it was wished.
    pub(super) draining: bool,
    /// It has our mark.
    pub(super) marked: bool,
    template: Option<String>,
}

/// The pods that nobody has told to end, the first to go first. `asked` are those that were told to drain.
pub(super) fn candidates(
    pods: &[Arc<Pod>],
    reports: &[Report],
    asked: impl Fn(&str) -> bool,
) -> Vec<Candidate> {
    let mut words: HashMap<&str, Vec<&Report>> = HashMap::new();
    for report in reports {
        words.entry(report.host.as_str()).or_default().push(report);
    }
    let stays = |pod: &&Arc<Pod>| pod.metadata.deletion_timestamp.is_none() && !has_ended(pod);
    let mut all: Vec<_> = pods
        .iter()
        .filter(stays)
        .map(|pod| {
            let name = pod.name_any();
            let words = words.get(name.as_str()).map_or(&[][..], Vec::as_slice);
            candidate(pod, words, asked(&name))
        })
        .collect();
    all.sort_unstable_by(|one, other| one.order().cmp(&other.order()));
    all
}

/// Whether all of them are of one template: while they are not, a Deployment may have more of them than it wants.
pub(super) fn of_one_template(candidates: &[Candidate]) -> bool {
    candidates.windows(2).all(|pair| pair[0].template == pair[1].template)
}

fn candidate(pod: &Pod, words: &[&Report], asked: bool) -> Candidate {
    let ready = is_ready(pod);
    let draining = words.iter().any(|word| word.load.draining);
    let class = match words {
        [] if !ready => Class::Absent,
        [_, ..] if words.iter().all(|word| word.load.is_drained()) => Class::Drained,
        _ if asked || draining => Class::Draining,
        [] => Class::Unknown,
        _ if words.iter().all(|word| word.load.is_idle()) => Class::Idle,
        _ => Class::Busy,
    };
    Candidate {
        class,
        load: words.iter().map(|word| word.load.held.max(word.load.running)).sum(),
        ready,
        running_ms: words.iter().map(|word| word.load.running_ms).sum(),
        name: pod.name_any(),
        workers: words.iter().map(|word| word.incarnation.clone()).collect(),
        draining,
        marked: pod.annotations().get(names::POD_DELETION_COST).is_some_and(|cost| cost == names::GOES_FIRST),
        template: pod.labels().get(TEMPLATE).cloned(),
    }
}

impl Candidate {
    /// Of pods that do nothing, those that take no tasks go first: so does the `ReplicaSet`.
    fn order(&self) -> (Class, u64, bool, u64, &str) {
        (self.class, self.load, self.ready, self.running_ms, &self.name)
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True")
}
