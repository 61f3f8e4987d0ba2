//! What is known of a cluster without asking: a store for each kind that is watched, in one scope.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use petiole_api::{TaskQueue, WorkerPool, names};

/// The stores of one scope: a namespace, or all of them.
#[derive(Clone)]
pub struct Stores {
    /// `TaskQueue`s.
    pub queues: Store<DeserializeGuard<TaskQueue>>,
    /// `WorkerPool`s.
    pub pools: Store<DeserializeGuard<WorkerPool>>,
    /// The Deployments of pools; of their specs, how many pods they want.
    pub deployments: Store<Deployment>,
    /// The pools' files, as far as their metadata goes.
    pub config_maps: Store<PartialObjectMeta<ConfigMap>>,
    /// The pools' identities.
    pub service_accounts: Store<PartialObjectMeta<ServiceAccount>>,
    /// The pools' disruption budgets.
    pub budgets: Store<PartialObjectMeta<PodDisruptionBudget>>,
    /// The pools' pods; of their specs, what their containers' memory limits are.
    pub pods: Store<Pod>,
    /// What scales pools, and anything else, whoever made it; of its status, its conditions.
    pub autoscalers: Store<HorizontalPodAutoscaler>,
}

impl Stores {
    /// The readable `TaskQueue`s of a namespace by name.
    pub fn queues_of(&self, namespace: &str) -> BTreeMap<String, TaskQueue> {
        let here = |queue: &DeserializeGuard<TaskQueue>| queue.meta().namespace.as_deref() == Some(namespace);
        let queues = self.queues.state_filter(here);
        queues
            .iter()
            .filter_map(|queue| queue.0.as_ref().ok())
            .map(|queue| (queue.name_any(), queue.clone()))
            .collect()
    }

    /// The pools of a namespace that take from a `TaskQueue`.
    pub fn pools_on(&self, namespace: &str, queue: &str) -> Vec<ObjectRef<DeserializeGuard<WorkerPool>>> {
        let takes = |pool: &DeserializeGuard<WorkerPool>| {
            pool.meta().namespace.as_deref() == Some(namespace)
                && pool
                    .0
                    .as_ref()
                    .is_ok_and(|pool| pool.spec.queues.iter().any(|one| one.task_queue == queue))
        };
        self.pools.state_filter(takes).iter().map(|pool| ObjectRef::from_obj(&**pool)).collect()
    }

    /// What belongs to a pool by its label.
    pub fn of_pool<K>(store: &Store<K>, namespace: &str, pool: &str) -> Vec<Arc<K>>
    where
        K: Resource<DynamicType = ()> + Clone + 'static,
    {
        store.state_filter(|object: &K| {
            object.meta().namespace.as_deref() == Some(namespace) && pool_of(object) == Some(pool)
        })
    }
}

/// The pool that an object belongs to by its label.
pub fn pool_of(object: &impl ResourceExt) -> Option<&str> {
    object.labels().get(names::POOL).map(String::as_str)
}

/// Whether every container of a pod has ended for good. A pod like that stays until someone removes it.
pub fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
