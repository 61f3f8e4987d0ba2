//! Containers that the kernel killed for want of memory: each is told of once, by an event on the pool.
//!
//! That it was told of is known by the event's name, which follows from the container: another replica that comes to
//! lead tells nothing twice. What this process has told, it does not ask for again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    Container, ContainerStatus, ObjectReference, Pod, PodSpec, ResourceRequirements,
};
use kube::{Resource, ResourceExt};
use petiole_api::conditions::reasons;
use petiole_api::names;
use tokio::time::Instant;

use super::PoolKey;

/// What the kubelet writes of a container that was killed for want of memory.
const OOM_KILLED: &str = "OOMKilled";
/// The resource.
const MEMORY: &str = "memory";
/// Older ones are no news: a pod shows the last end of a container as long as it lives. Shorter than the API server
/// keeps events (1 h by default), so that one that was told of is still known by its event.
const RECENT: SignedDuration = SignedDuration::from_mins(30);
/// In this time ...
const WINDOW: Duration = Duration::from_mins(10);
/// ... so many events are published about a pool. The last of them says that no more follow.
const MOST: usize = 10;
/// Characters of a container's id that tell it from all others of a namespace.
const ID_LENGTH: usize = 16;

/// A container that was killed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kill {
    /// Which one: the beginning of its id at the container runtime. A container that starts again has another one.
    pub(super) id: String,
    /// Its pod.
    pub(super) pod: ObjectReference,
    /// One of [`reasons`].
    pub(super) reason: &'static str,
    /// For people.
    pub(super) note: String,
}

/// Leaves of a pod's spec what is needed here: the memory that its containers may use.
pub fn keep_limits(pod: &mut Pod) {
    let memory_only = |containers: Vec<Container>| {
        let memory_only = |container: Container| Container {
            resources: memory_limit(&container).map(|limit| ResourceRequirements {
                limits: Some([(MEMORY.to_owned(), limit.clone())].into()),
                ..ResourceRequirements::default()
            }),
            name: container.name,
            ..Container::default()
        };
        containers.into_iter().map(memory_only).collect()
    };
    pod.spec = pod.spec.take().map(|spec| PodSpec {
        containers: memory_only(spec.containers),
        init_containers: spec.init_containers.map(memory_only),
        ..PodSpec::default()
    });
}

type Quantity = k8s_openapi::apimachinery::pkg::api::resource::Quantity;

fn memory_limit(container: &Container) -> Option<&Quantity> {
    container.resources.as_ref()?.limits.as_ref()?.get(MEMORY)
}

/// The kills that these pods show.
pub(super) fn kills(pods: &[Arc<Pod>], now: Timestamp) -> Vec<Kill> {
    pods.iter().flat_map(|pod| of_pod(pod, now)).collect()
}

fn of_pod(pod: &Pod, now: Timestamp) -> Vec<Kill> {
    let Some(status) = &pod.status else { return Vec::new() };
    let init = status.init_container_statuses.iter().flatten();
    let ours = init
        .chain(status.container_statuses.iter().flatten())
        .filter(|container| [names::TASK, names::WORKER].contains(&container.name.as_str()));
    ours.flat_map(|container| of_container(pod, container, now)).collect()
}

fn of_container(pod: &Pod, container: &ContainerStatus, now: Timestamp) -> Vec<Kill> {
    // It has ended and not started again, or it has.
    let ends = [&container.state, &container.last_state]
        .into_iter()
        .filter_map(|state| state.as_ref()?.terminated.as_ref());
    let killed = ends.filter(|end| {
        let is_recent =
            end.finished_at.as_ref().is_none_or(|finished| now.duration_since(finished.0) <= RECENT);
        end.reason.as_deref() == Some(OOM_KILLED) && is_recent
    });
    let kill = |id: &str| Kill {
        id: short(id),
        pod: pod.object_ref(&()),
        reason: if container.name == names::TASK {
            reasons::TASK_OOM_KILLED
        } else {
            reasons::WORKER_OOM_KILLED
        },
        note: note(pod, &container.name),
    };
    killed
        .filter_map(|end| end.container_id.as_deref())
        .map(kill)
        .filter(|kill| !kill.id.is_empty())
        .collect()
}

/// An id is `RUNTIME://ID`.
fn short(id: &str) -> String {
    let id = id.rsplit('/').next().unwrap_or_default();
    id.chars().filter(char::is_ascii_alphanumeric).take(ID_LENGTH).collect::<String>().to_lowercase()
}

fn note(pod: &Pod, container: &str) -> String {
    let containers =
        pod.spec.iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let limit = containers.filter(|one| one.name == container).find_map(memory_limit);
    let killed = format!("container {container} of pod {} was killed for want of memory", pod.name_any());
    match (container == names::TASK, limit) {
        (true, Some(limit)) => format!(
            "{killed}: its limit is {}. Raise resources.limits.memory of the container task in spec.template, or lower \
             spec.concurrency",
            limit.0
        ),
        (true, None) => format!(
            "{killed}: it has no limit of its own, so its node had none left. Give the container task \
             resources.requests.memory and resources.limits.memory in spec.template, or lower spec.concurrency"
        ),
        (false, Some(limit)) => format!(
            "{killed}: its limit is {}, which a LimitRange of the namespace sets. Raise it there",
            limit.0
        ),
        (false, None) => format!(
            "{killed}: it has no limit, so its node had none left. Give what runs there resources.requests.memory"
        ),
    }
}

/// What was told of, by pool.
#[derive(Debug, Default)]
pub struct Kills(Mutex<HashMap<PoolKey, Told>>);

#[derive(Debug, Default)]
struct Told {
    /// Those of them that pods still show.
    ids: HashSet<String>,
    /// When the last ones were.
    at: VecDeque<Instant>,
}

impl Kills {
    /// Those of a pool's kills that are to be told of now. They count as told from here on.
    pub(super) fn news(&self, pool: &PoolKey, kills: Vec<Kill>) -> Vec<Kill> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kills.is_empty() {
            // When the last ones were is kept: pods that are killed and replaced show nothing for a while.
            if let Some(told) = pools.get_mut(pool) {
                told.ids.clear();
            }
            return Vec::new();
        }
        let Told { ids, at } = pools.entry(pool.clone()).or_default();
        let before = std::mem::replace(ids, kills.iter().map(|kill| kill.id.clone()).collect());
        let now = Instant::now();
        at.retain(|told| now.duration_since(*told) < WINDOW);
        let mut seen = before;
        let mut news: Vec<Kill> = kills.into_iter().filter(|kill| seen.insert(kill.id.clone())).collect();
        news.truncate(MOST - at.len().min(MOST));
        at.extend(news.iter().map(|_| now));
        if at.len() == MOST
            && let Some(last) = news.last_mut()
        {
            last.note.push_str(". More of this pool are not told of for some minutes");
        }
        news
    }

    /// Forgets the pools that `keep` denies.
    pub fn retain(&self, keep: impl Fn(&PoolKey) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|pool, _| keep(pool));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "the helpers take literals")]

    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-01-01T12:00:00Z";

    fn end(id: &str, at: &str) -> Value {
        let end = json!({ "reason": "OOMKilled", "exitCode": 137, "containerID": id, "finishedAt": at });
        json!({ "terminated": end })
    }

    fn container(name: &str, states: Value) -> Value {
        let plain = json!({ "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 1 });
        crate::fixtures::with(plain, states)
    }

    /// A pod whose containers task and cache may use 128Mi, as the watch keeps it.
    fn pod(status: Value) -> Arc<Pod> {
        let limited = |name: &str| json!({ "name": name, "image": "a", "resources": { "limits": { "memory": "128Mi", "cpu": "1" } } });
        let mut pod = serde_json::from_value(json!({
            "metadata": { "name": "resizer-1", "namespace": "photos", "uid": "u" },
            "spec": {
                "nodeName": "n",
                "initContainers": [{ "name": "worker", "image": "w" }],
                "containers": [limited("task"), limited("cache")],
            },
            "status": status,
        }))
        .unwrap();
        keep_limits(&mut pod);
        Arc::new(pod)
    }

    fn found(status: Value) -> Vec<(String, &'static str)> {
        let kills = kills(&[pod(status)], NOW.parse().unwrap());
        kills.into_iter().map(|kill| (kill.id, kill.reason)).collect()
    }

    #[test]
    fn of_a_spec_only_the_memory_limits_stay() {
        let spec = serde_json::to_value(pod(json!({})).spec.as_ref()).unwrap();
        let limited = |name: &str| json!({ "name": name, "resources": { "limits": { "memory": "128Mi" } } });
        let expected = json!({ "containers": [limited("task"), limited("cache")], "initContainers": [{ "name": "worker" }] });
        assert_eq!(spec, expected);
    }

    #[test]
    fn a_kill_is_found_before_and_after_the_container_has_started_again() {
        let id = "containerd://0123456789abcdef0123456789abcdef";
        let first = container("task", json!({ "state": end(id, NOW) }));
        let later = container("task", json!({ "state": { "running": {} }, "lastState": end(id, NOW) }));
        let expected = [("0123456789abcdef".to_owned(), reasons::TASK_OOM_KILLED)];
        assert_eq!(found(json!({ "containerStatuses": [first] })), expected);
        assert_eq!(found(json!({ "containerStatuses": [later] })), expected);
    }

    #[test]
    fn both_ends_of_a_container_that_was_killed_twice_are_found() {
        let twice = container("task", json!({ "state": end("c://b", NOW), "lastState": end("c://a", NOW) }));
        let ids: Vec<String> =
            found(json!({ "containerStatuses": [twice] })).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["b", "a"]);
    }

    #[test]
    fn a_worker_that_was_killed_is_told_apart_and_other_containers_are_not_ours() {
        let statuses = json!({
            "initContainerStatuses": [container("worker", json!({ "lastState": end("c://w", NOW) }))],
            "containerStatuses": [container("cache", json!({ "lastState": end("c://c", NOW) }))],
        });
        assert_eq!(found(statuses), [("w".to_owned(), reasons::WORKER_OOM_KILLED)]);
    }

    #[test]
    fn other_ends_and_old_ones_are_no_news() {
        let mut other = end("c://a", NOW);
        other["terminated"]["reason"] = json!("Error");
        for state in [other, end("c://a", "2026-01-01T11:00:00Z")] {
            let task = container("task", json!({ "lastState": state }));
            assert_eq!(found(json!({ "containerStatuses": [task] })), []);
        }
    }

    #[test]
    fn a_note_names_pod_limit_and_what_to_do() {
        let task = container("task", json!({ "state": end("c://a", NOW) }));
        let pod = pod(json!({ "containerStatuses": [task] }));
        let note = &kills(std::slice::from_ref(&pod), NOW.parse().unwrap())[0].note;
        for says in ["resizer-1", "128Mi", "resources.limits.memory", "spec.concurrency"] {
            assert!(note.contains(says), "{note}");
        }
        let mut unlimited = (*pod).clone();
        unlimited.spec = None;
        let note = &kills(&[Arc::new(unlimited)], NOW.parse().unwrap())[0].note;
        assert!(note.contains("no limit of its own"), "{note}");
    }

    fn numbered(ids: std::ops::Range<u32>) -> Vec<Kill> {
        let kill = |id: u32| Kill {
            id: id.to_string(),
            pod: ObjectReference::default(),
            reason: reasons::TASK_OOM_KILLED,
            note: String::new(),
        };
        ids.map(kill).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_told_of_once_and_only_so_many_in_a_while() {
        let (kills, pool) = (Kills::default(), ("photos".to_owned(), "resizer".to_owned()));
        let told = |ids| -> Vec<String> {
            kills.news(&pool, numbered(ids)).into_iter().map(|kill| kill.id).collect()
        };
        assert_eq!(told(0..2), ["0", "1"]);
        assert_eq!(told(0..3), ["2"]);
        assert_eq!(told(0..100).len(), MOST - 3);
        assert!(told(0..200).is_empty());
        tokio::time::advance(WINDOW).await;
        assert!(told(0..200).is_empty(), "what was passed over is not told of later");
        assert_eq!(told(0..201), ["200"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_one_says_that_no_more_follow() {
        let (kills, pool) = (Kills::default(), ("photos".to_owned(), "resizer".to_owned()));
        let told = kills.news(&pool, numbered(0..100));
        let silent: Vec<bool> = told.iter().map(|kill| kill.note.contains("not told of")).collect();
        assert_eq!(silent.len(), MOST);
        assert_eq!((silent[MOST - 2], silent[MOST - 1]), (false, true));
    }
}
