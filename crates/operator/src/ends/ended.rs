//! Which worker pods have ended. Pure.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use petiole_api::names;

use crate::stores::has_ended;

/// A pod that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// A `TaskQueue` that is on its broker.
    pub(super) task_queue: String,
    /// Its containers were seen to have ended. Otherwise its object went away, and they may live a little longer.
    pub(super) seen: bool,
}

/// The pods that are there and have not ended.
#[derive(Debug, Default)]
pub(super) struct Pods {
    running: HashMap<String, Ended>,
    /// While the watch begins anew: those that it has named so far.
    listed: HashSet<String>,
}

impl Pods {
    /// Takes note of what the watch says; gives back the pods that have ended by it, each once.
    pub(super) fn see(&mut self, event: Event<Pod>) -> Vec<Ended> {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(pod) => {
                self.listed.extend(pod.uid());
                self.apply(&pod)
            }
            // What went away while nobody watched.
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.running.extract_if(|uid, _| !listed.contains(uid)).map(|(_, ended)| ended).collect()
            }
            Event::Apply(pod) => self.apply(&pod),
            Event::Delete(pod) => {
                let running = pod.uid().and_then(|uid| self.running.remove(&uid));
                running.into_iter().map(|ended| Ended { seen: has_ended(&pod), ..ended }).collect()
            }
        }
    }

    fn apply(&mut self, pod: &Pod) -> Vec<Ended> {
        let (Some(uid), Some(task_queue)) = (pod.uid(), pod.annotations().get(names::TASK_QUEUE)) else {
            return Vec::new();
        };
        if has_ended(pod) {
            let running = self.running.remove(&uid);
            return running.into_iter().map(|ended| Ended { seen: true, ..ended }).collect();
        }
        let running = Ended {
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            uid: uid.clone(),
            task_queue: task_queue.clone(),
            seen: false,
        };
        self.running.insert(uid, running);
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": format!("pod-{uid}"), "namespace": "photos", "uid": uid,
                "annotations": { names::TASK_QUEUE: "thumbnails" },
            },
            "status": { "phase": phase },
        }))
        .unwrap()
    }

    fn uids(ended: &[Ended]) -> Vec<(&str, bool)> {
        ended.iter().map(|ended| (ended.uid.as_str(), ended.seen)).collect()
    }

    fn running(uids: &[&str]) -> Pods {
        let mut pods = Pods::default();
        for uid in uids {
            assert!(pods.see(Event::Apply(pod(uid, "Running"))).is_empty());
        }
        pods
    }

    #[test]
    fn a_pod_whose_containers_have_ended_is_told_of_once() {
        let mut pods = running(&["a"]);
        let ended = pods.see(Event::Apply(pod("a", "Failed")));
        assert_eq!(uids(&ended), [("a", true)]);
        assert_eq!(ended[0].task_queue, "thumbnails");
        assert!(pods.see(Event::Apply(pod("a", "Failed"))).is_empty());
        assert!(pods.see(Event::Delete(pod("a", "Failed"))).is_empty());
    }

    #[test]
    fn a_pod_that_went_away_while_it_ran_may_still_run() {
        let mut pods = running(&["a"]);
        assert_eq!(uids(&pods.see(Event::Delete(pod("a", "Running")))), [("a", false)]);
    }

    #[test]
    fn what_went_away_while_nobody_watched_is_told_of_when_the_watch_begins_anew() {
        let mut pods = running(&["a", "b", "c"]);
        assert!(pods.see(Event::Init).is_empty());
        assert!(pods.see(Event::InitApply(pod("a", "Running"))).is_empty());
        assert_eq!(uids(&pods.see(Event::InitApply(pod("b", "Succeeded")))), [("b", true)]);
        assert_eq!(uids(&pods.see(Event::InitDone)), [("c", false)]);
        assert_eq!(uids(&pods.see(Event::Delete(pod("a", "Running")))), [("a", false)]);
    }

    /// A new leader does not know which of them were told of: their leases have run out long ago.
    #[test]
    fn pods_that_had_ended_before_are_no_news() {
        let mut pods = Pods::default();
        assert!(pods.see(Event::InitApply(pod("a", "Failed"))).is_empty());
        assert!(pods.see(Event::InitDone).is_empty());
    }
}
