//! A task failed: the steps that will not run, its chord, its errbacks.

use std::collections::VecDeque;

use super::chord::ChordPart;
use super::options::{CHORD, GROUP_ID, GROUP_INDEX, PARENT_ID, TASK_ID, list};
use super::plan::{Plan, following, one};
use super::signature::{Kind, Signature};
use super::{CanvasError, FollowUps, Partial, Record, Sender, part};
use crate::json;
use crate::message::Message;
use crate::record::{Document, Exception, State};

/// What follows a task that failed, once its own document is stored: its part of a chord, a document with the same
/// exception for each step that remains of its chain, then its errbacks.
///
/// Errbacks are called by the old convention, as one group with the failed task's id before their arguments. Celery
/// calls one that its worker knows, and that takes more than one argument, in the worker itself; here no worker has
/// code of its own. A chain as an errback is called too, which fails in Celery.
///
/// A step that is a group fails with its members, each a part of the chord that the group belongs to; Celery counts the
/// group as one part, so that such a chord never ends.
///
/// What cannot be read is left out, and said in [`FollowUps::refused`].
pub fn after_failure(parent: &Message, exception: &Exception, sender: &Sender<'_>) -> FollowUps {
    let embed = parent.follow_ups();
    let mut plan = Plan::new(parent, sender, "failure");
    plan.out.parts.extend(part(parent, State::Failure, &exception.to_json()));
    plan.fail_steps(embed.chain, exception);
    let root = plan.parent.root;
    plan.call_errbacks(&parent.id, root, list(embed.errbacks));
    plan.out
}

impl Plan<'_> {
    /// Stores the exception for each of these steps.
    pub(super) fn fail_steps(&mut self, chain: Option<&str>, exception: &Exception) {
        let mut pending: VecDeque<Signature> = VecDeque::new();
        for step in list(chain) {
            match Signature::read(step) {
                Ok(step) => pending.push_back(step),
                Err(error) => self.out.refuse(error),
            }
        }
        self.fail_all(pending, exception);
    }

    /// Stores the exception for each of these signatures, and counts those that are parts of a chord. What a chord or a
    /// chain comes to is what it ends with, and what a group comes to is all of it.
    pub(super) fn fail_all(&mut self, mut pending: VecDeque<Signature>, exception: &Exception) {
        let result = exception.to_json();
        while let Some(step) = pending.pop_front() {
            if let Err(error) = self.fail_step(&step, exception) {
                return self.out.refuse(error);
            }
            match step.kind {
                Kind::Task => {
                    let part = part_of(&step, &result);
                    let bytes = part.as_ref().map_or(0, |part| part.member.len() + part.body.len());
                    if let Err(error) = self.charge(bytes) {
                        return self.out.refuse(error);
                    }
                    self.out.parts.extend(part);
                }
                Kind::Group(tasks) => pending.extend(tasks),
                Kind::Chain(mut tasks) => pending.extend(tasks.pop()),
                Kind::Chord(chord) => pending.extend(chord.body),
            }
        }
    }

    fn fail_step(&mut self, step: &Signature, exception: &Exception) -> Result<(), CanvasError> {
        let Some(id) = step.id().filter(|id| !self.failed.contains(id)) else { return Ok(()) };
        let options = &step.options;
        let (group, parent) = (options.text(GROUP_ID), options.text(PARENT_ID));
        let document = Document::failure(&id, exception, self.sender.now);
        let document = document.within(group.as_deref(), parent.as_deref());
        let document = if self.sender.extended {
            document.extended_unsent(&step.task, &step.args, &step.kwargs)
        } else {
            document
        };
        let document = document.to_json();
        self.record(id, document)
    }

    /// Stores a document. A task fails once.
    pub(super) fn record(&mut self, id: String, document: String) -> Result<(), CanvasError> {
        self.charge(document.len())?;
        self.failed.insert(id.clone());
        self.out.records.push(Record { id, document });
        Ok(())
    }

    /// Calls errbacks of a task, as one group.
    pub(super) fn call_errbacks(&mut self, id: &str, root: &str, errbacks: Vec<&str>) {
        if let Err(error) = self.charge(errbacks.iter().map(|errback| errback.len()).sum()) {
            return self.out.refuse(error);
        }
        let mut called = Vec::with_capacity(errbacks.len());
        for errback in errbacks {
            match Signature::read(errback) {
                Ok(errback) => called.push(errback),
                Err(error) => self.out.refuse(error),
            }
        }
        if called.is_empty() {
            return;
        }
        let args = one(&json::quote(id));
        let failed = super::plan::Parent { id, root, ..self.parent };
        let call = following(&failed, None);
        let before = self.out.marks();
        let called = self.apply(Signature::group(called), Partial { args: Some(&args), kwargs: None }, call);
        if let Err(error) = called {
            // All errbacks are called, or none.
            self.out.back_to(&before);
            self.out.refuse(error);
        }
    }
}

/// How much there was of what a call adds.
struct Marks {
    starts: usize,
    sends: usize,
    children: usize,
}

impl FollowUps {
    fn marks(&self) -> Marks {
        Marks { starts: self.starts.len(), sends: self.sends.len(), children: self.children.len() }
    }

    fn back_to(&mut self, marks: &Marks) {
        self.starts.truncate(marks.starts);
        self.sends.truncate(marks.sends);
        self.children.truncate(marks.children);
    }
}

/// The part of a chord that a signature would have been.
fn part_of(step: &Signature, exception: &str) -> Option<ChordPart> {
    let chord = step.options.given(CHORD)?;
    let group = step.options.text(GROUP_ID)?;
    let id = step.options.text(TASK_ID)?;
    let index = step.options.given(GROUP_INDEX).and_then(|index| index.parse().ok());
    Some(ChordPart::new(group, index, &id, State::Failure, exception, chord))
}
