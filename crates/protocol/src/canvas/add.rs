//! A task that adds others to the chord whose header it is a part of: Celery's `Task.add_to_chord`.

use super::freeze::Ids;
use super::options::{CHORD, GROUP_ID, GROUP_INDEX, Options, ROOT_ID};
use super::plan::Plan;
use super::signature::{Kind, Signature};
use super::{CanvasError, FollowUps, Partial, Sender};
use crate::json::quote;
use crate::message::Message;

/// Calls signatures, as JSON texts, as further parts of a task's chord. Each gets the place of the task, and counts once:
/// [`FollowUps::adds`] says by which ids. A group is refused, of which Celery would count one member.
pub fn added_to_chord<'a>(
    parent: &Message,
    signatures: impl IntoIterator<Item = &'a str>,
    sender: &Sender<'_>,
) -> Result<FollowUps, CanvasError> {
    let (Some(chord), Some(group)) = (parent.follow_ups().chord, parent.group.as_deref()) else {
        return Err(CanvasError::NotInChord);
    };
    let mut plan = Plan::new(parent, sender, "added");
    for signature in signatures {
        let mut signature = Signature::read(signature)?;
        if matches!(signature.kind, Kind::Group(_)) {
            return Err(CanvasError::AddsGroup);
        }
        let index = parent.group_index.map(|index| index.to_string());
        let inherited = [
            (GROUP_ID, Some(quote(group))),
            (GROUP_INDEX, index),
            (CHORD, Some(chord.to_owned())),
            (ROOT_ID, parent.root_id.as_deref().map(quote)),
        ];
        for (name, value) in inherited {
            signature.options.set(name, value.unwrap_or_else(|| "null".to_owned()));
        }
        let result = plan.freeze(&mut signature, Ids::default())?;
        signature.forget_roots_in_chain();
        plan.out.adds.push(result.id);
        plan.apply(signature, Partial::default(), Options::default())?;
    }
    Ok(plan.out)
}
