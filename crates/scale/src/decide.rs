//! All of it in order: what the work is worth, what the limits allow, and how far a step may go.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::behavior::{highest_step, lowest_step, stabilized};
use crate::decision::{Decision, Reason};
use crate::history::History;
use crate::runtime::elapsed;
use crate::scaling::{Pause, Scaling};
use crate::target;
use crate::work::{Seen, Work};

/// Decides how many pods there should be, where there were to be `current`. The same arguments have the same answer.
///
/// Nothing is noted: [`History::note`] is the caller's.
pub fn decide(scaling: &Scaling, history: &History, seen: &Seen, current: u32, now: Timestamp) -> Decision {
    let path = Path { scaling, history, now, current: scaling.within_limits(current) };
    let (wanted, recommended, mut found) = match *seen {
        Seen::Work { work, task_seconds } => {
            let wanted = target::wanted(scaling, work, task_seconds);
            let recommended = scaling.within_limits(wanted.replicas);
            (Some(wanted.replicas), Some(recommended), path.by_work(work, &wanted, recommended))
        }
        Seen::Unknown { since } => (None, None, path.without(since, current)),
    };
    found.pause(scaling.pause, current);
    let Found { replicas, reason, formula } = found;
    Decision { at: now, replicas, current, seen: *seen, wanted, recommended, reason, formula }
}

impl History {
    /// Takes note of a decision, and that it was carried out. While nobody knows how much there is to do, what there is
    /// counts as right, and as if there were work: after an outage windows and cool-down begin anew.
    pub fn note(&mut self, decision: &Decision) {
        let nothing_to_do = matches!(decision.seen, Seen::Work { work, .. } if work.total() == 0);
        if !nothing_to_do {
            self.worked(decision.at);
        }
        self.recommended(decision.recommended.unwrap_or(decision.replicas), decision.at);
        self.changed(decision.current, decision.replicas, decision.at);
        self.looked(decision.at);
    }
}

struct Path<'a> {
    scaling: &'a Scaling,
    history: &'a History,
    now: Timestamp,
    /// What there was to be, within the limits of now: what they take away or ask for is not asked about further.
    current: u32,
}

/// What was found so far.
struct Found {
    replicas: u32,
    reason: Reason,
    formula: String,
}

impl Found {
    /// Goes on with another number, if it is another one.
    fn hold(&mut self, replicas: u32, reason: Reason, why: &str) {
        if replicas != self.replicas {
            // Writing to a String cannot fail.
            let _ = write!(self.formula, "; {why}: {replicas}");
            self.replicas = replicas;
            self.reason = reason;
        }
    }

    fn pause(&mut self, pause: Pause, current: u32) {
        let (held, why) = match pause {
            Pause::No => return,
            Pause::In => (self.replicas.max(current), "scaling in is paused"),
            Pause::Out => (self.replicas.min(current), "scaling out is paused"),
            Pause::Both => (current, "scaling is paused"),
        };
        self.hold(held, Reason::Paused, why);
    }
}

impl Path<'_> {
    fn by_work(&self, work: Work, wanted: &target::Wanted, recommended: u32) -> Found {
        let Self { scaling, history, now, current } = *self;
        let mut found = Found {
            replicas: wanted.replicas,
            reason: Reason::DesiredWithinRange,
            formula: wanted.formula.clone(),
        };
        if recommended < wanted.replicas {
            found.hold(recommended, Reason::TooManyReplicas, "at most max");
        } else {
            found.hold(recommended, Reason::TooFewReplicas, "at least min");
        }
        let stable = stabilized(scaling, history, current, recommended, now);
        if stable < recommended {
            let why = format!("the lowest of the last {:?}", scaling.up.window);
            found.hold(stable, Reason::ScaleUpStabilized, &why);
        } else {
            let why = format!("the highest of the last {:?}", scaling.down.window);
            found.hold(stable, Reason::ScaleDownStabilized, &why);
        }
        if stable > current {
            let most = highest_step(&scaling.up, history, current, now);
            found.hold(stable.min(most), Reason::ScaleUpLimit, "as far as scaleUp lets it now");
        } else {
            let fewest = lowest_step(&scaling.down, history, current, now);
            found.hold(stable.max(fewest), Reason::ScaleDownLimit, "as far as scaleDown lets it now");
        }
        let warm = work.total() == 0 && history.idle_for(now) < scaling.cool_down;
        if found.replicas == 0 && current > 0 && warm {
            let why = format!("nothing to do for less than {:?}", scaling.cool_down);
            found.hold(1, Reason::CoolingDown, &why);
        }
        found
    }

    /// Unknown is not zero.
    fn without(&self, since: Timestamp, before: u32) -> Found {
        let Self { scaling, now, .. } = *self;
        if let Some(fallback) = scaling.fallback.filter(|fallback| elapsed(since, now) >= fallback.after) {
            let why = format!("nobody knows how much there is to do for {:?}: the fallback", fallback.after);
            let replicas = scaling.within_limits(fallback.replicas);
            return Found { replicas, reason: Reason::Fallback, formula: why };
        }
        let formula = "nobody knows how much there is to do: as before".to_owned();
        let mut found = Found { replicas: before, reason: Reason::SignalUnknown, formula };
        found.hold(before.max(scaling.min), Reason::TooFewReplicas, "at least min");
        found.hold(found.replicas.min(scaling.max), Reason::TooManyReplicas, "at most max");
        found
    }
}

#[cfg(test)]
mod tests;
