//! The names of Celery's keys of groups and chords.

use petiole_protocol::keys::ResultKeys;

/// Before a task's id in its key, and before a group's.
const TASK: &str = "celery-task-meta-";
const GROUP: &str = "celery-taskset-meta-";

/// The keys of groups, behind the same prefix as those of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupKeys {
    head: String,
}

impl GroupKeys {
    /// Keys behind this prefix, set off as [`ResultKeys::new`] does it.
    pub fn new(prefix: &str) -> Self {
        let task = ResultKeys::new(prefix).task("");
        Self { head: format!("{}{GROUP}", task.strip_suffix(TASK).unwrap_or_default()) }
    }

    /// String: a saved `GroupResult`. A chord's other keys are this one with a suffix; see `chord.lua`.
    pub fn group(&self, id: &str) -> String {
        format!("{}{id}", self.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_key_stands_behind_the_prefix_of_the_tasks_keys() {
        assert_eq!(GroupKeys::new("").group("g"), "celery-taskset-meta-g");
        assert_eq!(GroupKeys::new("app").group("g"), "app_celery-taskset-meta-g");
        assert_eq!(GroupKeys::new("app:").group("g"), "app:celery-taskset-meta-g");
    }
}
