//! observe: what there is of a pool and around it. All of it is watched, but for the Secret of its certificates.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use petiole_api::{TaskQueue, WorkerPool};

use super::{Context, foreign};
use crate::cluster::ClusterError;
use crate::refusal::Refusal;
use crate::secrets::Keys;
use crate::stores::Stores;

/// What there is.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    /// The `TaskQueue`s of its namespace by name.
    pub(super) queues: BTreeMap<String, TaskQueue>,
    /// What the Secret holds that it names for certificates, or why it cannot be read.
    pub(super) certificates: Option<Result<Keys, Refusal>>,
    /// What it is made of.
    pub(super) live: Live,
}

/// What a pool is made of at the moment, by its label: it may belong to someone else.
#[derive(Debug, Clone, Default)]
pub(super) struct Live {
    /// Its Deployment; of its spec, how many pods it wants.
    pub(super) deployment: Option<Arc<Deployment>>,
    /// Its files: the one in use, and those of pods that are on their way out.
    pub(super) config_maps: Vec<Arc<PartialObjectMeta<ConfigMap>>>,
    /// Its pods' identity.
    pub(super) service_account: Option<Arc<PartialObjectMeta<ServiceAccount>>>,
    /// Its disruption budget.
    pub(super) budget: Option<Arc<PartialObjectMeta<PodDisruptionBudget>>>,
    /// Its pods; of their specs, what their containers' memory limits are.
    pub(super) pods: Vec<Arc<Pod>>,
    /// The autoscaler of its name, whatever that scales.
    pub(super) autoscaler: Option<Arc<HorizontalPodAutoscaler>>,
    /// All autoscalers that scale it, or its Deployment.
    pub(super) autoscalers: Vec<Arc<HorizontalPodAutoscaler>>,
}

pub(super) async fn observe(pool: &WorkerPool, context: &Context) -> Result<Observed, ClusterError> {
    let (namespace, name) = (pool.namespace().unwrap_or_default(), pool.name_any());
    let certificates = match &pool.spec.accept.certificates_from {
        Some(from) => Some(context.secrets.whole(&context.cluster, &namespace, &from.secret_ref.name).await?),
        None => None,
    };
    let stores = &context.stores;
    let named = ObjectRef::<HorizontalPodAutoscaler>::new(&name).within(&namespace);
    let scales = |one: &HorizontalPodAutoscaler| {
        one.metadata.namespace.as_deref() == Some(&*namespace) && foreign::scales(one) == Some(&*name)
    };
    Ok(Observed {
        certificates,
        queues: stores.queues_of(&namespace),
        live: Live {
            deployment: Stores::of_pool(&stores.deployments, &namespace, &name).pop(),
            config_maps: Stores::of_pool(&stores.config_maps, &namespace, &name),
            service_account: Stores::of_pool(&stores.service_accounts, &namespace, &name).pop(),
            budget: Stores::of_pool(&stores.budgets, &namespace, &name).pop(),
            pods: Stores::of_pool(&stores.pods, &namespace, &name),
            autoscaler: stores.autoscalers.get(&named),
            autoscalers: stores.autoscalers.state_filter(scales),
        },
    })
}
