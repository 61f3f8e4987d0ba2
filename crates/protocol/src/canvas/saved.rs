//! Saved groups: the shape of a header with groups in it, whose values the body gets in that shape.
//!
//! ```text
//!   celery-taskset-meta-<group>   {"result": [["<group>", null], [[["<id>", null], null], [["<inner>", null], [...]]]]}
//! ```

use super::chord::ChordFailure;
use super::tree::ResultTree;
use crate::json::{Object, array, string};
use crate::record::Exception;

/// A group as it was saved when its chord was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedGroup {
    members: Vec<ResultTree>,
}

/// Why a saved group has no values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unready {
    /// These tasks have not ended yet, or their documents are gone.
    Waiting(Vec<String>),
    /// One of its tasks failed.
    Failed(Box<ChordFailure>),
}

impl SavedGroup {
    /// Reads the document; `None` when it is none of a group.
    pub fn read(document: &str) -> Option<Self> {
        let document = Object::read(document.as_bytes()).ok()?;
        Some(Self { members: ResultTree::read(document.get("result")?)?.members? })
    }

    /// A group of these.
    pub(super) fn of(members: Vec<ResultTree>) -> Self {
        Self { members }
    }

    /// The tasks whose documents are needed, in their order.
    pub fn ids(&self) -> Vec<&str> {
        let mut ids = Vec::new();
        self.members.iter().for_each(|member| leaves(member, &mut ids));
        ids
    }

    /// The values, from the documents of its tasks, each an array where the header has a group.
    pub fn values<'a>(&self, document: impl Fn(&str) -> Option<&'a str>) -> Result<Vec<String>, Unready> {
        let mut join = Join { document, waiting: Vec::new(), failed: None };
        let values = self.members.iter().map(|member| join.value(member)).collect();
        match join {
            Join { failed: Some((_, exception)), .. } => {
                Err(Unready::Failed(ChordFailure::join(&exception).into()))
            }
            Join { waiting, .. } if !waiting.is_empty() => Err(Unready::Waiting(waiting)),
            _ => Ok(values),
        }
    }

    /// The same for a chord that nobody counts: whether all have ended is asked before whether one has failed, and a
    /// failure names its task.
    pub(super) fn values_of_ended<'a>(
        &self,
        document: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Vec<String>, Unready> {
        let mut join = Join { document, waiting: Vec::new(), failed: None };
        let values = self.members.iter().map(|member| join.value(member)).collect();
        match join {
            Join { waiting, .. } if !waiting.is_empty() => Err(Unready::Waiting(waiting)),
            Join { failed: Some((id, exception)), .. } => {
                Err(Unready::Failed(ChordFailure::dependency(&id, &exception.to_json()).into()))
            }
            _ => Ok(values),
        }
    }
}

fn leaves<'a>(tree: &'a ResultTree, ids: &mut Vec<&'a str>) {
    match &tree.members {
        Some(members) => members.iter().for_each(|member| leaves(member, ids)),
        None => ids.push(&tree.id),
    }
}

struct Join<F> {
    document: F,
    waiting: Vec<String>,
    /// The first one that failed.
    failed: Option<(String, Exception)>,
}

impl<'a, F: Fn(&str) -> Option<&'a str>> Join<F> {
    fn value(&mut self, tree: &ResultTree) -> String {
        if let Some(members) = &tree.members {
            let values: Vec<_> = members.iter().map(|member| self.value(member)).collect();
            return array(values.iter().map(|value| &**value));
        }
        let document = (self.document)(&tree.id).and_then(|text| Object::read(text.as_bytes()).ok());
        let document = document.unwrap_or_default();
        let result = document.get("result").unwrap_or("null");
        match document.get("status").and_then(string).as_deref() {
            Some("SUCCESS") => return result.to_owned(),
            Some("FAILURE" | "REVOKED") => {
                let unknown = || Exception::new("builtins", "Exception", result);
                let exception = Exception::read(result).unwrap_or_else(unknown);
                self.failed.get_or_insert_with(|| (tree.id.clone(), exception));
            }
            _ => self.waiting.push(tree.id.clone()),
        }
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = r#"{"result": [["g", null], [[["a", [["z", null], null]], null], [["h", null], [[["b", null], null], [["c", null], null]]]]]}"#;

    fn values(document: impl Fn(&str) -> Option<&'static str>) -> Result<Vec<String>, Unready> {
        SavedGroup::read(SAVED).unwrap().values(document)
    }

    #[test]
    fn values_come_in_the_shape_of_the_header() {
        assert_eq!(SavedGroup::read(SAVED).unwrap().ids(), ["a", "b", "c"]);
        let document = |id: &str| match id {
            "a" => Some(r#"{"status": "SUCCESS", "result": 1}"#),
            "b" => Some(r#"{"status": "SUCCESS", "result": [NaN]}"#),
            _ => Some(r#"{"status": "SUCCESS", "result": null}"#),
        };
        assert_eq!(values(document).unwrap(), ["1", "[[NaN], null]"]);
    }

    #[test]
    fn a_failure_counts_more_than_a_document_that_is_missing() {
        assert_eq!(values(|_| None), Err(Unready::Waiting(["a", "b", "c"].map(str::to_owned).to_vec())));
        let failed = |id: &str| {
            (id == "b").then_some(
                r#"{"status": "FAILURE", "result": {"exc_type": "ValueError", "exc_message": ["bad", 3], "exc_module": "builtins"}}"#,
            )
        };
        let Err(Unready::Failed(failure)) = values(failed) else { panic!("no failure") };
        assert_eq!(failure.exception.repr(), r#"ChordError("Join error: ValueError('bad', 3)")"#);
    }

    #[test]
    fn what_is_no_group_is_none() {
        for document in ["{}", "[]", r#"{"result": [["a", null], null]}"#, r#"{"result": 5}"#] {
            assert_eq!(SavedGroup::read(document), None, "{document}");
        }
    }
}
