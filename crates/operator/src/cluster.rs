//! The API server: every read and write of the operator that is no watch. Only a leader writes.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use k8s_openapi::api::events::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{DeserializeGuard, PartialObjectMeta, Status};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt};
use petiole_api::names;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::leader::Leadership;

/// Why the API server did not do what was asked. Says once what its source, kube's error, says twice.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It answered that it will not.
    #[error("the API server says: {}", .0.message)]
    Refused(Box<Status>),
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    NoAnswer(Duration),
    /// It could not be asked, or its answer not be read.
    #[error("{0}")]
    Failed(Box<kube::Error>),
}

impl ApiError {
    /// It did not answer within this time.
    pub fn no_answer(within: Duration) -> Self {
        Self::NoAnswer(within)
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            other => Self::Failed(Box::new(other)),
        }
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// This process is not the leader, or no longer.
    #[error("this replica does not lead")]
    NotLeading,
    /// The call itself.
    #[error("failed to {doing} {what}")]
    Call {
        /// What was being done.
        doing: &'static str,
        /// To which object.
        what: String,
        /// Why it failed.
        #[source]
        source: ApiError,
    },
}

impl ClusterError {
    /// What the API server said, when it refused.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Call { source: ApiError::Refused(status), .. } => Some(status),
            _ => None,
        }
    }
}

/// A kind that lives in namespaces, as `Api` wants it.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// What the operator was doing when it saw what an event tells of.
const ACTION: &str = "Reconcile";

/// The API refuses events with longer notes, in bytes.
const MAX_NOTE: usize = 1024;

/// The status of an object, as it is applied.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusOf<'a, S> {
    api_version: String,
    kind: String,
    metadata: Name<'a>,
    status: &'a S,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

/// The API server, as far as this process may use it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    leadership: Leadership,
    recorder: Recorder,
    me: String,
}

impl Cluster {
    /// Writes go through only while `leadership` says so; events are `me`'s.
    pub fn new(client: Client, leadership: Leadership, me: impl Into<String>) -> Self {
        let me = me.into();
        let reporter = Reporter { controller: names::OPERATOR.to_owned(), instance: Some(me.clone()) };
        Self { recorder: Recorder::new(client.clone(), reporter), client, leadership, me }
    }

    /// Whether this process may write.
    pub fn leads(&self) -> bool {
        self.leadership.leads()
    }

    fn api<K: Kind>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Server-side apply: the object is as `body` says, in all that it says. Fields that its kind does not have are
    /// refused.
    pub async fn apply<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
        body: &serde_json::Value,
    ) -> Result<K, ClusterError> {
        self.must_lead()?;
        let params = PatchParams::apply(names::FIELD_MANAGER).force().validation_strict();
        let applied = self.api::<K>(namespace).patch(name, &params, &Patch::Apply(body)).await;
        applied.map_err(during::<K>("apply", namespace, name))
    }

    /// What is there under a name, whoever made it.
    pub async fn find<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PartialObjectMeta<K>>, ClusterError> {
        self.api::<K>(namespace)
            .get_metadata_opt(name)
            .await
            .map_err(during::<K>("look for", namespace, name))
    }

    /// Sets an annotation of an object, or takes it away. One that is gone is fine.
    pub async fn annotate<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
        annotation: &str,
        value: Option<&str>,
    ) -> Result<(), ClusterError> {
        self.must_lead()?;
        let body = serde_json::json!({ "metadata": { "annotations": { annotation: value } } });
        let patched =
            self.api::<K>(namespace).patch_metadata(name, &PatchParams::default(), &Patch::Merge(body)).await;
        match patched {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(during::<K>("annotate", namespace, name)(error)),
        }
    }

    /// Sets a condition in the status of an object, beside those of others. One that is gone is fine.
    pub async fn set_condition<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
        condition: &serde_json::Value,
    ) -> Result<(), ClusterError> {
        self.must_lead()?;
        let body = serde_json::json!({ "status": { "conditions": [condition] } });
        let params = PatchParams::default();
        match self.api::<K>(namespace).patch_status(name, &params, &Patch::Strategic(body)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(during::<K>("write the status of", namespace, name)(error)),
        }
    }

    /// Deletes an object, if it is still the one with this UID. One that is gone is fine.
    pub async fn delete<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<String>,
    ) -> Result<(), ClusterError> {
        self.must_lead()?;
        let same = Preconditions { uid, resource_version: None };
        let params = DeleteParams::background().preconditions(same);
        match self.api::<K>(namespace).delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(during::<K>("delete", namespace, name)(error)),
        }
    }

    /// Writes how many pods an object is to have, if it is still the one of this version. Says whether it was.
    pub async fn scale<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
        version: Option<String>,
        replicas: i32,
    ) -> Result<bool, ClusterError> {
        self.must_lead()?;
        let body = serde_json::json!({
            "metadata": { "resourceVersion": version },
            "spec": { "replicas": replicas },
        });
        match self.api::<K>(namespace).patch_scale(name, &PatchParams::default(), &Patch::Merge(body)).await {
            Ok(_) => Ok(true),
            // Somebody was first, or it has gone: who watches it hears of that.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(false),
            Err(error) => Err(during::<K>("scale", namespace, name)(error)),
        }
    }

    /// Writes the status of one of our resources, all of it.
    pub async fn write_status<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
        status: &(impl Serialize + Debug + Sync),
    ) -> Result<(), ClusterError> {
        self.must_lead()?;
        let body = StatusOf {
            api_version: K::api_version(&()).into_owned(),
            kind: K::kind(&()).into_owned(),
            metadata: Name { name },
            status,
        };
        let params = PatchParams::apply(names::STATUS_MANAGER).force();
        let body = serde_json::json!(body);
        // Guarded: the status of an object that cannot be read can be written all the same.
        let api: Api<DeserializeGuard<K>> = Api::namespaced(self.client.clone(), namespace);
        match api.patch_status(name, &params, &Patch::Apply(body)).await {
            Ok(_) => Ok(()),
            // It was deleted meanwhile, and nobody reads its status any more.
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(during::<K>("write the status of", namespace, name)(error)),
        }
    }

    /// A Secret, by its name: nothing, when it is not there.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, ClusterError> {
        self.api::<Secret>(namespace).get_opt(name).await.map_err(during::<Secret>("read", namespace, name))
    }

    /// Publishes an event. Events are a courtesy: one that fails is logged, and nothing else fails with it.
    pub async fn tell(&self, about: &ObjectReference, reason: &str, good: bool, note: &str) {
        if !self.leads() {
            return;
        }
        let event = Event {
            type_: if good { EventType::Normal } else { EventType::Warning },
            reason: reason.to_owned(),
            note: Some(cut(note)),
            action: ACTION.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            let error = ApiError::from(error);
            tracing::warn!(%error, reason, "failed to publish an event");
        }
    }

    /// Publishes a warning about an object and another one, once whoever tries to: by the event's name. A courtesy, as
    /// [`Self::tell`] is.
    pub async fn warn_once(
        &self,
        about: &ObjectReference,
        related: ObjectReference,
        name: String,
        reason: &str,
        note: &str,
    ) {
        if !self.leads() {
            return;
        }
        let namespace = about.namespace.clone().unwrap_or_default();
        let event = v1::Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(Timestamp::now())),
            type_: Some("Warning".to_owned()),
            reason: Some(reason.to_owned()),
            note: Some(cut(note)),
            action: Some(ACTION.to_owned()),
            regarding: Some(about.clone()),
            related: Some(related),
            reporting_controller: Some(names::OPERATOR.to_owned()),
            reporting_instance: Some(self.me.clone()),
            ..v1::Event::default()
        };
        match self.api::<v1::Event>(&namespace).create(&PostParams::default(), &event).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() || status.is_conflict() => {}
            Err(error) => {
                let error = ApiError::from(error);
                tracing::warn!(%error, reason, "failed to publish an event");
            }
        }
    }

    fn must_lead(&self) -> Result<(), ClusterError> {
        if self.leads() { Ok(()) } else { Err(ClusterError::NotLeading) }
    }
}

fn cut(note: &str) -> String {
    note[..note.floor_char_boundary(MAX_NOTE)].to_owned()
}

fn during<K: Kind>(
    doing: &'static str,
    namespace: &str,
    name: &str,
) -> impl FnOnce(kube::Error) -> ClusterError {
    let what = format!("{} {namespace}/{name}", K::kind(&()));
    move |error| ClusterError::Call { doing, what, source: error.into() }
}

/// Whether an object belongs to the one with this UID.
pub fn is_controlled_by(object: &impl ResourceExt, uid: Option<&str>) -> bool {
    object
        .owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && Some(owner.uid.as_str()) == uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_too_long_for_an_event_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"é".repeat(1000)).chars().count(), MAX_NOTE / 2);
        assert_eq!(cut(&format!("a{}", "é".repeat(1000))).len(), MAX_NOTE - 1);
    }
}
