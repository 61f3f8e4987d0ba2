//! Which changes of conditions are worth an event.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use petiole_api::conditions::{self, Status};

/// Something worth an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The condition's reason.
    pub reason: String,
    /// Whether it is good.
    pub good: bool,
    /// The condition's message.
    pub message: String,
}

/// Whether a program that acts on conditions would act otherwise. A message is for people.
pub fn differ(old: &[Condition], new: &[Condition]) -> bool {
    let state = |conditions: &[Condition]| -> Vec<(String, String, String)> {
        let state = |condition: &Condition| {
            (condition.type_.clone(), condition.status.clone(), condition.reason.clone())
        };
        let mut all: Vec<_> = conditions.iter().map(state).collect();
        all.sort();
        all
    };
    state(old) != state(new)
}

/// The news about conditions of these kinds, for which `good` is good: each time that something is bad in another way
/// than before, and when it is good again.
pub fn news(old: &[Condition], new: &[Condition], kinds: &[&str], good: Status) -> Vec<News> {
    let about = |kind: &&str| {
        let now = conditions::find(new, kind)?;
        let before = conditions::find(old, kind);
        let known = |condition: &Condition| condition.status != Status::Unknown.as_str();
        let is_good = |condition: &Condition| condition.status == good.as_str();
        let is_new = match before.filter(|before| known(before)) {
            Some(before) => is_good(now) != is_good(before) || (!is_good(now) && now.reason != before.reason),
            None => !is_good(now),
        };
        (known(now) && is_new).then(|| News {
            reason: now.reason.clone(),
            good: is_good(now),
            message: now.message.clone(),
        })
    };
    kinds.iter().filter_map(about).collect()
}
