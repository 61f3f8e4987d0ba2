//! A signature's options: names and JSON texts, looked up and merged by Celery's rules, everything else passed on.

use std::sync::Arc;

use super::CanvasError;
use crate::json::{self, quote, string};

/// The id that the signature's message gets; of a group, the group's.
pub(super) const TASK_ID: &str = "task_id";
pub(super) const GROUP_ID: &str = "group_id";
pub(super) const GROUP_INDEX: &str = "group_index";
/// The body of the chord whose header the signature is a part of.
pub(super) const CHORD: &str = "chord";
/// The steps that follow, the next one last.
pub(super) const CHAIN: &str = "chain";
pub(super) const LINK: &str = "link";
pub(super) const LINK_ERROR: &str = "link_error";
pub(super) const ROOT_ID: &str = "root_id";
pub(super) const PARENT_ID: &str = "parent_id";
pub(super) const REPLY_TO: &str = "reply_to";
pub(super) const COUNTDOWN: &str = "countdown";
pub(super) const ETA: &str = "eta";
pub(super) const PRIORITY: &str = "priority";
/// `false`: the message is not among the children of the task that sends it.
pub(super) const ADD_TO_PARENT: &str = "add_to_parent";
/// The names of the signature's stamps, whose values are options beside it.
pub(super) const STAMPED_HEADERS: &str = "stamped_headers";

/// How many options a signature may have, and how many callbacks and errbacks: more than anybody writes. Each goes to
/// every member of a group.
pub(super) const MAX_OPTIONS: usize = 128;

/// Options, in their order. A name stands once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    members: Vec<(String, Arc<str>)>,
}

impl Options {
    /// Reads an object, or `null`.
    pub(super) fn read(value: &str) -> Result<Self, CanvasError> {
        let mut options = Self::default();
        if value == "null" {
            return Ok(options);
        }
        let members = json::members(value.as_bytes())
            .map_err(|_| CanvasError::Shape { what: "a signature's `options`", expected: "an object" })?;
        if members.len() > MAX_OPTIONS {
            return Err(CanvasError::TooManyOptions);
        }
        for (name, value) in members {
            options.set(&name, value);
        }
        if [LINK, LINK_ERROR].iter().any(|name| options.list(name).len() > MAX_OPTIONS) {
            return Err(CanvasError::TooManyOptions);
        }
        Ok(options)
    }

    /// An option's JSON text, `null` too.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    /// An option's JSON text, unless that is `null`.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| *value != "null")
    }

    /// An option that is a text, and not an empty one.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.given(name).and_then(string).filter(|text| !text.is_empty()).map(Into::into)
    }

    /// An option that is a list; a value by itself is a list of one.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        list(self.given(name))
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<Arc<str>>) {
        match self.members.iter_mut().find(|(found, _)| found == name) {
            Some((_, old)) => *old = value.into(),
            None => self.members.push((name.to_owned(), value.into())),
        }
    }

    pub(super) fn set_text(&mut self, name: &str, text: &str) {
        self.set(name, quote(text));
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Arc<str>> {
        let at = self.members.iter().position(|(found, _)| found == name)?;
        Some(self.members.remove(at).1)
    }

    /// Removes an option, and returns it unless it is `null`.
    pub(super) fn take(&mut self, name: &str) -> Option<Arc<str>> {
        self.remove(name).filter(|value| &**value != "null")
    }

    /// Adds values to an option that is a list, unless they are there.
    pub(super) fn append(&mut self, name: &str, values: &[&str]) {
        let mut all = self.list(name);
        let before = all.len();
        for value in values {
            if !all.contains(value) {
                all.push(value);
            }
        }
        if all.len() > before {
            let all = json::array(all);
            self.set(name, all);
        }
    }

    /// How long its text is, about.
    pub(super) fn text_len(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len() + 6).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.members.iter().map(|(name, value)| (&**name, value))
    }

    /// These options with those of a call over them. A signature's group and stamps are its own: a call does not
    /// change them (Celery's rule, without which a chord would wait for a task that went to another group).
    #[must_use]
    pub(super) fn called_with(&self, call: &Self) -> Self {
        let stamps: Vec<String> =
            self.list(STAMPED_HEADERS).into_iter().filter_map(string).map(Into::into).collect();
        self.over(call, |name| stamps.iter().any(|stamp| stamp == name))
    }

    /// The same for a group, whose stamps are nobody's: it sends no message itself.
    #[must_use]
    pub(super) fn group_called_with(&self, call: &Self) -> Self {
        self.over(call, |_| false)
    }

    fn over(&self, call: &Self, keeps: impl Fn(&str) -> bool) -> Self {
        let mut merged = self.clone();
        for (name, value) in call.iter() {
            let kept = matches!(name, GROUP_ID | STAMPED_HEADERS) || keeps(name);
            if !(kept && self.get(name).is_some()) {
                merged.set(name, Arc::clone(value));
            }
        }
        merged
    }

    /// Sets all of these.
    pub(super) fn update(&mut self, others: &Self) {
        for (name, value) in others.iter() {
            self.set(name, Arc::clone(value));
        }
    }

    /// Without the parent: the options that a chord's body takes over, whose parent is the task that completes the
    /// header.
    #[must_use]
    pub(super) fn for_body(&self) -> Self {
        let mut options = self.clone();
        options.remove(PARENT_ID);
        options
    }

    /// Appends the object's text.
    pub(super) fn put(&self, out: &mut String) {
        out.push('{');
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            json::put(out, name);
            out.push_str(": ");
            out.push_str(value);
        }
        out.push('}');
    }
}

/// A list's elements; a value by itself is a list of one.
pub(super) fn list(value: Option<&str>) -> Vec<&str> {
    match value {
        None => Vec::new(),
        Some(value) if value.starts_with('[') => json::elements(value.as_bytes()).unwrap_or_default(),
        Some(value) => vec![value],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        Options::read(text).unwrap()
    }

    #[test]
    fn a_call_changes_all_but_group_and_stamps() {
        let own =
            options(r#"{"group_id": "g", "queue": "a", "tenant": 1, "stamped_headers": ["tenant"], "x": 1}"#);
        let call =
            options(r#"{"group_id": "h", "queue": "b", "tenant": 2, "stamped_headers": [], "root_id": "r"}"#);
        let mut text = String::new();
        own.called_with(&call).put(&mut text);
        assert_eq!(
            text,
            r#"{"group_id": "g", "queue": "b", "tenant": 1, "stamped_headers": ["tenant"], "x": 1, "root_id": "r"}"#
        );
        assert_eq!(Options::default().called_with(&call), call);
    }

    #[test]
    fn a_callback_is_linked_once() {
        let mut options = options(r#"{"link": {"task": "a"}}"#);
        options.append(LINK, &[r#"{"task": "b"}"#, r#"{"task": "a"}"#]);
        options.append(LINK_ERROR, &[r#"{"task": "c"}"#]);
        assert_eq!(options.get(LINK), Some(r#"[{"task": "a"}, {"task": "b"}]"#));
        assert_eq!(options.list(LINK_ERROR), [r#"{"task": "c"}"#]);
    }

    #[test]
    fn no_signature_has_hundreds_of_options() {
        let many = (0..=MAX_OPTIONS).map(|n| format!("\"o{n}\": 1")).collect::<Vec<_>>().join(", ");
        assert_eq!(Options::read(&format!("{{{many}}}")), Err(CanvasError::TooManyOptions));
        assert!(Options::read("[]").is_err());
    }
}
