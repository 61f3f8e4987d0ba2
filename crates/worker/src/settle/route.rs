//! Where a message goes that names no queue: Celery's `task_routes`. Pure.

use std::collections::HashMap;

use petiole_contract::pool::Route;
use petiole_protocol::control::Pattern;

use crate::admit::PoolError;

/// The routes of a pool. As in Celery a task's very name counts before patterns, and of patterns the first that fits.
#[derive(Debug)]
pub(super) struct Routes {
    names: HashMap<String, String>,
    patterns: Vec<(Pattern, String)>,
}

impl Routes {
    /// Reads the patterns.
    pub(super) fn new(routes: &[Route]) -> Result<Self, PoolError> {
        let (mut names, mut patterns) = (HashMap::new(), Vec::new());
        for Route { task, queue } in routes {
            if task.contains('*') {
                let pattern = Pattern::read("glob", task)
                    .map_err(|source| PoolError::Route { task: task.clone(), source })?;
                patterns.push((pattern, queue.clone()));
            } else {
                names.entry(task.clone()).or_insert_with(|| queue.clone());
            }
        }
        Ok(Self { names, patterns })
    }

    /// The queue of this task.
    pub(super) fn queue(&self, task: &str) -> Option<&str> {
        let by_pattern =
            || self.patterns.iter().find(|(pattern, _)| pattern.matches(task)).map(|(_, queue)| queue);
        self.names.get(task).or_else(by_pattern).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(routes: &[(&str, &str)]) -> Routes {
        let route =
            |(task, queue): &(&str, &str)| Route { task: (*task).to_owned(), queue: (*queue).to_owned() };
        Routes::new(&routes.iter().map(route).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_name_counts_before_patterns_and_of_those_the_first() {
        let routes = routes(&[
            ("mail.*", "mail"),
            ("*.send", "send"),
            ("mail.send", "first"),
            ("mail.send", "second"),
        ]);
        let queue = |task| routes.queue(task);
        assert_eq!(queue("mail.send"), Some("first"));
        assert_eq!(queue("mail.fetch"), Some("mail"));
        assert_eq!(queue("sms.send"), Some("send"));
        assert_eq!(queue("sms.fetch"), None);
        assert_eq!(queue("a.mail.fetch"), None);
    }

    #[test]
    fn only_a_star_makes_a_pattern() {
        let routes = routes(&[("a?", "x"), ("a[12]*", "y")]);
        assert_eq!(
            (routes.queue("a?"), routes.queue("a1"), routes.queue("ab")),
            (Some("x"), Some("y"), None)
        );
        assert!(Routes::new(&[Route { task: "[z-a]*".to_owned(), queue: "q".to_owned() }]).is_err());
    }
}
