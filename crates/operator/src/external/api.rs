//! The calls to the API server that this API needs, and nobody else. Only a leader writes.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::timeout;

use super::access::Asked;
use super::route::{API_SERVICE, GROUP, VERSION};
use crate::cluster::{ApiError, ClusterError};
use crate::leader::Leadership;

/// Where the API server says how it asks in the name of others.
const AUTHENTICATION: (&str, &str) = ("kube-system", "extension-apiserver-authentication");
/// What a request to this API may wait for: an autoscaler gives up after some time.
const WITHIN: Duration = Duration::from_secs(5);

/// The API server, as far as this API needs it.
#[derive(Clone)]
pub struct Calls {
    client: Client,
    leadership: Leadership,
    /// The namespace of the Secret.
    namespace: String,
    /// The Service that leads here, and the Secret that holds its certificate.
    name: String,
}

impl Calls {
    /// Calls for the Service and the Secret of this name.
    pub fn new(client: Client, leadership: Leadership, namespace: String, name: String) -> Self {
        Self { client, leadership, namespace, name }
    }

    /// Whether this process may write.
    pub fn leads(&self) -> bool {
        self.leadership.leads()
    }

    /// The names by which this server is called.
    pub fn names(&self) -> Vec<String> {
        let Self { namespace, name, .. } = self;
        vec![format!("{name}.{namespace}.svc"), format!("{name}.{namespace}.svc.cluster.local")]
    }

    /// What the API server says of its front proxy.
    pub async fn front_proxy(&self) -> Result<BTreeMap<String, String>, ClusterError> {
        let (namespace, name) = AUTHENTICATION;
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let map = during("read", format!("ConfigMap {namespace}/{name}"), maps.get(name)).await?;
        Ok(map.data.unwrap_or_default())
    }

    /// What the Secret holds.
    pub async fn secret(&self) -> Result<Secret, ClusterError> {
        during("read", self.secret_name(), self.secrets().get(&self.name)).await
    }

    /// Puts this into the Secret, if it is still of this version.
    pub async fn write_secret(
        &self,
        version: Option<String>,
        data: BTreeMap<&str, Vec<u8>>,
    ) -> Result<(), ClusterError> {
        self.must_lead()?;
        let data: BTreeMap<&str, ByteString> =
            data.into_iter().map(|(key, value)| (key, ByteString(value))).collect();
        let body = Patch::Merge(json!({ "metadata": { "resourceVersion": version }, "data": data }));
        let (secrets, params) = (self.secrets(), PatchParams::default());
        during("write", self.secret_name(), secrets.patch(&self.name, &params, &body)).await.map(drop)
    }

    /// Whom the `APIService` trusts now; or, in words, why that is not for us to say.
    pub async fn trusted(&self) -> Result<Result<Option<Vec<u8>>, String>, ClusterError> {
        let services: Api<APIService> = Api::all(self.client.clone());
        let found =
            during("read", format!("APIService {API_SERVICE}"), services.get_opt(API_SERVICE)).await?;
        let Some(spec) = found.and_then(|found| found.spec) else {
            return Ok(Err(format!("there is no APIService {API_SERVICE}: the chart brings it")));
        };
        let service = spec.service.unwrap_or_default();
        let (namespace, name) = (service.namespace.unwrap_or_default(), service.name.unwrap_or_default());
        if (&*namespace, &*name) != (&*self.namespace, &*self.name) {
            return Ok(Err(format!(
                "the APIService {API_SERVICE} belongs to the Service {namespace}/{name}: a cluster has one provider of \
                 external metrics"
            )));
        }
        Ok(Ok(spec.ca_bundle.map(|bundle| bundle.0)))
    }

    /// Lets the API server trust whoever one of these certificates is of.
    pub async fn trust(&self, bundle: &[u8]) -> Result<(), ClusterError> {
        self.must_lead()?;
        let services: Api<APIService> = Api::all(self.client.clone());
        let body = Patch::Merge(json!({ "spec": { "caBundle": ByteString(bundle.to_vec()) } }));
        let params = PatchParams::default();
        let patched = services.patch(API_SERVICE, &params, &body);
        during("write", format!("APIService {API_SERVICE}"), patched).await.map(drop)
    }

    /// Whether somebody may ask for a metric.
    pub async fn may(&self, asked: &Asked) -> Result<bool, ClusterError> {
        let Asked { caller, namespace, metric } = asked;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(caller.user.clone()),
                uid: caller.uid.clone(),
                groups: Some(caller.groups.clone()),
                extra: Some(caller.extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(namespace.clone()),
                    // As the API server calls a GET without a name.
                    verb: Some("list".to_owned()),
                    group: Some(GROUP.to_owned()),
                    version: Some(VERSION.to_owned()),
                    resource: Some(metric.clone()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let params = PostParams::default();
        let asked =
            during("create", "SubjectAccessReview".to_owned(), reviews.create(&params, &review)).await?;
        Ok(asked.status.is_some_and(|status| status.allowed))
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn secret_name(&self) -> String {
        format!("Secret {}/{}", self.namespace, self.name)
    }

    fn must_lead(&self) -> Result<(), ClusterError> {
        if self.leads() { Ok(()) } else { Err(ClusterError::NotLeading) }
    }
}

async fn during<T>(
    doing: &'static str,
    what: String,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ClusterError> {
    let source = match timeout(WITHIN, call).await {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error.into(),
        Err(_) => ApiError::no_answer(WITHIN),
    };
    Err(ClusterError::Call { doing, what, source })
}
