//! What is said of a decision: in status, in a condition, in an event. Pure.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use petiole_api::WorkerPoolStatus;
use petiole_api::conditions::{Fact, SCALING_ACTIVE, Status, reasons};
use petiole_api::scaling::{self, Scaled};
use petiole_scale::scaling::Pause;
use petiole_scale::{Decision, Reason, Scaling, Seen};

use super::count;
use super::decisions::Latest;
use crate::pace::Change;

/// Numbers alone are written again only after this time.
const NUMBERS: SignedDuration = SignedDuration::from_mins(5);

/// A decision as status has it.
pub(in crate::pool) fn decision(decision: &Decision) -> scaling::Decision {
    let figure = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
    let (work, task_seconds) = match decision.seen {
        Seen::Work { work, task_seconds } => (Some(work), task_seconds),
        Seen::Unknown { .. } => (None, None),
    };
    scaling::Decision {
        time: Time(decision.at),
        replicas: count(decision.replicas),
        from: count(decision.current),
        reason: decision.reason.as_str().to_owned(),
        formula: decision.formula.clone(),
        ready: work.map(|work| figure(work.ready)),
        reserved: work.map(|work| figure(work.reserved)),
        unacked: work.map(|work| figure(work.unacked)),
        due: work.map(|work| figure(work.due)),
        task_milliseconds: task_seconds.map(milliseconds),
    }
}

fn milliseconds(seconds: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "a cast to an integer saturates")]
    let milliseconds = (seconds * 1000.0).round() as i64;
    milliseconds
}

/// The last change as status has it.
pub(in crate::pool) fn scaled(latest: &Latest) -> Option<Scaled> {
    let change = latest.change?;
    Some(Scaled { time: Time(change.at), from: count(change.from), to: count(change.to) })
}

/// Whether the number of pods follows what there is to do.
pub(in crate::pool) fn active(scaling: &Scaling, latest: Option<&Latest>) -> Fact {
    let (status, reason, message) = match latest {
        None => (Status::Unknown, reasons::NOT_ASKED_YET, "nothing was decided yet".to_owned()),
        Some(Latest { decision, unknown: Some(why), .. }) => {
            let reason = match decision.reason {
                Reason::Fallback => reasons::FALLBACK,
                _ => reasons::SIGNAL_UNKNOWN,
            };
            (Status::False, reason, format!("nobody knows how much there is to do: {why}"))
        }
        Some(_) => match scaling.pause {
            Pause::No => (
                Status::True,
                reasons::SIGNAL_KNOWN,
                "the number of pods follows what there is to do".to_owned(),
            ),
            pause => (
                Status::False,
                reasons::SCALING_PAUSED,
                format!("scaling.pause: {pause:?}: remove it to go on"),
            ),
        },
    };
    Fact { kind: SCALING_ACTIVE, status, reason, message }
}

/// The event of a change: its reason and its text.
pub(in crate::pool) fn announcement(before: u32, now: i32, decision: &Decision) -> (&'static str, String) {
    let reason = if now > count(before) { reasons::SCALED_OUT } else { reasons::SCALED_IN };
    (reason, format!("{before} -> {now} pods, {}: {}", decision.reason, decision.formula))
}

/// What a write of `new` would change in what is said of scaling.
pub(in crate::pool) fn change(old: &WorkerPoolStatus, new: &WorkerPoolStatus) -> Change {
    // Whoever leads next has to know that some drain, and what for.
    let drains = |status: &WorkerPoolStatus| status.draining_replicas > 0;
    if old.desired_replicas != new.desired_replicas
        || old.last_scaled != new.last_scaled
        || drains(old) != drains(new)
    {
        return Change::State;
    }
    match (&old.last_decision, &new.last_decision) {
        (None, None) => Change::None,
        (Some(old), Some(new)) if (old.replicas, &old.reason) == (new.replicas, &new.reason) => {
            let age = new.time.0.duration_since(old.time.0);
            if age >= NUMBERS { Change::Figures } else { Change::None }
        }
        _ => Change::Figures,
    }
}
