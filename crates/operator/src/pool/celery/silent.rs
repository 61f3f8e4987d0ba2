//! Pods that run, and of which none was ever heard: the application talks to another broker, or not at all. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{is_heard, runs_since};

/// After this a worker has started, whatever it imports, or it does not.
const STARTED: SignedDuration = SignedDuration::from_mins(2);

/// What is wrong, and what to look at.
pub(in crate::pool) fn silent(pods: &[Arc<Pod>], task_queue: &str, now: Timestamp) -> Option<String> {
    let (pod, _) = unheard(pods).into_iter().find(|(_, since)| now.duration_since(*since) >= STARTED)?;
    Some(format!(
        "no worker of these pods is heard on the broker of TaskQueue {task_queue}, for example of pod {pod}: look at its \
         log, and whether the application's broker_url is that broker, with its database and global_keyprefix. Its \
         control_exchange and event_exchange must be Celery's defaults"
    ))
}

/// When that may have to be said that was not said yet: no pod changes at that moment.
pub(in crate::pool) fn due(pods: &[Arc<Pod>], now: Timestamp) -> Option<Duration> {
    let waits = |(_, since): (String, Timestamp)| (STARTED - now.duration_since(since)).try_into().ok();
    unheard(pods).into_iter().filter_map(waits).filter(|wait: &Duration| !wait.is_zero()).min()
}

/// The pods that run, and since when; none, where one was heard.
fn unheard(pods: &[Arc<Pod>]) -> Vec<(String, Timestamp)> {
    let stays = |pod: &&Arc<Pod>| pod.metadata.deletion_timestamp.is_none();
    if pods.iter().filter(stays).any(|pod| is_heard(pod)) {
        return Vec::new();
    }
    pods.iter().filter(stays).filter_map(|pod| Some((pod.name_any(), runs_since(pod)?))).collect()
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
    #[test]
    fn the_pool_is_looked_at_when_it_has_to_be_told() {
        let pods = |heard| vec![Arc::new(pod("a", 0, None)), Arc::new(pod("b", 30, heard))];
        assert_eq!(due(&pods(None), at(20)), Some(Duration::from_secs(100)));
        assert_eq!(due(&pods(None), at(120)), Some(Duration::from_secs(30)), "the first is told of");
        assert_eq!(due(&pods(None), at(150)), None);
        assert_eq!(due(&pods(Some("True")), at(20)), None, "one was heard");
    }
}
