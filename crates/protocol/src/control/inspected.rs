//! What other nodes answer to `inspect`, as far as their tasks are counted.

use super::Answer;
use crate::json::{self, Object};

impl Answer {
    /// `ping`: it lives.
    pub fn is_pong(&self) -> bool {
        let answer = Object::of(self.as_str());
        answer
            .and_then(|answer| answer.get("ok").and_then(json::string).map(|ok| ok == "pong"))
            .unwrap_or_default()
    }

    /// `reserved`, `scheduled`: how many tasks there are. `None` where it is no list.
    pub fn count(&self) -> Option<usize> {
        json::elements(self.as_str().as_bytes()).ok().map(|tasks| tasks.len())
    }

    /// `active`: when each task has started, in seconds since 1970; a task that does not say it is left out. `None` where it
    /// is no list of tasks.
    pub fn started(&self) -> Option<Vec<f64>> {
        let tasks = json::elements(self.as_str().as_bytes()).ok()?;
        let started = |task: &str| Object::of(task)?.get("time_start")?.parse().ok();
        Some(tasks.into_iter().filter_map(started).collect())
    }

    /// `active_queues`: the names of the queues that it takes from. `None` where it is no list.
    pub fn queues(&self) -> Option<Vec<String>> {
        let queues = json::elements(self.as_str().as_bytes()).ok()?;
        let name = |queue: &str| Object::of(queue)?.get("name").and_then(json::string).map(Into::into);
        Some(queues.into_iter().filter_map(name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str) -> Answer {
        Answer::json(json.to_owned())
    }

    #[test]
    fn an_error_is_no_count() {
        let error = answer(r#"{"error": "KeyError('active')"}"#);
        assert_eq!((error.count(), error.started(), error.is_pong()), (None, None, false));
        assert!(Answer::pong().is_pong());
        assert_eq!(error.queues(), None);
    }

    #[test]
    fn tasks_are_counted_and_say_when_they_started() {
        let tasks = answer(
            r#"[{"id": "a", "args": "([], {})", "time_start": 1795256813.5}, {"id": "b", "time_start": null}]"#,
        );
        assert_eq!(tasks.count(), Some(2));
        assert_eq!(tasks.started(), Some(vec![1_795_256_813.5]));
    }

    #[test]
    fn queues_are_known_by_their_names() {
        let mail = crate::control::ActiveQueue::direct("mail").to_json();
        let queues = answer(&format!("[{mail}]"));
        assert_eq!(queues.queues(), Some(vec!["mail".to_owned()]));
    }
}
