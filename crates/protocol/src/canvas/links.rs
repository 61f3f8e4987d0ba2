//! Callbacks, errbacks and bodies: where they are put in a group, a chain or a chord.

use std::sync::Arc;

use super::options::{
    CHORD, GROUP_ID, GROUP_INDEX, LINK, LINK_ERROR, Options, PARENT_ID, ROOT_ID, TASK_ID, list,
};
use super::signature::{Kind, Signature};
use crate::json;

/// The options of a chain that it uses itself and does not pass on to its first task.
const OF_A_CHAIN: [&str; 8] = [CHORD, GROUP_ID, GROUP_INDEX, LINK, LINK_ERROR, PARENT_ID, ROOT_ID, TASK_ID];

impl Signature {
    /// Links callbacks. A group's go to its first task, without that one's value; a chord's to its body.
    pub(super) fn link(&mut self, callbacks: &[&str]) {
        match &mut self.kind {
            Kind::Group(tasks) if !tasks.is_empty() => {
                let immutable: Vec<_> = callbacks
                    .iter()
                    .filter_map(|callback| json::set(callback, &["immutable"], "true").ok())
                    .collect();
                let immutable: Vec<_> = immutable.iter().map(|callback| &**callback).collect();
                tasks[0].link(&immutable);
            }
            Kind::Chord(chord) => {
                if let Some(body) = &mut chord.body {
                    body.link(callbacks);
                }
            }
            _ => self.options.append(LINK, callbacks),
        }
    }

    /// Links errbacks. A group's go to each of its tasks; a chord's to its body, and to chords in its header.
    pub(super) fn link_error(&mut self, errbacks: &[&str]) {
        match &mut self.kind {
            Kind::Group(tasks) => tasks.iter_mut().for_each(|task| task.link_error(errbacks)),
            Kind::Chord(chord) => {
                for task in chord.header.members_mut() {
                    if matches!(task.kind, Kind::Chord(_)) {
                        task.link_error(errbacks);
                    }
                }
                if let Some(body) = &mut chord.body {
                    body.link_error(errbacks);
                }
            }
            _ => self.options.append(LINK_ERROR, errbacks),
        }
    }

    /// Moves callbacks and errbacks of a chord to its body, where this is that.
    pub(super) fn link_body(&mut self, options: &mut Options) {
        let (callbacks, errbacks) = (options.take(LINK), options.take(LINK_ERROR));
        let (callbacks, errbacks) = (list(callbacks.as_deref()), list(errbacks.as_deref()));
        if !callbacks.is_empty() {
            self.link(&callbacks);
        }
        match &self.kind {
            _ if errbacks.is_empty() => {}
            Kind::Group(_) => self.link_error_of_body(&errbacks, true),
            _ => self.options.append(LINK_ERROR, &errbacks),
        }
    }

    /// Links an errback to each task of a body that is a group. A group with errbacks of its own, which it puts over
    /// those of its tasks when it runs, gets it there.
    fn link_error_of_body(&mut self, errbacks: &[&str], runs: bool) {
        let has_own = runs && self.options.given(LINK_ERROR).is_some();
        match &mut self.kind {
            Kind::Group(_) if has_own => self.options.append(LINK_ERROR, errbacks),
            Kind::Group(tasks) => tasks.iter_mut().for_each(|task| task.link_error_of_body(errbacks, false)),
            Kind::Chord(chord) => {
                if let Some(body) = &mut chord.body {
                    body.link_error_of_body(errbacks, true);
                }
            }
            _ => self.link_error(errbacks),
        }
    }

    /// The members of a group or chain.
    pub(super) fn members_mut(&mut self) -> &mut [Signature] {
        match &mut self.kind {
            Kind::Group(tasks) | Kind::Chain(tasks) => tasks,
            _ => &mut [],
        }
    }

    /// The members of a group or chain.
    pub(super) fn members(&self) -> &[Signature] {
        match &self.kind {
            Kind::Group(tasks) | Kind::Chain(tasks) => tasks,
            _ => &[],
        }
    }

    /// How many tasks of this count for a group, when this is a member of it: those that a chain or a chord ends with.
    /// A group at the end of a chain in a header has members that count for the header's group, and none for itself.
    pub(super) fn size(&self, group: &str) -> u64 {
        let in_all = |tasks: &[Self]| tasks.iter().map(|task| task.size(group)).sum();
        match &self.kind {
            Kind::Task => u64::from(self.options.text(GROUP_ID).as_deref() == Some(group)),
            Kind::Group(tasks) => in_all(tasks),
            Kind::Chain(tasks) => {
                tasks.iter().rev().map(|task| task.size(group)).find(|size| *size > 0).unwrap_or(0)
            }
            Kind::Chord(chord) => chord.body.as_ref().map_or(0, |body| body.size(group)),
        }
    }

    /// Takes the chords' bodies out of the headers of chords that do not run yet: each has its body once already, and
    /// gets it back when it runs. Otherwise a message would hold a body for each task of each header.
    pub(super) fn strip_headers(&mut self) {
        match &mut self.kind {
            Kind::Chord(chord) => {
                chord.header.clear_chord();
                chord.header.strip_headers();
                if let Some(body) = &mut chord.body {
                    body.strip_headers();
                }
            }
            Kind::Group(tasks) | Kind::Chain(tasks) => tasks.iter_mut().for_each(Self::strip_headers),
            Kind::Task => {}
        }
    }

    fn clear_chord(&mut self) {
        self.options.remove(CHORD);
        match &mut self.kind {
            Kind::Group(tasks) => tasks.iter_mut().for_each(Self::clear_chord),
            Kind::Chain(tasks) => {
                if let Some(last) = tasks.last_mut() {
                    last.clear_chord();
                }
            }
            Kind::Chord(chord) => {
                if let Some(body) = &mut chord.body {
                    body.clear_chord();
                }
            }
            Kind::Task => {}
        }
    }

    /// Whether this is a chord whose body is a chain that begins with a single task. Such a body can be cut behind its
    /// first task; a group at the start would run the rest once for each member.
    pub(super) fn has_chain_for_a_body(&self) -> bool {
        let Kind::Chord(chord) = &self.kind else { return false };
        match chord.body.as_ref().map(|body| &body.kind) {
            Some(Kind::Chain(tasks)) => {
                tasks.first().is_some_and(|task| !matches!(task.kind, Kind::Group(_)))
            }
            _ => false,
        }
    }

    /// Cuts a chord's body, a chain, behind its first task: the chord, and the steps that follow it.
    pub(super) fn unroll_body(mut self) -> Vec<Self> {
        let Kind::Chord(chord) = &mut self.kind else { return vec![self] };
        let Some(Signature { kind: Kind::Chain(mut tasks), options, .. }) = chord.body.take() else {
            return vec![self];
        };
        if let Some(last) = tasks.last_mut() {
            last.link(&options.list(LINK));
        }
        for task in &mut tasks {
            task.link_error(&options.list(LINK_ERROR));
        }
        let mut tasks = tasks.into_iter();
        if let Some(mut first) = tasks.next() {
            let mut passed_on = Options::default();
            for (name, value) in options.iter().filter(|(name, _)| !OF_A_CHAIN.contains(name)) {
                passed_on.set(name, Arc::clone(value));
            }
            first.options = first.options.called_with(&passed_on);
            first.copied = true;
            chord.body = Some(first);
        }
        let mut steps = vec![self];
        steps.extend(tasks);
        steps
    }

    /// Cuts the bodies of the chords in a chain.
    pub(super) fn unroll_chords(&mut self) {
        let Kind::Chain(tasks) = &mut self.kind else { return };
        let mut pending: std::collections::VecDeque<_> = std::mem::take(tasks).into();
        while let Some(mut task) = pending.pop_front() {
            task.unroll_chords();
            if task.has_chain_for_a_body() {
                for step in task.unroll_body().into_iter().rev() {
                    pending.push_front(step);
                }
            } else {
                tasks.push(task);
            }
        }
    }

    /// A group of one is that one.
    pub(super) fn unrolled(self) -> Self {
        match self {
            Signature { kind: Kind::Group(mut tasks), .. } if tasks.len() == 1 => tasks.remove(0),
            other => other,
        }
    }

    pub(super) fn is_empty_group(&self) -> bool {
        matches!(&self.kind, Kind::Group(tasks) if tasks.is_empty())
    }

    pub(super) fn is_empty_chain(&self) -> bool {
        matches!(&self.kind, Kind::Chain(tasks) if tasks.is_empty())
    }
}
