//! Pods that run, and of which none was ever heard: the application talks to another broker, or not at all. Pure.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{is_heard, runs_since};

/// After this a worker has started, whatever it imports, or it does not.
const STARTED: SignedDuration = SignedDuration::from_mins(2);

/// What is wrong, and what to look at.
pub(in crate::pool) fn silent(pods: &[Arc<Pod>], task_queue: &str, now: Timestamp) -> Option<String> {
    let mut pods = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).peekable();
    pods.peek()?;
    let mut waits = None;
    for pod in pods {
        if is_heard(pod) {
            return None;
        }
        if runs_since(pod).is_some_and(|since| now.duration_since(since) >= STARTED) {
            waits.get_or_insert_with(|| pod.name_any());
        }
    }
    let pod = waits?;
    Some(format!(
        "no worker of these pods is heard on the broker of TaskQueue {task_queue}, for example of pod {pod}: look at its \
         log, and whether the application's broker_url is that broker, with its database and global_keyprefix. Its \
         control_exchange and event_exchange must be Celery's defaults"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, pod};
    use super::*;

    #[test]
    fn pods_that_are_never_heard_are_told_of_once_they_had_time() {
        let pods = |heard| vec![Arc::new(pod("a", 0, None)), Arc::new(pod("b", 0, heard))];
        assert_eq!(silent(&pods(None), "mail", at(119)), None);
        let says = silent(&pods(None), "mail", at(120)).unwrap();
        assert!(says.contains("TaskQueue mail") && says.contains("pod a"), "{says}");
        assert_eq!(silent(&pods(Some("True")), "mail", at(500)), None, "one was");
        assert_eq!(silent(&[], "mail", at(500)), None);
    }
}
