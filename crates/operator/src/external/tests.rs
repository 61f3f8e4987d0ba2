//! The whole of it: a real connection, a real certificate, and an API server in memory.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kube::runtime::reflector::store::{Writer, store};
use kube::runtime::watcher::Event;
use petiole_testkit::tls::Authority;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::access::Access;
use super::api::Calls;
use super::identity::{Identity, IdentityError, Keeper};
use super::route::API_SERVICE;
use super::server::{Desk, Known, Server};
use crate::fixtures::api_server::ApiServer;
use crate::fixtures::{pool, queue};
use crate::leader::Leadership;
use crate::pool::Guarded as Pool;
use crate::queue::Guarded as Queue;
use crate::sampler::Sampler;
use crate::sampler::connect::Redis;
use crate::stores::Stores;
use crate::synced::Synced;
use crate::watches::Scope;

const SECRET: &str = "/api/v1/namespaces/petiole/secrets/metrics";
const CONFIG_MAP: &str = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";

fn api_service() -> String {
    format!("/apis/apiregistration.k8s.io/v1/apiservices/{API_SERVICE}")
}

/// A cluster into which the chart was installed, whose front proxy this authority has signed.
fn cluster(authority: &Authority) -> ApiServer {
    let server = ApiServer::default();
    server.put(SECRET, json!({ "metadata": { "name": "metrics", "namespace": "petiole" } }));
    let service = json!({ "namespace": "petiole", "name": "metrics", "port": 443 });
    let spec = json!({ "group": "external.metrics.k8s.io", "version": "v1beta1", "service": service,
        "groupPriorityMinimum": 100, "versionPriority": 100 });
    server.put(&api_service(), json!({ "metadata": { "name": API_SERVICE }, "spec": spec }));
    publish(&server, authority);
    server
}

fn publish(server: &ApiServer, authority: &Authority) {
    let data = json!({
        "requestheader-client-ca-file": String::from_utf8(authority.pem()).unwrap(),
        "requestheader-allowed-names": r#"["front-proxy"]"#,
        "requestheader-username-headers": r#"["X-Remote-User"]"#,
        "requestheader-group-headers": r#"["X-Remote-Group"]"#,
        "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
    });
    server.put(
        CONFIG_MAP,
        json!({ "metadata": { "name": "extension-apiserver-authentication" }, "data": data }),
    );
}

fn calls(server: &ApiServer, leadership: Leadership) -> Calls {
    Calls::new(server.client(), leadership, "petiole".to_owned(), "metrics".to_owned())
}

fn keeper(server: &ApiServer) -> Keeper {
    Keeper::new(calls(server, Leadership::always()))
}

/// What the `APIService` trusts.
fn trusted(server: &ApiServer) -> Option<Vec<u8>> {
    let bundle = server.get(&api_service())?["spec"]["caBundle"].clone();
    serde_json::from_value::<k8s_openapi::ByteString>(bundle).ok().map(|bundle| bundle.0)
}

/// An operator's server, and how the API server comes to it.
struct Serving {
    cluster: ApiServer,
    authority: Authority,
    address: SocketAddr,
    publish: watch::Sender<Option<Arc<Identity>>>,
    keeper: Keeper,
    pools: Writer<Pool>,
    queues: Writer<Queue>,
    _stop: tokio_util::sync::DropGuard,
}

impl Serving {
    async fn start() -> Self {
        let authority = Authority::new().unwrap();
        let cluster = cluster(&authority);
        let mut keeper = keeper(&cluster);
        let (publish, identity) = watch::channel(None);
        publish.send_replace(keeper.look(Timestamp::now()).await.unwrap().map(Arc::new));
        let (queues_store, queues) = store();
        let (pools_store, pools) = store();
        let stores = Stores {
            queues: queues_store,
            pools: pools_store,
            deployments: store().0,
            config_maps: store().0,
            service_accounts: store().0,
            budgets: store().0,
            pods: store().0,
            autoscalers: store().0,
        };
        let scope = Scope::Namespace("photos".to_owned());
        let desk = Desk {
            calls: calls(&cluster, Leadership::never()),
            access: Access::default(),
            sampler: Sampler::new(Arc::new(Redis)).0,
            known: vec![Known { scope, stores, synced: Synced::new().0 }],
        };
        let server = Server::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = server.address().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(server.serve(desk, identity, stop.clone()));
        Self { cluster, authority, address, publish, keeper, pools, queues, _stop: stop.drop_guard() }
    }

    /// Asks as somebody who has this certificate, and trusts whom the `APIService` trusts.
    async fn ask(&self, shows: Option<&str>, path: &str, headers: &str) -> std::io::Result<(u16, String)> {
        let identity = shows.map(|name| self.authority.sign(name).unwrap().pem().unwrap());
        let config = client(&trusted(&self.cluster).unwrap(), identity);
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("metrics.petiole.svc").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // Who ends a connection without a word has said everything before.
        if let Err(error) = stream.read_to_end(&mut answer).await
            && answer.is_empty()
        {
            return Err(error);
        }
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
    }

    /// Asks as the API server does, in somebody's name.
    async fn ask_for(&self, user: &str, path: &str) -> (u16, Value) {
        let headers = format!("X-Remote-User: {user}\r\n");
        let (code, body) = self.ask(Some("front-proxy"), path, &headers).await.unwrap();
        (code, serde_json::from_str(&body).unwrap())
    }
}

fn client(trusted: &[u8], shown: Option<(Vec<u8>, Vec<u8>)>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(trusted).map(Result::unwrap));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match shown {
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(&certificate).unwrap()];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&key).unwrap()).unwrap()
        }
        None => config.with_no_client_auth(),
    }
}

const WORK: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/photos/petiole_pool_work";

#[tokio::test]
async fn whoever_may_is_told_and_what_nobody_knows_is_an_error() {
    let mut serving = Serving::start().await;
    serving.cluster.allow("autoscaler");
    let (code, list) = serving.ask_for("autoscaler", WORK).await;
    assert_eq!((code, &list["kind"], &list["items"]), (200, &json!("ExternalMetricValueList"), &json!([])));

    // A pool whose queue nobody has asked about yet.
    serving.pools.apply_watcher_event(&Event::Apply(kube::core::DeserializeGuard(Ok(pool()))));
    serving.queues.apply_watcher_event(&Event::Apply(kube::core::DeserializeGuard(Ok(queue("thumbnails")))));
    let (code, status) = serving.ask_for("autoscaler", WORK).await;
    assert_eq!((code, &status["kind"]), (503, &json!("Status")));
    let others = format!("{WORK}?labelSelector=worker_pool%20notin+%28resizer%29");
    assert_eq!(serving.ask_for("autoscaler", &others).await.0, 200);

    let wrong = format!("{WORK}?labelSelector=worker_pool%3E1");
    assert_eq!(serving.ask_for("autoscaler", &wrong).await.0, 400);
    let nothing = WORK.replace("petiole_pool_work", "nothing");
    let (code, status) = serving.ask_for("autoscaler", &nothing).await;
    assert_eq!(code, 404);
    assert!(
        status["message"].as_str().unwrap().contains("petiole_pool_work, petiole_queue_work"),
        "{status}"
    );
    assert_eq!(serving.ask_for("autoscaler", &WORK.replace("photos", "mail")).await.0, 404);
    assert_eq!(serving.ask_for("autoscaler", "/apis/external.metrics.k8s.io/v1beta1").await.0, 200);
}

#[tokio::test]
async fn only_the_api_server_speaks_for_others_and_they_may_or_may_not() {
    let serving = Serving::start().await;
    serving.cluster.allow("autoscaler");
    let (code, status) = serving.ask_for("anna", WORK).await;
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));

    let header = "X-Remote-User: autoscaler\r\n";
    let code = |asked: std::io::Result<(u16, String)>| asked.ok().map(|(code, _)| code);
    assert_eq!(code(serving.ask(None, WORK, header).await), Some(401));
    assert_eq!(code(serving.ask(Some("kubelet"), WORK, header).await), Some(401));
    assert_eq!(code(serving.ask(Some("front-proxy"), WORK, "").await), Some(401));
    assert_eq!(code(serving.ask(None, "/livez", "").await), Some(200));
    assert_eq!(code(serving.ask(None, "/openapi/v2", "").await), Some(401));

    // Somebody else's authority.
    let other = Serving { authority: Authority::new().unwrap(), ..serving };
    assert_eq!(code(other.ask(Some("front-proxy"), WORK, header).await), None);
}

#[tokio::test]
async fn another_front_proxy_and_another_certificate_count_from_the_next_look_on() {
    let mut serving = Serving::start().await;
    serving.cluster.allow("autoscaler");
    assert_eq!(serving.ask_for("autoscaler", WORK).await.0, 200);
    assert!(serving.keeper.look(Timestamp::now()).await.unwrap().is_none(), "nothing has changed");

    serving.authority = Authority::new().unwrap();
    publish(&serving.cluster, &serving.authority);
    let before = trusted(&serving.cluster).unwrap();
    // Weeks before its end.
    let later = Timestamp::now() + SignedDuration::from_hours(61 * 24);
    let identity = serving.keeper.look(later).await.unwrap().unwrap();
    // The one before is trusted as well: not every replica has the new one yet.
    let bundle = trusted(&serving.cluster).unwrap();
    assert!(bundle.ends_with(&before) && bundle.len() > before.len());
    serving.publish.send_replace(Some(Arc::new(identity)));
    // Made in a time to come, it is not valid yet; the time before is what clients see.
    let asked = serving.ask(Some("front-proxy"), WORK, "X-Remote-User: autoscaler\r\n").await;
    let why = asked.unwrap_err().to_string();
    assert!(why.contains("not valid yet"), "{why}");
}

#[tokio::test]
async fn the_leader_makes_the_certificate_and_the_others_read_it() {
    let authority = Authority::new().unwrap();
    let cluster = cluster(&authority);
    let mut other = Keeper::new(calls(&cluster, Leadership::never()));
    assert!(matches!(other.look(Timestamp::now()).await, Err(IdentityError::Waiting)));
    keeper(&cluster).look(Timestamp::now()).await.unwrap();
    cluster.calls();
    assert!(other.look(Timestamp::now()).await.unwrap().is_some());
    assert!(cluster.calls().iter().all(|call| call.starts_with("GET")), "it does not lead");
}

#[tokio::test]
async fn trust_comes_before_use_and_nobody_elses_is_touched() {
    let authority = Authority::new().unwrap();
    let cluster = cluster(&authority);
    keeper(&cluster).look(Timestamp::now()).await.unwrap();
    let calls: Vec<_> = cluster.calls().into_iter().filter(|call| call.starts_with("PATCH")).collect();
    assert_eq!(calls, [format!("PATCH {}", api_service()), "PATCH secrets/metrics".to_owned()]);

    // What was written by someone else is put right; what belongs to someone else is left alone.
    let mut service = cluster.get(&api_service()).unwrap();
    service["spec"]["caBundle"] = json!("AAAA");
    cluster.put(&api_service(), service.clone());
    keeper(&cluster).look(Timestamp::now()).await.unwrap();
    assert_ne!(trusted(&cluster).unwrap(), [0, 0, 0]);
    service["spec"]["service"]["namespace"] = json!("keda");
    cluster.put(&api_service(), service.clone());
    keeper(&cluster).look(Timestamp::now()).await.unwrap();
    assert_eq!(cluster.get(&api_service()).unwrap()["spec"]["caBundle"], "AAAA");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let authority = Authority::new().unwrap();
    let cluster = cluster(&authority);
    cluster.refuse("GET configmaps/extension-apiserver-authentication", StatusCode::FORBIDDEN, "no right");
    let why = keeper(&cluster).look(Timestamp::now()).await.unwrap_err();
    let why = petiole_process::log::Chain(&why).to_string();
    assert!(why.contains("ConfigMap kube-system/extension-apiserver-authentication"), "{why}");
    cluster.accept();
    cluster.put(CONFIG_MAP, json!({ "metadata": {}, "data": {} }));
    let why = keeper(&cluster).look(Timestamp::now()).await.unwrap_err().to_string();
    assert!(why.contains("requestheader-client-ca-file"), "{why}");
}
