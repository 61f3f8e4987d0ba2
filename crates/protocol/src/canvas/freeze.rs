//! Giving out ids: every task of a canvas gets its id, group, place and root before the first message is sent.

use std::collections::VecDeque;
use std::sync::Arc;

use super::options::{CHORD, GROUP_ID, GROUP_INDEX, PARENT_ID, REPLY_TO, ROOT_ID, TASK_ID};
use super::plan::Plan;
use super::signature::{Kind, Signature};
use super::tree::ResultTree;
use super::{CanvasError, Partial};

/// What a signature gets, where it has none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ids<'a> {
    /// Its id.
    pub(super) id: Option<&'a str>,
    /// The group that it is a part of.
    pub(super) group: Option<&'a str>,
    /// The body of the chord whose header it is a part of, as JSON text.
    pub(super) chord: Option<&'a Arc<str>>,
    pub(super) root: Option<&'a str>,
    /// Its place in the group.
    pub(super) index: Option<usize>,
}

impl Plan<'_> {
    /// Gives out ids in a signature. Those that it has stay. Returns its result.
    pub(super) fn freeze(
        &mut self,
        signature: &mut Signature,
        ids: Ids<'_>,
    ) -> Result<ResultTree, CanvasError> {
        match &mut signature.kind {
            Kind::Task => Ok(self.freeze_task(signature, ids)),
            Kind::Group(_) => self.freeze_group(signature, ids),
            Kind::Chain(tasks) => {
                let steps = std::mem::take(tasks);
                let (mut steps, result) = self.prepare(steps, Partial::default(), ids, &[], false)?;
                steps.reverse();
                signature.kind = Kind::Chain(steps);
                let result = result
                    .ok_or(CanvasError::Shape { what: "a chain", expected: "one of at least one task" })?;
                signature.options.set_text(TASK_ID, &result.id);
                Ok(result)
            }
            Kind::Chord(_) => self.freeze_chord(signature, ids),
        }
    }

    fn freeze_task(&mut self, signature: &mut Signature, ids: Ids<'_>) -> ResultTree {
        let options = &mut signature.options;
        let id = options.text(TASK_ID).unwrap_or_else(|| {
            let id = ids.id.map_or_else(|| self.new_id(), str::to_owned);
            options.set_text(TASK_ID, &id);
            id
        });
        if let Some(root) = ids.root {
            options.set_text(ROOT_ID, root);
        }
        if options.get(REPLY_TO).is_none()
            && let Some(reply_to) = self.parent.reply_to
        {
            options.set_text(REPLY_TO, reply_to);
        }
        if let Some(group) = ids.group
            && options.get(GROUP_ID).is_none()
        {
            options.set_text(GROUP_ID, group);
        }
        if let Some(chord) = ids.chord {
            options.set(CHORD, Arc::clone(chord));
        }
        if let Some(index) = ids.index {
            options.set(GROUP_INDEX, index.to_string());
        }
        ResultTree::task(id)
    }

    /// A group's members get its group as theirs where one is given, as in a chord's header; groups in it are members
    /// of its own, in Celery's order, which turns theirs around.
    pub(super) fn freeze_group(
        &mut self,
        signature: &mut Signature,
        ids: Ids<'_>,
    ) -> Result<ResultTree, CanvasError> {
        let options = &mut signature.options;
        let id = options.text(TASK_ID).unwrap_or_else(|| {
            let id = self.new_id();
            options.set_text(TASK_ID, &id);
            id
        });
        if let Some(group) = ids.group {
            options.set_text(GROUP_ID, group);
        }
        if let Some(chord) = ids.chord {
            options.set(CHORD, Arc::clone(chord));
        }
        if let Some(index) = ids.index {
            options.set(GROUP_INDEX, index.to_string());
        }
        if options.get(ROOT_ID).is_none() {
            match ids.root {
                Some(root) => options.set_text(ROOT_ID, root),
                None => options.set(ROOT_ID, "null"),
            }
        }
        if options.get(PARENT_ID).is_none() {
            options.set(PARENT_ID, "null");
        }
        let (root, parent) = (options.text(ROOT_ID), options.text(PARENT_ID));
        let Kind::Group(tasks) = &mut signature.kind else { return Ok(ResultTree::task(id)) };
        let mut pending: VecDeque<_> = std::mem::take(tasks).into();
        let mut members = Vec::with_capacity(pending.len());
        while let Some(mut task) = pending.pop_front() {
            if task.is_empty_chain() {
                continue;
            }
            if let Kind::Group(inner) = task.kind {
                for task in inner {
                    pending.push_front(task);
                }
                continue;
            }
            if let (Kind::Task, Some(parent)) = (&task.kind, &parent) {
                task.options.set_text(PARENT_ID, parent);
            }
            let index = Some(tasks.len());
            members.push(self.freeze(&mut task, Ids { id: None, root: root.as_deref(), index, ..ids })?);
            task.copied = true;
            tasks.push(task);
        }
        Ok(ResultTree::group(id, members))
    }

    /// The body is what stands for a chord in its group. Its header gets the body when it runs.
    fn freeze_chord(&mut self, signature: &mut Signature, ids: Ids<'_>) -> Result<ResultTree, CanvasError> {
        let Kind::Chord(chord) = &mut signature.kind else { return Ok(self.freeze_task(signature, ids)) };
        chord.frozen = true;
        let header = self.freeze_group(&mut chord.header, Ids { root: ids.root, ..Ids::default() })?;
        signature.options.set_text(TASK_ID, &header.id);
        let body = chord.body.as_mut().ok_or(CanvasError::NoBody)?;
        let mut result = self.freeze(body, ids)?;
        result.set_origin(header);
        Ok(result)
    }
}
