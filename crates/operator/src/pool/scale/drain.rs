//! How a pool gets fewer pods without a task being cut off: who is to drain, and how many may go by now. Pure.
//!
//! ```text
//!   chosen ──wish──> takes no more, ──────────> drained ──────────> not ready ──marked──> the Deployment wants one less
//!     │              finishes what runs            └── or some seconds over ────┘
//!     ├── says nothing of draining for some seconds, or drains for longer than its grace period ──┘
//!     └── wanted again: called back, and has lost nothing
//! ```
//!
//! What is wanted stands in the decision or in `replicas`; the Deployment follows, pod by pod. Neither the mark nor the
//! readiness is relied on alone: whoever goes has nothing to do by its own word.
//!
//! While the broker cannot be asked, nobody knows who is busy, and nobody goes. But somebody who asks for fewer pods in so
//! many words, by `replicas` or by a fallback, gets them after a while: then the drain that SIGTERM begins is what
//! protects the tasks. Without that a pool whose broker is gone for good could not be stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use petiole_broker::{Report, Wish};

use super::choice::{Candidate, Class, candidates, of_one_template};
use super::marks::{Mark, marks};

/// How long a wish lasts that is not said again: another leader has taken over long before.
pub(in crate::pool) const LASTS: Duration = Duration::from_secs(15);

/// Between two times that a wish is said which has not changed.
const AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// A drained pod that is still ready after so long goes as it is: its probe fails three times, a second apart.
const UNREADY_WITHIN: SignedDuration = SignedDuration::from_secs(6);

/// A worker that has not said that it drains after so long does not know how: it is of an earlier version, or nobody
/// knows its name. Several of its beats.
const DEAF: SignedDuration = SignedDuration::from_secs(10);

/// So long those wait for the broker who ask for fewer pods in so many words.
const UNANSWERED: SignedDuration = SignedDuration::from_secs(30);

/// What was known so long ago is of another time: this process has not led meanwhile, or was stopped.
const FORGOTTEN: SignedDuration = SignedDuration::from_mins(1);

/// What is seen of a pool that may have too many pods.
#[derive(Debug, Clone, Copy)]
pub(in crate::pool) struct Seen<'a> {
    /// Its pods.
    pub(in crate::pool) pods: &'a [Arc<Pod>],
    /// What its workers say; nothing, when the broker cannot be asked.
    pub(in crate::pool) reports: Option<&'a [Report]>,
    /// So many pods there are to be.
    pub(in crate::pool) wanted: i32,
    /// That holds even when nobody knows what they do.
    pub(in crate::pool) insists: bool,
    /// So many the Deployment wants; nothing, where there is none.
    pub(in crate::pool) number: Option<i32>,
    /// How long a pod may take to end.
    pub(in crate::pool) grace: SignedDuration,
    /// Now.
    pub(in crate::pool) now: Timestamp,
}

/// What is known of an earlier look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// When that was.
    at: Timestamp,
    /// So many the Deployment was to want then: what is watched may be older.
    number: Option<i32>,
    /// The pods that are to drain, by their names.
    asked: BTreeMap<String, Asked>,
    /// The workers that were told so, and when all of them were told last.
    told: BTreeSet<String>,
    told_at: Timestamp,
    /// Since when the broker cannot be asked.
    unknown: Option<Timestamp>,
}

/// A pod that is to drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    since: Timestamp,
    /// It has said that it drains.
    heard: bool,
    drained: Option<Timestamp>,
}

impl Asked {
    /// The same, as if it had been asked only now: nobody knows what it has done since.
    fn anew(self, now: Timestamp) -> Self {
        Self { since: now, drained: None, ..self }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::pool) struct Plan {
    /// What workers are to be told.
    pub(in crate::pool) wishes: Vec<(String, Wish)>,
    /// What annotations of pods are to be.
    pub(in crate::pool) marks: Vec<Mark>,
    /// So many the Deployment is to want.
    pub(in crate::pool) replicas: i32,
    /// So many pods drain.
    pub(in crate::pool) draining: i32,
    /// There is more to do as soon as something has changed, or without that after a second.
    pub(in crate::pool) goes_on: bool,
}

/// What to do now, and what to know the next time.
pub(super) fn plan(seen: &Seen<'_>, before: &Known) -> (Plan, Known) {
    let Seen { pods, reports, wanted, insists, grace, now, .. } = *seen;
    let forgotten = Known::default();
    let before = if now.duration_since(before.at) > FORGOTTEN { &forgotten } else { before };
    // What is watched may be from before our last write, and must not undo it.
    let Some(number) = seen.number.map(|live| before.number.map_or(live, |ours| live.min(ours))) else {
        let known = Known { at: now, number: Some(wanted), ..Known::default() };
        return (Plan { replicas: wanted, ..Plan::default() }, known);
    };
    let unknown = if reports.is_none() { before.unknown.or(Some(now)) } else { None };
    if unknown.is_some() && !insists {
        // Nobody goes, and nobody can be told anything: what was wished lapses, and is wished again.
        let replicas = wanted.max(number);
        let asked = before.asked.iter().map(|(pod, asked)| (pod.clone(), asked.anew(now))).collect();
        let known = Known { at: now, number: Some(replicas), asked, unknown, ..before.clone() };
        let draining = count(known.asked.len());
        return (Plan { replicas, draining, goes_on: replicas > wanted, ..Plan::default() }, known);
    }

    let all = candidates(pods, reports.unwrap_or_default(), |pod| before.asked.contains_key(pod));
    let (fewer, there) = ((number - wanted).max(0), count(all.len()));
    // Those that are not there yet need not come.
    let missing = (number - there).clamp(0, fewer);
    // Those that the Deployment is rid of, and that have not been told so yet.
    let leaving = if of_one_template(&all) { (there - number.max(wanted)).max(0) } else { 0 };
    let (chosen, staying) = all.split_at(index(fewer - missing + leaving).min(all.len()));

    let asked: BTreeMap<String, Asked> = chosen
        .iter()
        .filter(|candidate| candidate.class != Class::Absent)
        .map(|candidate| {
            let asked = before.asked.get(&candidate.name).copied();
            let asked = asked.unwrap_or(Asked { since: now, heard: false, drained: None });
            let drained = (candidate.class == Class::Drained).then(|| asked.drained.unwrap_or(now));
            let asked = Asked { heard: asked.heard || candidate.draining, drained, ..asked };
            (candidate.name.clone(), if unknown.is_some() { asked.anew(now) } else { asked })
        })
        .collect();
    let unanswered = unknown.is_some_and(|since| now.duration_since(since) >= UNANSWERED);
    let may_go = |candidate: &&Candidate| match asked.get(&candidate.name) {
        None => true,
        Some(_) if unknown.is_some() => unanswered,
        Some(Asked { since, heard, drained }) => {
            let for_long = |since: Timestamp, bound| now.duration_since(since) >= bound;
            drained.is_some_and(|since| !candidate.ready || for_long(since, UNREADY_WITHIN))
                || (!heard && for_long(*since, DEAF))
                || for_long(*since, grace)
        }
    };
    let going: BTreeSet<&str> =
        chosen.iter().filter(may_go).map(|candidate| candidate.name.as_str()).collect();
    let gone = (count(going.len()) - leaving).max(0);
    let replicas = (number - missing - gone).max(wanted);
    let marks = if gone > 0 { marks(&all, |pod| going.contains(pod)) } else { Vec::new() };

    let told: BTreeSet<String> = chosen.iter().flat_map(|candidate| candidate.workers.clone()).collect();
    let again = !told.is_subset(&before.told) || now.duration_since(before.told_at) >= AGAIN;
    let called_back = staying
        .iter()
        .filter(|candidate| candidate.draining || before.asked.contains_key(&candidate.name))
        .flat_map(|candidate| candidate.workers.iter().map(|worker| (worker.clone(), Wish::Work)));
    let drain = told.iter().filter(|_| again).map(|worker| (worker.clone(), Wish::Drain));
    let wishes: Vec<_> = drain.chain(called_back).collect();
    let plan = Plan {
        marks,
        replicas,
        draining: count(asked.len()),
        goes_on: replicas > wanted || !asked.is_empty() || !wishes.is_empty(),
        wishes,
    };
    let told_at = if again { now } else { before.told_at };
    (plan, Known { at: now, number: Some(replicas), asked, told, told_at, unknown })
}

/// As Kubernetes counts.
fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn index(count: i32) -> usize {
    usize::try_from(count).unwrap_or_default()
}

#[cfg(test)]
mod tests;
