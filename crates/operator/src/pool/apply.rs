//! apply: the objects go to the API server, in an order in which each finds what it needs; then what is no longer
//! wanted is removed.

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::Status;
use kube::{Resource, ResourceExt};
use petiole_api::conditions::reasons;
use petiole_api::names;

use super::PoolKey;
use super::build::{Desired, Manifest};
use super::memory::Memory;
use super::observe::Live;
use super::orphans;
use super::scale::Mark;
use super::scale::autoscaler::stamp;
use crate::cluster::{Cluster, ClusterError, Kind, is_controlled_by};
use crate::refusal::Refusal;

/// The objects are there as they are wanted: status speaks of nothing that was not applied.
#[derive(Debug)]
pub(super) struct Applied {
    /// The Deployment, as it is now.
    pub(super) deployment: Deployment,
    /// So many pods are wanted.
    pub(super) replicas: i32,
    /// So many drain, because there are more.
    pub(super) draining: i32,
    /// Their pool wants to be looked at again soon.
    pub(super) drain_goes_on: bool,
}

/// Why nothing was applied.
pub(super) enum NotApplied {
    /// What is wanted cannot be done.
    Refused(Refusal),
    /// A call failed.
    Failed(ClusterError),
}

/// Where the objects of one pool go.
pub(super) struct Target<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) memory: &'a Memory,
    pub(super) pool: &'a PoolKey,
    /// The pool's UID: what belongs to another owner is left alone.
    pub(super) owner: &'a str,
    /// Whether the operator tells autoscalers of Kubernetes how much there is to do, and so makes them.
    pub(super) tells_autoscalers: bool,
}

/// Applies what differs from what is there. Gives back the Deployment, as it is then.
pub(super) async fn apply(
    target: &Target<'_>,
    desired: &Desired,
    marks: &[Mark],
    live: &Live,
) -> Result<Deployment, NotApplied> {
    let Desired { service_account, config_map, budget, deployment, autoscaler } = desired;
    if let Some(service_account) = service_account {
        target.put::<ServiceAccount, _>(service_account, live.service_account.as_deref()).await?;
    }
    if let Some(config_map) = config_map {
        let live_map = live.config_maps.iter().find(|map| map.name_any() == config_map.name);
        target.put::<ConfigMap, _>(config_map, live_map.map(AsRef::as_ref)).await?;
    }
    target.put::<PodDisruptionBudget, _>(budget, live.budget.as_deref()).await?;
    target.mark(marks).await.map_err(NotApplied::Failed)?;
    let put = target.put::<Deployment, _>(deployment, live.deployment.as_deref()).await;
    let put = put.map_err(|error| match error {
        // Of the objects, this one alone holds what the user wrote.
        NotApplied::Failed(error) if error.status().is_some_and(is_refusal) => {
            let says = error.status().map_or("", |status| &status.message);
            // What comes before names the Deployment, which the user did not write.
            let says = says
                .strip_prefix(NOT_OF_ITS_KIND)
                .and_then(|rest| rest.split_once("): "))
                .map_or(says, |(_, why)| why);
            NotApplied::Refused(Refusal::new(
                reasons::TEMPLATE_REFUSED,
                format!("the API server refuses the pods: {says}"),
            ))
        }
        other => other,
    })?;
    if let (Some(autoscaler), true) = (autoscaler, target.tells_autoscalers) {
        let stamped = |mut applied: HorizontalPodAutoscaler| {
            stamp(&mut applied);
            applied
        };
        target.put_as(autoscaler, live.autoscaler.as_deref(), stamped).await?;
    }
    let deployment = put.or_else(|| live.deployment.as_deref().cloned()).unwrap_or_default();
    let orphans = orphans::orphans(desired, live, &deployment, target.owner);
    // Without the right to make autoscalers there is none to remove them.
    let autoscaler = orphans::autoscaler(desired, live, target.owner).filter(|_| target.tells_autoscalers);
    for orphan in orphans.into_iter().chain(autoscaler) {
        target.remove(orphan).await.map_err(NotApplied::Failed)?;
    }
    Ok(deployment)
}

/// So many pods are marked at the same time.
const MARKING: usize = 8;

/// How the API server begins what it says of an applied object with a field that its kind does not have. It calls that
/// an error of its own (500).
const NOT_OF_ITS_KIND: &str = "failed to create typed patch object";

/// What the API server says of an object that it will never take as it is.
fn is_refusal(status: &Status) -> bool {
    status.is_invalid() || status.code == 400 || status.message.starts_with(NOT_OF_ITS_KIND)
}

impl Target<'_> {
    fn namespace(&self) -> &str {
        &self.pool.0
    }

    /// Applies one object, unless it is as our last call left it; gives it back when a call was made.
    async fn put<K: Kind + k8s_openapi::Resource, L: Resource>(
        &self,
        wanted: &Manifest,
        live: Option<&L>,
    ) -> Result<Option<K>, NotApplied> {
        self.put_as(wanted, live, |applied: K| applied).await
    }

    /// The same of a kind that is watched otherwise than the API server has it: `seen` makes the one from the other.
    async fn put_as<K: Kind + k8s_openapi::Resource, L: Resource>(
        &self,
        wanted: &Manifest,
        live: Option<&L>,
        seen: impl Fn(K) -> K,
    ) -> Result<Option<K>, NotApplied> {
        let kind = K::KIND;
        match live {
            Some(live) if !is_controlled_by(live, Some(self.owner)) => return Err(taken(kind, &wanted.name)),
            Some(live) if self.memory.knows(self.pool, kind, wanted, live.meta()) => return Ok(None),
            Some(_) => {}
            None => {
                // Without our label it is not watched: whoever made it, it is not taken over.
                let found = self.cluster.find::<K>(self.namespace(), &wanted.name).await;
                if let Some(found) = found.map_err(NotApplied::Failed)?
                    && !is_controlled_by(&found, Some(self.owner))
                {
                    return Err(taken(kind, &wanted.name));
                }
            }
        }
        let applied = self.cluster.apply::<K>(self.namespace(), &wanted.name, &wanted.body).await;
        let applied = seen(applied.map_err(NotApplied::Failed)?);
        tracing::info!(kind, namespace = self.namespace(), name = wanted.name, "applied");
        self.memory.note(self.pool, kind, wanted, applied.meta());
        Ok(Some(applied))
    }

    /// Says which pods are to go first, before there are to be fewer.
    async fn mark(&self, marks: &[Mark]) -> Result<(), ClusterError> {
        let one = |Mark { pod, goes }: &Mark| {
            let (pod, cost) = (pod.clone(), goes.then_some(names::GOES_FIRST));
            async move {
                self.cluster.annotate::<Pod>(self.namespace(), &pod, names::POD_DELETION_COST, cost).await
            }
        };
        futures_util::stream::iter(marks.iter().map(one)).buffer_unordered(MARKING).try_collect().await
    }

    async fn remove(&self, orphan: orphans::Orphan) -> Result<(), ClusterError> {
        let namespace = self.namespace();
        match orphan {
            orphans::Orphan::ConfigMap { name, uid } => {
                tracing::info!(namespace, name, "no pod uses this file any more");
                self.cluster.delete::<ConfigMap>(namespace, &name, uid).await
            }
            orphans::Orphan::ServiceAccount { name, uid } => {
                tracing::info!(namespace, name, "the template names another identity");
                self.cluster.delete::<ServiceAccount>(namespace, &name, uid).await
            }
            orphans::Orphan::Autoscaler { name, uid } => {
                tracing::info!(namespace, name, "no autoscaler of Kubernetes is wanted any more");
                self.cluster.delete::<HorizontalPodAutoscaler>(namespace, &name, uid).await
            }
        }
    }
}

fn taken(kind: &str, name: &str) -> NotApplied {
    NotApplied::Refused(Refusal::new(
        reasons::NAME_TAKEN,
        format!(
            "there is a {kind} {name} already, which is not this pool's: remove it, or give the pool another name"
        ),
    ))
}
