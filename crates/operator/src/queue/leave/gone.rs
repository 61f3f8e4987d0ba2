//! Which `TaskQueue`s have gone. Pure.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use petiole_broker::redis::parked_key;

use crate::queue::{Guarded, key};
use crate::sampler::QueueKey;

/// A `TaskQueue` whose object is there no more.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gone {
    pub(super) key: QueueKey,
    /// The object, with its UID.
    pub(super) about: ObjectReference,
    /// The broker's key of the messages that wait for their time.
    pub(super) parked_key: String,
    /// Its status said that there are some.
    pub(super) parked: bool,
}

/// The `TaskQueue`s that are there.
#[derive(Debug, Default)]
pub(super) struct Queues {
    there: HashMap<String, Gone>,
    /// While the watch begins anew: those that it has named so far.
    listed: HashSet<String>,
}

impl Queues {
    /// Takes note of what the watch says; gives back those that have gone by it, each once. One whose name another
    /// object had taken by then is not among them.
    pub(super) fn see(&mut self, event: Event<Guarded>) -> Vec<Gone> {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(queue) => {
                self.listed.extend(queue.uid());
                self.apply(&queue);
                Vec::new()
            }
            // What went away while nobody watched.
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let gone: Vec<Gone> =
                    self.there.extract_if(|uid, _| !listed.contains(uid)).map(|(_, gone)| gone).collect();
                let there: HashSet<&QueueKey> = self.there.values().map(|queue| &queue.key).collect();
                gone.into_iter().filter(|gone| !there.contains(&gone.key)).collect()
            }
            Event::Apply(queue) => {
                self.apply(&queue);
                Vec::new()
            }
            Event::Delete(queue) => {
                self.apply(&queue);
                queue.uid().and_then(|uid| self.there.remove(&uid)).into_iter().collect()
            }
        }
    }

    /// Of an object that cannot be read, what was known before stands.
    fn apply(&mut self, object: &Guarded) {
        let (Some(uid), Ok(queue)) = (object.uid(), &object.0) else { return };
        let gone = Gone {
            key: key(queue),
            about: queue.object_ref(&()),
            parked_key: parked_key(queue.spec.broker.connection().key_prefix, &queue.queue()),
            parked: queue.status.as_ref().and_then(|status| status.scheduled).is_some_and(|some| some > 0),
        };
        self.there.insert(uid, gone);
    }
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use petiole_api::TaskQueueStatus;
    use serde_json::json;

    use super::*;
    use crate::fixtures::{queue, queue_with};

    fn guarded(name: &str) -> Guarded {
        DeserializeGuard(Ok(queue(name)))
    }

    fn there(names: &[&str]) -> Queues {
        let mut queues = Queues::default();
        for name in names {
            assert!(queues.see(Event::Apply(guarded(name))).is_empty());
        }
        queues
    }

    fn names(gone: &[Gone]) -> Vec<&str> {
        gone.iter().map(|gone| gone.key.name.as_str()).collect()
    }

    #[test]
    fn a_queue_that_is_deleted_is_told_of_once_and_with_its_last_status() {
        let mut queues = there(&["a", "b"]);
        let mut last = queue_with(
            "a",
            json!({ "queue": "mail", "broker": { "url": "", "redis": { "keyPrefix": "app:" } } }),
        );
        last.status = Some(TaskQueueStatus { scheduled: Some(2), ..TaskQueueStatus::default() });
        let last = DeserializeGuard(Ok(last));
        let gone = queues.see(Event::Delete(last.clone()));
        assert_eq!(names(&gone), ["a"]);
        assert_eq!((gone[0].parked_key.as_str(), gone[0].parked), ("app:petiole:eta:mail", true));
        assert_eq!(gone[0].about.uid.as_deref(), Some("uid-of-a"));
        assert_eq!(names(&queues.see(Event::Delete(guarded("b")))), ["b"]);
        assert!(queues.see(Event::Init).is_empty());
        assert!(queues.see(Event::InitDone).is_empty());
    }

    #[test]
    fn what_went_away_while_nobody_watched_is_told_of_when_the_watch_begins_anew() {
        let mut queues = there(&["a", "b"]);
        assert!(queues.see(Event::Init).is_empty());
        assert!(queues.see(Event::InitApply(guarded("a"))).is_empty());
        assert_eq!(names(&queues.see(Event::InitDone)), ["b"]);
        assert_eq!(names(&queues.see(Event::Delete(guarded("a")))), ["a"]);
    }

    #[test]
    fn a_queue_that_was_made_anew_while_nobody_watched_has_not_gone() {
        let mut queues = there(&["a"]);
        let mut anew = queue("a");
        anew.metadata.uid = Some("another".to_owned());
        queues.see(Event::Init);
        queues.see(Event::InitApply(DeserializeGuard(Ok(anew.clone()))));
        assert!(queues.see(Event::InitDone).is_empty());
        let gone = queues.see(Event::Delete(DeserializeGuard(Ok(anew))));
        assert_eq!(gone[0].about.uid.as_deref(), Some("another"));
    }

    #[test]
    fn of_a_queue_that_cannot_be_read_what_was_known_before_stands() {
        let object = |name: &str| -> Guarded {
            serde_json::from_value(json!({
                "apiVersion": "petiole.dev/v1alpha1", "kind": "TaskQueue",
                "metadata": { "name": name, "namespace": "photos", "uid": format!("uid-of-{name}") },
                "spec": { "broker": 7 },
            }))
            .unwrap()
        };
        let mut queues = there(&["a"]);
        assert!(queues.see(Event::Apply(object("a"))).is_empty());
        let gone = queues.see(Event::Delete(object("a")));
        assert_eq!(gone[0].parked_key, "petiole:eta:a");
        assert!(queues.see(Event::Delete(object("never-read"))).is_empty());
    }
}
