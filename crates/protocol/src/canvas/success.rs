//! A task returned a value: its callbacks, and the next step of its chain.

use super::options::{CHAIN, list};
use super::plan::{Plan, following, one};
use super::signature::{Kind, Signature};
use super::{CanvasError, FollowUps, Partial, Sender};
use crate::json;
use crate::message::Message;

/// What follows a task that returned this value, as JSON text: callbacks, then the next step of its chain. Its chord
/// comes after its document: [`part`](super::part).
///
/// Several callbacks are groups one by one, and the others together as one group (Celery's way). Where this fails, the
/// task has failed: Celery stores it so.
pub fn after_success(parent: &Message, value: &str, sender: &Sender<'_>) -> Result<FollowUps, CanvasError> {
    let embed = parent.follow_ups();
    let mut plan = Plan::new(parent, sender, "success");
    let priority = parent.priority.filter(|_| sender.inherit_priority);
    let call = following(&plan.parent, priority);
    let value = one(value);
    let partial = Partial { args: Some(&value), kwargs: None };

    let callbacks = list(embed.callbacks).into_iter().map(Signature::read);
    let mut callbacks = callbacks.collect::<Result<Vec<_>, _>>()?;
    if callbacks.len() > 1 {
        let (groups, others): (Vec<_>, Vec<_>) =
            callbacks.drain(..).partition(|callback| matches!(callback.kind, Kind::Group(_)));
        callbacks = groups;
        if !others.is_empty() {
            callbacks.push(Signature::group(others));
        }
    }
    for callback in callbacks {
        plan.apply(callback, partial, call.clone())?;
    }

    if let Some((next, rest)) = list(embed.chain).split_last() {
        let mut call = call;
        call.set(CHAIN, json::array(rest.iter().copied()));
        plan.apply(Signature::read(next)?, partial, call)?;
    }
    Ok(plan.out)
}
