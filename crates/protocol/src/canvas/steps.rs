//! The steps of a chain: unrolled, and each with its id, before the first one is sent.

use std::collections::VecDeque;
use std::sync::Arc;

use super::freeze::Ids;
use super::options::{ROOT_ID, TASK_ID};
use super::plan::Plan;
use super::signature::{Kind, Signature};
use super::tree::ResultTree;
use super::{CanvasError, Partial};

impl Plan<'_> {
    /// Prepares a chain's steps. Chains in it become steps, empty groups are left out, and a group that something
    /// follows becomes a chord. The last step gets the ids; the first one the arguments. Returns the steps, the last
    /// one first, as messages have them, and the result of the chain.
    ///
    /// To `run` it, chords whose body is a chain are cut behind the body's first task.
    pub(super) fn prepare(
        &mut self,
        tasks: Vec<Signature>,
        partial: Partial<'_>,
        ids: Ids<'_>,
        errbacks: &[&str],
        run: bool,
    ) -> Result<(Vec<Signature>, Option<ResultTree>), CanvasError> {
        let mut pending = unrolled(tasks);
        let mut steps: Vec<Signature> = Vec::with_capacity(pending.len());
        let mut results: Vec<ResultTree> = Vec::with_capacity(pending.len());
        let mut count = 0;
        while let Some(task) = pending.pop_back() {
            let is_first = pending.is_empty();
            let mut task = task.unrolled();
            if task.is_empty_group() && !(is_first && steps.is_empty()) {
                continue;
            }
            if run && task.has_chain_for_a_body() {
                pending.extend(task.unroll_body());
                continue;
            }
            if is_first {
                task.prepend(partial);
            }
            task.copied |= run;
            if let Kind::Chain(tasks) = task.kind {
                pending.extend(tasks);
                continue;
            }
            if matches!(task.kind, Kind::Group(_))
                && let Some(body) = steps.pop()
            {
                task = upgraded(task, body, results.pop(), ids.root);
            }
            let ids = if count == 0 { ids } else { Ids { root: ids.root, ..Ids::default() } };
            let result = self.freeze(&mut task, ids)?;
            count += 1;
            if !errbacks.is_empty() {
                task.link_error(errbacks);
            }
            steps.push(task);
            results.push(result);
        }
        if run {
            steps.iter_mut().for_each(Signature::strip_headers);
        }
        Ok((steps, ResultTree::chain(results)))
    }
}

impl Signature {
    /// Puts a call's arguments before its own, and keyword arguments over its own, unless it is immutable.
    pub(super) fn prepend(&mut self, partial: Partial<'_>) {
        if self.immutable {
            return;
        }
        self.args = partial.before(&self.args);
        self.kwargs = partial.over(&self.kwargs);
    }
}

/// The steps with what leads them unrolled: the first task of a chain gets its arguments, so what stands first must be
/// a task and not a chain or a group of none.
fn unrolled(tasks: Vec<Signature>) -> VecDeque<Signature> {
    let mut pending: VecDeque<_> = tasks.into();
    let mut stripped = None;
    while let Some(head) = pending.pop_front() {
        match head {
            Signature { kind: Kind::Chain(tasks), .. } => {
                for task in tasks.into_iter().rev() {
                    pending.push_front(task);
                }
            }
            head => {
                let head = head.unrolled();
                if head.is_empty_group() && !pending.is_empty() {
                    stripped = Some(head);
                    continue;
                }
                pending.push_front(head);
                break;
            }
        }
    }
    if pending.is_empty() {
        pending.extend(stripped);
    }
    pending
}

/// A group and what follows it, as a chord. The chord has the body's id, where the body is a single task.
fn upgraded(group: Signature, body: Signature, result: Option<ResultTree>, root: Option<&str>) -> Signature {
    let header = match group.kind {
        Kind::Group(tasks) => Signature::group(tasks),
        _ => group,
    };
    let mut chord = Signature::chord(header, body);
    if let Some(result) = result.filter(|result| result.members.is_none()) {
        chord.options.set_text(TASK_ID, &result.id);
    }
    if let Some(root) = root {
        chord.options.set_text(ROOT_ID, root);
    }
    chord.copied = true;
    chord
}

impl Partial<'_> {
    /// An array with these arguments before its own.
    pub(super) fn before(&self, args: &Arc<str>) -> Arc<str> {
        let inner = |array: &str| -> String {
            let inner = array.strip_prefix('[').and_then(|array| array.strip_suffix(']')).unwrap_or_default();
            inner.trim_ascii().to_owned()
        };
        match self.args.map(inner) {
            None => Arc::clone(args),
            Some(first) if first.is_empty() => Arc::clone(args),
            Some(first) => {
                let rest = inner(args);
                let comma = if rest.is_empty() { "" } else { ", " };
                format!("[{first}{comma}{rest}]").into()
            }
        }
    }

    /// An object with these keyword arguments over its own.
    fn over(&self, kwargs: &Arc<str>) -> Arc<str> {
        let Some(call) = self.kwargs.filter(|call| *call != "{}") else { return Arc::clone(kwargs) };
        let mut merged = crate::json::Object::of(kwargs).unwrap_or_default();
        for (name, value) in crate::json::members(call.as_bytes()).unwrap_or_default() {
            // Both are valid already.
            let _ = merged.set(&name, value.as_bytes());
        }
        merged.as_str().into()
    }
}
