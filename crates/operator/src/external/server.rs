//! Serves the API: TLS, a few bounds, and the steps of a request in order.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use kube::Resource;
use kube::core::DeserializeGuard;
use percent_encoding::percent_decode_str;
use petiole_process::log::Chain;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::access::{Access, Asked};
use super::answer::{Answer, Body, Why, figures};
use super::api::Calls;
use super::certificate::common_name;
use super::identity::{Identity, Latest};
use super::route::{Route, route};
use super::{documents, selector, series};
use crate::sampler::Sampler;
use crate::stores::Stores;
use crate::synced::Synced;
use crate::watches::Scope;

/// So many connections at the same time: an API server has a few.
const CONNECTIONS: usize = 128;
/// How long a connection may take to begin.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection may say nothing that has shown a certificate. The API server itself gives up after 90 s.
const IDLE: Duration = Duration::from_mins(2);
/// The same of one that has shown none. It is answered once.
const PROBE: Duration = Duration::from_secs(5);
/// How large the head of a request may be: a caller may be in many groups.
const HEAD: usize = 64 * 1024;
/// After a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// What is known of one scope.
pub struct Known {
    /// The scope.
    pub scope: Scope,
    /// What is watched in it.
    pub stores: Stores,
    /// Whether all of it was listed once.
    pub synced: Synced,
}

/// What answers.
pub struct Desk {
    /// The API server.
    pub calls: Calls,
    /// Who may ask.
    pub access: Access,
    /// What was seen of the queues.
    pub sampler: Sampler,
    /// What is known of the scopes.
    pub known: Vec<Known>,
}

/// The server, listening.
pub struct Server(TcpListener);

impl Server {
    /// Listens on `address`; port 0 takes a free one.
    pub async fn listen(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self)
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers until `stop`.
    pub async fn serve(self, desk: Desk, identity: Latest, stop: CancellationToken) {
        let (desk, room) = (Arc::new(desk), Arc::new(Semaphore::new(CONNECTIONS)));
        while let Some(accepted) = stop.run_until_cancelled(self.0.accept()).await {
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "failed to take a connection");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            // Who is one too many comes again.
            let Ok(room) = room.clone().try_acquire_owned() else { continue };
            let (desk, identity, stop) = (desk.clone(), identity.clone(), stop.clone());
            tokio::spawn(async move {
                connection(desk, stream, identity, stop).await;
                drop(room);
            });
        }
    }
}

/// Serves a connection until it ends, or until what it began with is of an earlier time.
async fn connection(desk: Arc<Desk>, stream: TcpStream, mut latest: Latest, stop: CancellationToken) {
    let Some(identity) = latest.borrow_and_update().clone() else { return };
    let accept = TlsAcceptor::from(identity.tls.clone()).accept(stream);
    let stream = match timeout(HANDSHAKE, accept).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a connection did not begin"),
        Err(_) => return tracing::debug!("a connection did not begin in time"),
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let name = shown.map(|certificate| common_name(certificate).unwrap_or_default());
    let known = name.is_some();
    let service = service_fn(move |request: Request<Incoming>| {
        let (desk, identity, name) = (desk.clone(), identity.clone(), name.clone());
        async move { Ok::<_, Infallible>(response(desk.respond(&identity, name.as_deref(), &request).await)) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).max_buf_size(HEAD);
    http.keep_alive(known).header_read_timeout(if known { IDLE } else { PROBE });
    let served = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = async { tokio::select! { _ = latest.changed() => {}, () = stop.cancelled() => {} } } => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection has ended");
    }
}

impl Desk {
    /// What a request is answered. `shown` is the name in the certificate of whoever brings it.
    pub async fn respond<B>(&self, identity: &Identity, shown: Option<&str>, request: &Request<B>) -> Answer {
        let uri = request.uri();
        let route = route(uri.path());
        if route == Some(Route::Health) {
            return Answer::alive();
        }
        self.known(identity, shown, request.headers(), request.method(), route, uri.query())
            .await
            .unwrap_or_else(|refusal| refusal)
    }

    async fn known(
        &self,
        identity: &Identity,
        shown: Option<&str>,
        headers: &HeaderMap,
        method: &Method,
        route: Option<Route<'_>>,
        query: Option<&str>,
    ) -> Result<Answer, Answer> {
        let caller = identity.proxy.caller(shown, headers);
        let caller = caller.map_err(|why| Answer::refusal(Why::Unauthorized, why))?;
        if method != Method::GET {
            return Err(Answer::refusal(Why::MethodNotAllowed, "metrics can only be read"));
        }
        // What there is to ask for is no secret to whom the API server lets come.
        let (namespace, metric) = match route {
            Some(Route::Metric { namespace, metric }) => (namespace, metric),
            Some(Route::Groups) => return Ok(Answer::object(documents::groups())),
            Some(Route::Group) => return Ok(Answer::object(documents::the_group())),
            Some(Route::Resources) => return Ok(Answer::object(documents::resources())),
            Some(Route::OpenApi2) => return Ok(Answer::object(documents::open_api_2())),
            Some(Route::OpenApi3) => return Ok(Answer::object(documents::open_api_3())),
            Some(Route::OpenApi3OfVersion) => return Ok(Answer::object(documents::open_api_3_of_version())),
            Some(Route::Health) => return Ok(Answer::alive()),
            None => return Err(Answer::refusal(Why::NotFound, "there is no such path")),
        };
        let user = caller.user.clone();
        let asked = Asked { caller, namespace: namespace.to_owned(), metric: metric.to_owned() };
        match self.access.allows(&self.calls, asked).await {
            Ok(true) => self.figures(namespace, metric, query, Timestamp::now()),
            Ok(false) => {
                let says = format!("{user} may not list {metric} in the namespace {namespace}");
                Err(Answer::refusal(Why::Forbidden, says))
            }
            Err(error) => {
                let why = Chain(&error).to_string();
                tracing::warn!(why, "failed to ask who may ask for metrics");
                Err(Answer::refusal(Why::InternalError, why))
            }
        }
    }

    fn figures(
        &self,
        namespace: &str,
        metric: &str,
        query: Option<&str>,
        now: Timestamp,
    ) -> Result<Answer, Answer> {
        let selector = selector::parse(&label_selector(query.unwrap_or_default()));
        let selector = selector.map_err(|why| Answer::refusal(Why::BadRequest, why.to_string()))?;
        let known = self.known.iter().find(|known| known.scope.holds(namespace)).ok_or_else(|| {
            let says = format!("this operator does not look after the namespace {namespace}");
            Answer::refusal(Why::NotFound, says)
        })?;
        if !known.synced.get() {
            return Err(Answer::refusal(Why::ServiceUnavailable, "not everything was listed yet"));
        }
        let queues = known.stores.queues.state_filter(|queue| is_in(namespace, queue));
        let pools = known.stores.pools.state_filter(|pool| is_in(namespace, pool));
        let queues: Vec<_> = queues.iter().filter_map(|queue| queue.0.as_ref().ok()).collect();
        let pools: Vec<_> = pools.iter().filter_map(|pool| pool.0.as_ref().ok()).collect();
        let series = series::series(metric, &queues, &pools, |queue| self.sampler.latest(queue), now);
        let series = series.ok_or_else(|| {
            let names = series::METRICS.map(|(name, _)| name).join(", ");
            Answer::refusal(Why::NotFound, format!("there is no metric {metric}: there are {names}"))
        })?;
        Ok(figures(metric, &series, &selector))
    }
}

fn is_in<K: Resource>(namespace: &str, object: &DeserializeGuard<K>) -> bool
where
    DeserializeGuard<K>: Resource,
{
    object.meta().namespace.as_deref() == Some(namespace)
}

fn label_selector(query: &str) -> String {
    let selector = query.split('&').find_map(|pair| pair.strip_prefix("labelSelector="));
    let selector = selector.unwrap_or_default().replace('+', " ");
    percent_decode_str(&selector).decode_utf8_lossy().into_owned()
}

fn response(Answer { code, body }: Answer) -> Response<Full<Bytes>> {
    let (kind, bytes) = match body {
        Body::Text(text) => ("text/plain; charset=utf-8", Bytes::from_static(text.as_bytes())),
        Body::Json(object) => ("application/json", Bytes::from(object.to_string())),
    };
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
