//! A task that puts a signature in its own place: Celery's `Task.replace`.
//!
//! The signature gets the task's id where its result comes from, and all that was to follow the task: its callbacks and
//! errbacks, its place in a group and in a chord's header, and the remaining steps of its chain.

use super::freeze::Ids;
use super::options::{CHORD, GROUP_ID, GROUP_INDEX, LINK, LINK_ERROR, Options, ROOT_ID, list};
use super::plan::Plan;
use super::signature::{Kind, Signature};
use super::{CanvasError, FollowUps, MAX_BYTES, Partial, Sender};
use crate::json::quote;
use crate::message::Message;

/// How many times a task has replaced itself (Celery's name of the header and of the option).
pub(super) const NESTING: &str = "replaced_task_nesting";

/// Calls a signature, as JSON text, in a task's place. The task itself leaves no document.
///
/// A group becomes a chord whose body is `celery.accumulate`, so that there is one task to have the id.
pub fn replaced(parent: &Message, signature: &str, sender: &Sender<'_>) -> Result<FollowUps, CanvasError> {
    let mut signature = Signature::read(signature)?;
    if signature.options.given(CHORD).is_some() {
        return Err(CanvasError::ReplacedByPart);
    }
    if signature.is_empty_chain() {
        return Err(CanvasError::ReplacedByNothing);
    }
    let nesting = parent.replaced_task_nesting.saturating_add(1).to_string();
    let embed = parent.follow_ups();
    // They go to every task at worst.
    let errbacks = embed.errbacks.map_or(0, str::len).saturating_mul(signature.tasks());
    if errbacks > MAX_BYTES {
        return Err(CanvasError::TooLarge);
    }
    let mut plan = Plan::new(parent, sender, "replaced");

    signature = signature.ending_in_one();
    signature.link(&list(embed.callbacks));
    signature.link_error(&list(embed.errbacks));
    if let Kind::Chain(steps) = &mut signature.kind {
        // On the chain they would be called before the steps that are added below.
        let links = signature.options.take(LINK);
        if let Some(last) = steps.last_mut() {
            last.options.append(LINK, &list(links.as_deref()));
        }
        for step in steps {
            step.options.set(NESTING, nesting.as_str());
        }
    }
    plan.freeze(&mut signature, Ids { id: Some(&parent.id), ..Ids::default() })?;
    signature.forget_roots_in_chain();
    let inherited = [
        (CHORD, embed.chord.map(str::to_owned)),
        (GROUP_ID, parent.group.as_deref().map(quote)),
        (GROUP_INDEX, parent.group_index.map(|index| index.to_string())),
        (ROOT_ID, parent.root_id.as_deref().map(quote)),
        (NESTING, Some(nesting.clone())),
    ];
    for (name, value) in inherited {
        // Also what is null counts: it keeps a chord's body from being put into its header's group.
        signature.options.set(name, value.unwrap_or_else(|| "null".to_owned()));
    }
    for step in list(embed.chain).into_iter().rev() {
        let mut step = Signature::read(step)?;
        step.options.set(NESTING, nesting.as_str());
        signature = signature.then(step);
    }
    plan.apply(signature, Partial::default(), Options::default())?;
    // Nobody asks for the children of a task without a document.
    plan.out.children.clear();
    Ok(plan.out)
}

impl Signature {
    /// A group, or a chain that ends in one, with `celery.accumulate` behind it.
    fn ending_in_one(mut self) -> Self {
        match &mut self.kind {
            Kind::Group(_) => self.then(Self::accumulate()),
            Kind::Chain(steps) => {
                if let Some(group) = steps.pop_if(|last| matches!(last.kind, Kind::Group(_))) {
                    steps.push(group.then(Self::accumulate()));
                }
                self
            }
            _ => self,
        }
    }

    /// Leaves the roots of the headers in a chain to be given when it runs: its ids were given before it had a root.
    pub(super) fn forget_roots_in_chain(&mut self) {
        if let Kind::Chain(steps) = &mut self.kind {
            steps.iter_mut().for_each(Self::forget_roots);
        }
    }

    fn forget_roots(&mut self) {
        match &mut self.kind {
            Kind::Chord(chord) => {
                chord.header.options.remove(ROOT_ID);
                chord.header.forget_roots();
                if let Some(body) = &mut chord.body {
                    body.forget_roots();
                }
            }
            Kind::Group(tasks) | Kind::Chain(tasks) => tasks.iter_mut().for_each(Self::forget_roots),
            Kind::Task => {}
        }
    }

    /// This, and another one after it: Celery's `|`. What it makes depends on what either is, so that a group or a
    /// chord that something follows is one chord.
    fn then(self, other: Self) -> Self {
        let other = other.unrolled();
        match self.kind {
            _ if other.is_empty_group() => self,
            Kind::Chain(_) => self.chain_then(other),
            Kind::Group(tasks) => Self::chord(Self::group(tasks), other),
            Kind::Chord(_) if !matches!(other.kind, Kind::Group(_) | Kind::Chain(_)) => self.body_then(other),
            _ => {
                let mut steps = vec![self];
                match other.kind {
                    Kind::Chain(_) => steps.extend(other.unchained()),
                    _ => steps.push(other),
                }
                Self::chain(steps)
            }
        }
    }

    /// A chord, with this behind its body.
    fn body_then(mut self, other: Self) -> Self {
        if let Kind::Chord(chord) = &mut self.kind {
            chord.body = chord.body.take().map(|body| body.then(other));
        }
        self
    }

    fn chain_then(mut self, other: Self) -> Self {
        if matches!(other.kind, Kind::Chain(_)) {
            return other.unchained().into_iter().fold(self, Self::then);
        }
        let Kind::Chain(steps) = &mut self.kind else { return self };
        let is_chord = |step: &Self| matches!(step.kind, Kind::Chord(_));
        let is_group = |step: &Self| matches!(step.kind, Kind::Group(_));
        let Some(last) = steps.last() else {
            return if is_group(&other) { other } else { Self::chain(vec![other]) };
        };
        if is_group(last) && !is_group(&other) {
            if let Some(group) = steps.pop() {
                let chord = group.then(other);
                // Two chords in a row are one, and another one behind its body.
                match steps.pop_if(|before| is_chord(before)) {
                    Some(before) => steps.push(before.body_then(chord)),
                    None => steps.push(chord),
                }
            }
            return self;
        }
        let extends_body = is_chord(last) && !is_chord(&other);
        if extends_body && !is_group(&other) {
            if let Some(chord) = steps.pop() {
                steps.push(chord.body_then(other));
            }
            return self;
        }
        let mut steps = self.unchained();
        match steps.pop_if(|last| extends_body && is_chord(last)) {
            Some(chord) => steps.push(chord.body_then(other)),
            None => steps.push(other),
        }
        Self::chain(steps)
    }

    /// A chain's steps, with its callbacks at the last of them and its errbacks at each. Its other options are lost.
    fn unchained(self) -> Vec<Self> {
        let Kind::Chain(mut steps) = self.kind else { return vec![self] };
        if let Some(last) = steps.last_mut() {
            last.link(&self.options.list(LINK));
        }
        let errbacks = self.options.list(LINK_ERROR);
        if !errbacks.is_empty() {
            for step in &mut steps {
                step.link_error(&errbacks);
            }
        }
        steps
    }
}
