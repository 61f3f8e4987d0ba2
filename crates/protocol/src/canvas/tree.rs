//! Results as Celery writes them: who the children of a task are, and what a saved group consists of.
//!
//! ```text
//!   a task    [["<id>", parent or null], null]
//!   a group   [["<id>", parent or null], [member, ...]]
//! ```

use crate::json::{self, string};

/// How many steps before it a result names. Celery names all of them, and no client of it reads more than some
/// hundreds, by Python's limit of recursion.
const MAX_ANCESTORS: usize = 100;

/// How deep the members of groups and the ancestors that are read may nest.
const MAX_NESTING: usize = 256;

/// A result: of a task, or of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultTree {
    /// The task's id, or the group's.
    pub id: String,
    /// What ran before it.
    pub(super) parent: Option<Box<ResultTree>>,
    /// A group's members.
    pub members: Option<Vec<ResultTree>>,
    /// How deep it nests: members, and what ran before.
    depth: usize,
}

impl ResultTree {
    /// The result of a task.
    pub fn task(id: impl Into<String>) -> Self {
        Self { id: id.into(), parent: None, members: None, depth: 1 }
    }

    pub(super) fn group(id: impl Into<String>, members: Vec<Self>) -> Self {
        let depth = 1 + members.iter().map(|member| member.depth).max().unwrap_or_default();
        Self { id: id.into(), parent: None, members: Some(members), depth }
    }

    /// The result of a chain, from those of its steps, the last one first.
    pub(super) fn chain(results: Vec<Self>) -> Option<Self> {
        let mut steps = results.into_iter().take(MAX_ANCESTORS).rev();
        let first = steps.next()?;
        Some(steps.fold(first, |before, mut step| {
            step.set_origin(before);
            step
        }))
    }

    /// Names what ran before the first of what this one names, unless that would nest too deeply to be read.
    pub(super) fn set_origin(&mut self, origin: Self) {
        let depth = origin.depth + 1;
        if self.depth + depth > MAX_NESTING {
            return;
        }
        match &mut self.parent {
            Some(parent) => parent.set_origin(origin),
            None => self.parent = Some(Box::new(origin)),
        }
        let parent = self.parent.as_ref().map_or(0, |parent| parent.depth);
        self.depth = self.depth.max(parent + 1);
    }

    /// The JSON text.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.put(&mut out);
        out
    }

    pub(super) fn put(&self, out: &mut String) {
        out.push_str("[[");
        json::put(out, &self.id);
        out.push_str(", ");
        match &self.parent {
            Some(parent) => parent.put(out),
            None => out.push_str("null"),
        }
        out.push_str("], ");
        match &self.members {
            None => out.push_str("null"),
            Some(members) => {
                out.push('[');
                for (index, member) in members.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    member.put(out);
                }
                out.push(']');
            }
        }
        out.push(']');
    }

    /// Reads the JSON text, without the parents, which nobody here asks for. An id by itself stands for a task's.
    pub fn read(json: &str) -> Option<Self> {
        Self::read_at(json, 0)
    }

    fn read_at(json: &str, depth: usize) -> Option<Self> {
        let [head, members] = json::elements(json.as_bytes()).ok()?[..] else { return None };
        if depth >= MAX_NESTING {
            return None;
        }
        let id = match json::elements(head.as_bytes()) {
            Ok(head) => string(head.first()?)?,
            Err(_) => string(head)?,
        };
        let members = match members {
            "null" => None,
            members => {
                let members = json::elements(members.as_bytes()).ok()?;
                Some(
                    members
                        .into_iter()
                        .map(|member| Self::read_at(member, depth + 1))
                        .collect::<Option<_>>()?,
                )
            }
        };
        let id = id.into_owned();
        Some(match members {
            Some(members) => Self::group(id, members),
            None => Self::task(id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_what_ran_before_and_a_chords_body_its_header() {
        let mut body = ResultTree::task("body");
        body.set_origin(ResultTree::group("g", vec![ResultTree::task("a")]));
        let chain =
            ResultTree::chain(vec![ResultTree::task("last"), body, ResultTree::task("first")]).unwrap();
        let expected =
            r#"[["last", [["body", [["g", [["first", null], null]], [[["a", null], null]]]], null]], null]"#;
        assert_eq!(chain.to_json(), expected);
        assert_eq!(ResultTree::chain(Vec::new()), None);
    }

    #[test]
    fn a_long_chain_names_its_last_steps_only() {
        let chain =
            ResultTree::chain((0..100_000).map(|n| ResultTree::task(n.to_string())).collect()).unwrap();
        assert!(chain.to_json().starts_with(r#"[["0", [["1", [["2", "#));
        assert!(chain.to_json().len() < 20 * MAX_ANCESTORS);
    }

    #[test]
    fn what_is_written_reads_back_without_parents() {
        let json = r#"[["g", null], [[["a", [["z", null], null]], null], [["h", null], [["b", null]]]]]"#;
        let tree = ResultTree::read(json).unwrap();
        assert_eq!(
            tree.to_json(),
            r#"[["g", null], [[["a", null], null], [["h", null], [[["b", null], null]]]]]"#
        );
        for json in ["5", "[]", "[[5, null], null]", "[[\"a\", null], 5]"] {
            assert_eq!(ResultTree::read(json), None, "{json}");
        }
        let deep = format!("{}{}", r#"[["g", null], ["#.repeat(400), "]]".repeat(400));
        assert_eq!(ResultTree::read(&deep), None);
    }
}
